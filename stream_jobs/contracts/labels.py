"""Labels of a run: short words by which runs are told apart and compared, such as the version of a skill.

Upstream: the plugin, at the start of each run (event ``run_labels``).
Downstream: ``Trace.labels``, ``Card.labels``; comparisons of versions.
Guarantee: pure; a label that breaks a limit is left out, and nothing else with it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

MAX_LABELS: Final = 16
MAX_KEY_CHARS: Final = 64
MAX_VALUE_CHARS: Final = 128

# Keys that the plugin fills; a user's own labels have other keys.
SKILLS_LABEL: Final = "skill"
SKILL_PREFIX: Final = "skill:"
CONFIG_LABEL: Final = "config"
MODEL_LABEL: Final = "model"

_VERSION_CHARS: Final = 12


def version_of(text: str) -> str:
    """Return the version of a skill's text, as the plugin labels runs with it: 12 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:_VERSION_CHARS]


def version_of_all(skills: Mapping[str, str]) -> str:
    """Return the version of all skills an agent sees, from their texts by name: 12 hex digits.

    It is the SHA-256 of the lines ``<name> <SHA-256 of its text>``, sorted by name.
    """
    lines = (f"{name} {hashlib.sha256(skills[name].encode()).hexdigest()}\n" for name in sorted(skills))
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:_VERSION_CHARS]


def checked_labels(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return those labels that keep the limits, the first 16, sorted by key."""
    kept = [
        (key, value)
        for key, value in pairs
        if 0 < len(key) <= MAX_KEY_CHARS and 0 < len(value) <= MAX_VALUE_CHARS and (key + value).isprintable()
    ]
    return dict(sorted(kept[:MAX_LABELS]))
