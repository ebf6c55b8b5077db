"""One answer about a trace from two sides: what the tables hold, and what came since.

Upstream: rows of api/repositories, spans of the live window.
Downstream: api/routers/trace_ref.py and traces.py.
Guarantee: pure. Of each span there is one revision, the newest of either side. The views do not show revisions, so they
are told apart by where they come from: the window holds what the sink will write, so what is in the window is as new as
the table's row or newer. Only an end is never taken back: a span that ended in the table does not run again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from api.live.rows import compact_row, row_of
from api.views.columns import SpanColumns
from stream_jobs.contracts.span import Span

RUNNING = "running"
Row = TypeVar("Row")

_FIELDS = [field.name for field in fields(SpanColumns)]
_SPAN_ID, _STATUS, _STARTED = (_FIELDS.index(name) for name in ("span_id", "status", "started_us"))


def merge_rows(table: Sequence[Mapping[str, Any]], live: Iterable[Span]) -> list[Mapping[str, Any]]:
    """Merge the spans of one trace, as rows by column name, in the order they started."""
    merged = _newest(table, [row_of(span) for span in live], lambda row: row["span_id"], lambda row: row["status"])
    return sorted(merged, key=lambda row: (row["started_at"], row["depth"], row["span_id"]))


def merge_columns(table: SpanColumns, live: Iterable[Span]) -> SpanColumns:
    """Merge the spans of one trace, as columns, in the order they started, parents first."""
    before = list(zip(*(getattr(table, name) for name in _FIELDS), strict=True))
    rows = _newest(before, list(map(compact_row, live)), lambda row: row[_SPAN_ID], lambda row: row[_STATUS])
    depths = _depths(SpanColumns.of_rows(rows).parents())
    order = sorted(range(len(rows)), key=lambda at: (rows[at][_STARTED], depths[at], rows[at][_SPAN_ID]))
    return SpanColumns.of_rows([rows[at] for at in order])


def _newest(
    table: Sequence[Row], live: Sequence[Row], span_id: Callable[[Row], str], status: Callable[[Row], str]
) -> list[Row]:
    newest = {span_id(row): row for row in table}
    for row in live:
        known = newest.get(span_id(row))
        if known is None or status(row) != RUNNING or status(known) == RUNNING:
            newest[span_id(row)] = row
    return list(newest.values())


def _depths(parents: list[int]) -> list[int]:
    """Ancestors of each span among these; a ring, which only a faulty source can make, is cut where it is met."""
    depths = [-1] * len(parents)
    for index in range(len(parents)):
        way: list[int] = []
        at = index
        while at >= 0 and depths[at] < 0:
            depths[at] = 0
            way.append(at)
            at = parents[at]
        depth = depths[at] + 1 if at >= 0 else 0
        for step in reversed(way):
            depths[step] = depth
            depth += 1
    return depths
