"""How much of a sub-agent's answer is in the final reply.

Upstream: outputs of runs, as JSON text.
Downstream: the card.
Guarantee: Jaccard index over shingles of three words (single words, where a text has fewer), 0 to 1, two decimals;
texts beyond 20,000 characters count by their beginning.
"""

import re
from typing import Any

import msgspec

_SHINGLE_WORDS = 3
_MAX_CHARS = 20_000
_WORD = re.compile(r"\w+")
_NO_REPLY = "NO_REPLY"


def reply_text(output: str | None) -> str:
    """Return the words of an output; "" for none, or when the agent said it had nothing to say."""
    if not output:
        return ""
    try:
        value: Any = msgspec.json.decode(output)
    except (msgspec.DecodeError, RecursionError):
        value = output
    parts = value if isinstance(value, list) else [value]
    text = "\n".join(part for part in parts if isinstance(part, str))
    return "" if text.strip() == _NO_REPLY else text


def overlap(left: str, right: str) -> float | None:
    """Return the share of common shingles; None when one has no words."""
    words = [_WORD.findall(text[:_MAX_CHARS].lower()) for text in (left, right)]
    size = _SHINGLE_WORDS if min(map(len, words)) >= _SHINGLE_WORDS else 1
    first, second = ({tuple(it[n : n + size]) for n in range(len(it) - size + 1)} for it in words)
    if not first or not second:
        return None
    return round(len(first & second) / len(first | second), 2)
