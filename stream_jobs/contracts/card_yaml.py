"""Writes a TraceCard as YAML of at most two kilobytes, fit for a prompt.

Upstream: ``Card``.
Downstream: the API, agents that read about themselves.
Guarantee: the same card gives the same bytes; lists are cut from their ends to fit, the longest first, and then it
says so. Texts are quoted as in JSON, which is YAML.
"""

from decimal import Decimal
from typing import Any, Final

import msgspec

from stream_jobs.contracts.card import Card

MAX_CARD_BYTES: Final = 2_048

_MAX_TEXT_CHARS = 120
# A prompt knows its own reply, and the calls show their tools.
_LEFT_OUT = frozenset({"tenant_id", "agent_id", "trace_date", "rev", "labels", "tools_used", "reply", "started_at_us"})
_PLAIN_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")


def render_card(card: Card, max_bytes: int = MAX_CARD_BYTES) -> str:
    """Return the card as YAML of at most that many bytes (500 or more)."""
    fields = {name: getattr(card, name) for name in card.__struct_fields__ if name not in _LEFT_OUT}
    lists = {name: [_item_lines(item) for item in value] for name, value in fields.items() if isinstance(value, list)}
    is_cut = False
    while len((text := _render(fields, lists, is_cut)).encode()) > max_bytes:
        longest = max(lists, key=lambda name: (len("".join(lists[name]).encode()), name))
        if not lists[longest]:
            break
        lists[longest].pop()
        is_cut = True
    return text


def _render(fields: dict[str, Any], lists: dict[str, list[str]], is_cut: bool) -> str:
    lines: list[str] = []
    for name, value in fields.items():
        if name in lists:
            if lists[name]:
                lines += [f"{name}:", *lists[name]]
        elif value is not None and value != "" and value is not False:
            lines.append(f"{name}: {_scalar(value)}")
    if is_cut:
        lines.append("lists_cut: true")
    return "\n".join(lines) + "\n"


def _item_lines(item: object) -> str:
    if not isinstance(item, msgspec.Struct):
        return f"- {_scalar(item)}"
    pairs = []
    for name in item.__struct_fields__:
        value = getattr(item, name)
        if isinstance(value, list):
            value = f"[{', '.join(map(_scalar, value))}]" if value else None
        elif value is not None and value != "":
            value = _scalar(value)
        if value:
            pairs.append(f"{name}: {value}")
    return f"- {{{', '.join(pairs)}}}"


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    text = text if len(text) <= _MAX_TEXT_CHARS else f"{text[: _MAX_TEXT_CHARS - 1]}…"
    # A plain word must not read as a number, a date or a truth: it begins with a letter and is none of these.
    is_plain = text[:1].isalpha() and set(text) <= _PLAIN_CHARS and not text.endswith("-")
    if is_plain and text.lower() not in ("true", "false", "yes", "no", "on", "off", "null", "y", "n"):
        return text
    return msgspec.json.encode(text).decode()
