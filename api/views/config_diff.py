"""What two versions of an agent's configuration say differently.

Upstream: two events ``agent_config``, as they were told.
Downstream: GET /v1/agents/{agent_id}/configs/diff, `clawtrace configs diff`.
Guarantee: pure. Every field that is part of the hash is compared; equal configurations have no difference.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

# Named with the texts that they are compared by; the rest tells when and why the configuration was told.
_TEXTS: Final[dict[str, Literal["skill", "file"]]] = {"skills": "skill", "files": "file"}
_COMPARED: Final = ("openclaw_version", "model", "settings", "tools", "plugins", "guard")
_MAX_DIFF_LINES: Final = 400


@dataclass(frozen=True, slots=True)
class ValueChange:
    """One value; ``before`` and ``after`` are JSON, None where there is no such value."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class TextChange:
    """One skill or file of the prompt. ``diff`` is a unified diff; None when a text of either was not told."""

    kind: Literal["skill", "file"]
    name: str
    before: str | None
    after: str | None
    diff: str | None


@dataclass(frozen=True, slots=True)
class ConfigDiff:
    """All differences, by path and by name."""

    values: list[ValueChange]
    texts: list[TextChange]


def diff_configs(before: Mapping[str, Any], after: Mapping[str, Any]) -> ConfigDiff:
    """Compare two configurations, as their events tell them."""
    values = list(
        _changes("", {name: before.get(name) for name in _COMPARED}, {name: after.get(name) for name in _COMPARED})
    )
    texts = [
        change for field, kind in _TEXTS.items() for change in _text_changes(kind, before.get(field), after.get(field))
    ]
    return ConfigDiff(values, texts)


def _changes(path: str, before: Any, after: Any) -> Iterator[ValueChange]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from _changes(f"{path}.{name}" if path else name, before.get(name), after.get(name))
        return
    yield ValueChange(path, _json(before), _json(after))


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _text_changes(kind: Literal["skill", "file"], before: Any, after: Any) -> Iterator[TextChange]:
    first, second = _by_name(before), _by_name(after)
    for name in sorted(first.keys() | second.keys()):
        old, new = first.get(name, {}), second.get(name, {})
        if old.get("version") != new.get("version"):
            yield TextChange(kind, name, old.get("version"), new.get("version"), _diff(name, old, new))


def _by_name(items: Any) -> dict[str, dict[str, Any]]:
    return {str(item.get("name")): item for item in items or () if isinstance(item, dict)}


def _diff(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    before, after = _text(old), _text(new)
    if before is None or after is None:
        return None
    versions = [f"{name}@{side.get('version', 'none')}" for side in (old, new)]
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), versions[0], versions[1], lineterm="", n=2)
    lines = list(found)
    if len(lines) > _MAX_DIFF_LINES:
        lines = [*lines[:_MAX_DIFF_LINES], f"… {len(lines) - _MAX_DIFF_LINES} lines more"]
    return "\n".join(lines)


def _text(side: Mapping[str, Any]) -> str | None:
    """Return the text; "" of what is not there, None of what was not told."""
    if not side:
        return ""
    text = side.get("text")
    return text if isinstance(text, str) else None
