"""One text for what a tool was asked, one for what it answered, without what changes by chance.

Upstream: params and results as JSON text, as the stitcher keeps them.
Downstream: ``similar`` compares the first, rules compare hashes of both.
Guarantee: pure; equal for JSON that differs in order of keys or white space. Taken out of both: ids of the wrapper
that OpenClaw puts around foreign content, instants, random parts of temporary paths, and the fields named in
``VOLATILE_KEYS``. Taken out of results only: UUIDs, process ids, and how long something took. What stays in
arguments is meant: a commit, an id of a session, a number.
"""

import re
import zlib
from hashlib import blake2b
from typing import Any, Final

import msgspec

MAX_UNITS: Final = 512

VOLATILE_KEYS: Final = frozenset(
    {
        *("toolCallId", "requestId", "idempotencyKey", "nonce", "timestamp", "traceId", "spanId"),
        *("tool_call_id", "request_id", "idempotency_key", "trace_id", "span_id"),
        *("durationMs", "tookMs", "elapsedMs", "duration_ms", "elapsed_ms", "startedAt", "endedAt", "pid"),
    }
)

# A search passes over a long text quickly when it may look for one kind of character, and slowly when it must try
# alternatives or the edge of a word at each. So each pattern begins with what it cannot do without, asks for the edge
# behind it, and is left out when a text does not hold what is seldom in it.
_WRAPPER_ID = r"""id=(?<!\wid=)\\*["'][0-9A-Za-z_-]{6,}\\*["']"""
_DATE = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
_EPOCH = r"1(?<!\w1)[5-9]\d{8}(?:\d{3}){0,2}\b"
_TEMP_PATH = r"""/(?:tmp|var/tmp|var/folders)/[^\s"'\\]*?(?:tmp[._-]?\w{6,}|[0-9a-f]{8,}|[._-]\w{10,})"""
_UUID = r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"
_TOOK = r"\d(?<!\w\d)\d*(?:\.\d+)? ?(?:ms|µs|us|s|secs?|seconds?)\b"
_PROCESS_ID = r"pid(?<!\wpid)[ :=]+\d+"

# What a text must hold, in small letters, and what is then taken out.
_IN_BOTH = (("id=", _WRAPPER_ID), ("/", _TEMP_PATH), ("-", _DATE), ("1", _EPOCH))
_ONLY_IN_ANSWERS = (("-", _UUID), ("s", _TOOK), ("pid", _PROCESS_ID))
_CHANCE_IN_ASKED: Final = tuple((mark, re.compile(pattern)) for mark, pattern in _IN_BOTH)
_CHANCE_IN_ANSWER: Final = tuple(
    (mark, re.compile(pattern, re.IGNORECASE)) for mark, pattern in (*_IN_BOTH, *_ONLY_IN_ANSWERS)
)
_ESCAPED_SPACE: Final = re.compile(r"\\[nrt]")
_WORD: Final = re.compile(r"\w+|[^\w\s]")


def asked_text(params: str | None) -> str:
    """Return what a tool was asked, for comparison; "" when it is not known."""
    if not params:
        return ""
    return _with_single_spaces(_without_chance(_canonical(params), _CHANCE_IN_ASKED))


def answer_text(result: str | None) -> str:
    """Return what a tool answered, for comparison: the text of its content where there is any."""
    if not result:
        return ""
    value = _parsed(result)
    texts = _content_texts(value)
    text = "\n".join(texts) if texts else _canonical(result)
    return _with_single_spaces(_without_chance(text, _CHANCE_IN_ANSWER))


def units_of(text: str) -> str:
    """Return a text of at most ``MAX_UNITS`` units to compare: characters; in a longer text words, then lines.

    A word or line becomes one character by its hash. What is longer even in lines is cut: its beginning counts.
    """
    if len(text) <= MAX_UNITS:
        return text
    words = _WORD.findall(text)
    if len(words) > MAX_UNITS:
        # White space was folded, so sentences and statements take the place of lines.
        words = [part for part in re.split(r"[.;{}]", text) if part.strip()]
    return "".join(chr(0x400 + zlib.crc32(word.encode()) % 0xD000) for word in words[:MAX_UNITS])


def digest_of(*parts: str) -> str:
    """Return a hash of texts: 32 hex digits."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(part.encode(errors="replace"))
        digest.update(b"\x1f")
    return digest.hexdigest()


def _without_chance(text: str, patterns: tuple[tuple[str, re.Pattern[str]], ...]) -> str:
    small = text.lower()
    for mark, pattern in patterns:
        if mark in small:
            text = pattern.sub("~", text)
    return text


def _with_single_spaces(text: str) -> str:
    if "\\" in text:
        text = _ESCAPED_SPACE.sub(" ", text)
    # The letters at both ends keep a space there from being stripped.
    return " ".join(f"x{text}x".split())[1:-1]


def _parsed(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _canonical(text: str) -> str:
    value = _parsed(text)
    if value is None:
        return text
    return msgspec.json.encode(_without_volatile(value), order="sorted").decode(errors="replace")


def _without_volatile(value: Any, depth: int = 0) -> Any:
    if depth < 32 and isinstance(value, dict):
        kept = ((key, it) for key, it in value.items() if key not in VOLATILE_KEYS)
        return {key: _without_volatile(it, depth + 1) for key, it in kept}
    if depth < 32 and isinstance(value, list):
        return [_without_volatile(it, depth + 1) for it in value]
    return value


def _content_texts(value: Any) -> list[str]:
    content = value.get("content") if isinstance(value, dict) else None
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    texts = (item.get("text") for item in content if isinstance(item, dict))
    return [text for text in texts if isinstance(text, str)]
