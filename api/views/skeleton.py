"""The skeleton of a trace: every span in a few dozen bytes, so that a browser can hold 100,000 of them.

Upstream: SpanColumns.
Downstream: GET /v1/traces/{trace_id}/skeleton.
Guarantee: at most 120 bytes a span after gzip (a test measures it); one array per column, all of one length; texts
stand once, in ``strings``.
"""

from typing import Any

import msgspec

from api.views.columns import SpanColumns

KINDS = ("run", "attempt", "model_call", "tool_call", "compaction", "guard")
STATUSES = ("running", "ok", "error", "blocked", "incomplete")

_NUMBER_OF_KIND = {kind: number for number, kind in enumerate(KINDS)}
_NUMBER_OF_STATUS = {status: number for number, status in enumerate(STATUSES)}


class Skeleton(msgspec.Struct, frozen=True, kw_only=True):
    """Columns of all spans. Times are microseconds since ``started_us``."""

    strings: list[str]
    kinds: tuple[str, ...]
    statuses: tuple[str, ...]
    started_us: int
    span_id: list[str]
    parent: list[int]
    kind: list[int]
    status: list[int]
    name: list[int]
    agent: list[int]
    provider: list[int]
    model: list[int]
    tool: list[int]
    start_us: list[int]
    duration_us: list[int | None]
    input_tokens: list[int]
    cache_read_tokens: list[int]
    cache_write_tokens: list[int]
    output_tokens: list[int]
    cost_e12: list[int | None]
    flags: list[int]


def make_skeleton(spans: SpanColumns) -> Skeleton:
    """Make the skeleton of a trace."""
    started_us = spans.span_of_time()[0]
    strings: dict[str, int] = {}

    def numbered(texts: list[Any]) -> list[int]:
        numbers = {text: strings.setdefault(text, len(strings)) for text in dict.fromkeys(texts) if text is not None}
        return list(map((numbers | {None: -1}).__getitem__, texts))

    return Skeleton(
        started_us=started_us,
        kinds=KINDS,
        statuses=STATUSES,
        span_id=spans.span_id,
        parent=spans.parents(),
        kind=list(map(_NUMBER_OF_KIND.__getitem__, spans.kind)),
        status=list(map(_NUMBER_OF_STATUS.__getitem__, spans.status)),
        name=numbered(spans.name),
        agent=numbered(spans.agent),
        provider=numbered(spans.provider),
        model=numbered(spans.model),
        tool=numbered(spans.tool),
        start_us=[start - started_us for start in spans.started_us],
        duration_us=[
            None if end is None else max(0, end - start)
            for start, end in zip(spans.started_us, spans.ended_us, strict=True)
        ],
        input_tokens=[count or 0 for count in spans.input_tokens],
        cache_read_tokens=[count or 0 for count in spans.cache_read_tokens],
        cache_write_tokens=[count or 0 for count in spans.cache_write_tokens],
        output_tokens=[count or 0 for count in spans.output_tokens],
        cost_e12=spans.cost,
        flags=numbered(spans.flags),
        strings=list(strings),
    )
