"""Writes the YAML of a TraceCard: maps, lists and scalars, nothing else.

Upstream: answers that are also offered as application/yaml.
Downstream: people and prompts, for which YAML is the shorter text.
Guarantee: any YAML 1.2 reader gets back the value that was written; texts are always quoted as JSON quotes them, so
that "no" and "1.0" stay texts.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

MEDIA_TYPE = "application/yaml"
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def yaml_text(value: Any) -> str:
    """Text of a value that json.dumps takes."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _entry(f"{key}:", item)
    elif isinstance(value, list) and value:
        for item in value:
            first, *rest = _lines(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _entry(head: str, item: Any) -> Iterator[str]:
    if isinstance(item, dict | list) and item:
        yield head
        yield from (f"  {line}" for line in _lines(item))
    else:
        yield f"{head} {_scalar(item)}"


def _scalar(value: Any) -> str:
    """JSON of the value, with what YAML does not let through, or takes for a line's end, as an escape."""
    text = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
