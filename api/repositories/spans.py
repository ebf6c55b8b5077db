"""Reads spans of one trace.

Upstream: view ``clawtrace.spans``, through the engine.
Downstream: api/routers/traces.py, api/learn/reading.py.
Guarantee: every query names the trace's day, so that one partition is read; payloads are read for one span, and for
exports page by page.
"""

import asyncio
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from operator import eq
from typing import Any

import msgspec

from api.repositories.engine import Rows, TrinoEngine
from api.repositories.scope import Scope
from api.views.columns import SpanColumns
from lakehouse.contracts.tables import SPANS
from stream_jobs.learning import size_of_text

_COLUMNS = """span_id, parent_span_id, path, depth, kind, operation_name, name, status, error, started_at, ended_at,
duration_ms, run_id, session_key, openclaw_agent_id, attempt, provider, model, tool_name, tool_call_id, exit_code,
input_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens,
usage_source, cost_usd, price_id, reported_cost_usd, run_input_tokens, run_cache_read_tokens, run_cache_write_tokens,
run_output_tokens, run_cost_usd, payload_ref, flags"""

# In the order of the fields of SpanColumns, then what rows are sorted by. Numbers instead of instants and decimals; a
# double holds the microseconds of this century to a tenth of one, hence the rounding.
_COMPACT = {
    "span_id": "span_id",
    "parent_span_id": "parent_span_id",
    "kind": "kind",
    "name": "name",
    "status": "status",
    "started_us": "CAST(round(to_unixtime(started_at) * 1000000) AS bigint)",
    "ended_us": "CAST(round(to_unixtime(ended_at) * 1000000) AS bigint)",
    "agent": "openclaw_agent_id",
    "provider": "provider",
    "model": "model",
    "tool": "tool_name",
    "input_tokens": "input_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "output_tokens": "output_tokens",
    "cost": "CAST(cost_usd * 1000000000000 AS bigint)",
    "flags": "nullif(array_join(flags, ' '), '')",
    "depth": "depth",
}
_COMPACT_BYTES = 2_048
# Where a text that was cut says how long it was.
_TAIL_CHARS = 80
# A trace comes as so many rows of JSON texts: the client reads values one by one, in Python, and a text is one value.
_PARCELS = 16
_NAMES = list(_COMPACT)
_ORDER = [_NAMES.index(name) for name in ("started_us", "depth", "span_id")]
_WHOLE = ", ".join(column.name for column in SPANS.visible_columns)


@dataclass(frozen=True, slots=True)
class TracePlace:
    """Where a trace lies: by day and agent the tables are partitioned and sorted."""

    trace_id: str
    trace_date: date
    agent_id: str

    @property
    def values(self) -> list[Any]:
        """Parameters of ``trace_date = ? AND agent_id = ? AND trace_id = ?``."""
        return [self.trace_date, self.agent_id, self.trace_id]


class SpansRepository:
    """Spans of one tenant."""

    def __init__(self, engine: TrinoEngine) -> None:
        self._engine = engine

    async def list_of_trace(self, scope: Scope, trace: TracePlace, *, limit: int) -> Rows:
        """Return the spans of a trace in the order they started, without payloads; at most ``limit``."""
        sql = (
            f"SELECT {_COLUMNS} FROM spans "  # noqa: S608 - texts of this module only
            "WHERE trace_date = ? AND agent_id = ? AND trace_id = ? "
            f"ORDER BY started_at, depth, span_id LIMIT {int(limit) + 1}"
        )
        return await self._engine.read(scope, sql, trace.values, max_rows=limit)

    async def columns_of_trace(self, scope: Scope, trace: TracePlace, *, limit: int) -> tuple[SpanColumns, bool]:
        """Return the columns of at most ``limit`` spans, and whether there are more."""
        spans, is_whole = await self._compact(scope, trace, limit, "")
        if not is_whole or len(spans) > limit:
            # Only now, because sorting in Trino costs as much as all the rest: those that started first.
            spans, _ = await self._compact(scope, trace, limit, "ORDER BY started_at, depth, span_id ")
            return spans.first(limit), True
        return spans, False

    async def _compact(self, scope: Scope, trace: TracePlace, limit: int, order: str) -> tuple[SpanColumns, bool]:
        columns = ", ".join(f"json_format(CAST(array_agg({name}) AS json))" for name in _COMPACT)
        compact = ", ".join(f"{sql} AS {name}" for name, sql in _COMPACT.items())
        sql = (
            f"SELECT {columns} FROM (SELECT {compact}, "  # noqa: S608 - texts of this module only
            f"crc32(to_utf8(span_id)) % {_PARCELS} AS parcel FROM spans "
            f"WHERE trace_date = ? AND agent_id = ? AND trace_id = ? {order}LIMIT {int(limit) + 1}) GROUP BY parcel"
        )
        rows = await self._engine.read(scope, sql, trace.values, max_rows=_PARCELS, max_bytes=limit * _COMPACT_BYTES)
        return await asyncio.to_thread(_unpacked, rows.rows), not rows.truncated

    async def page_with_payloads(
        self, scope: Scope, trace: TracePlace, *, after: tuple[datetime, str] | None, limit: int, max_bytes: int
    ) -> Rows:
        """Return spans with everything, payloads too, in the order of start and id, those behind ``after`` only.

        Fewer than ``limit`` when more would hold more than ``max_bytes``; then ``truncated`` is set.
        """
        where, parameters = ["trace_date = ? AND agent_id = ? AND trace_id = ?"], trace.values
        if after is not None:
            where.append("started_at >= ? AND (started_at > ? OR span_id > ?)")
            parameters += [after[0], after[0], after[1]]
        sql = (
            f"SELECT {_WHOLE} FROM spans WHERE {' AND '.join(where)} "  # noqa: S608 - texts of this module only
            f"ORDER BY started_at, span_id LIMIT {int(limit) + 1}"
        )
        return await self._engine.read(scope, sql, parameters, max_rows=limit, max_bytes=max_bytes)

    async def list_steps(self, scope: Scope, trace: TracePlace, *, limit: int, max_chars: int) -> Rows:
        """Return the model calls and tool calls of a trace in the order they started, tool calls with what was asked
        and answered, each cut to ``max_chars``; at most ``limit``.
        """
        sql = (
            "SELECT span_id, path, kind, status, exit_code, started_at, run_id, provider, model, tool_name, "  # noqa: S608
            "input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, cost_usd, duration_ms, "
            f"IF(kind = 'tool_call', substr(input, 1, {int(max_chars)})) AS input, "
            f"IF(kind = 'tool_call', substr(output, 1, {int(max_chars)})) AS output FROM spans "
            "WHERE trace_date = ? AND agent_id = ? AND trace_id = ? AND kind IN ('model_call', 'tool_call') "
            f"ORDER BY started_at, depth, span_id LIMIT {int(limit) + 1}"
        )
        return await self._engine.read(scope, sql, trace.values, max_rows=limit)

    async def find(self, scope: Scope, trace: TracePlace, span_id: str) -> dict[str, Any] | None:
        """Return one span without payloads; None when the trace has none of that id."""
        sql = (
            f"SELECT {_COLUMNS} FROM spans "  # noqa: S608 - texts of this module only
            "WHERE trace_date = ? AND agent_id = ? AND trace_id = ? AND span_id = ?"
        )
        rows = await self._engine.read(scope, sql, [*trace.values, span_id], max_rows=1)
        return rows.as_dicts()[0] if rows.rows else None

    async def result_sizes(self, scope: Scope, trace: TracePlace, *, limit: int) -> dict[str, int]:
        """Return by span how many bytes each tool call gave the model, as ``result_bytes`` of the stitcher counts."""
        parts = "TRY(CAST(json_extract(output, '$.content') AS array(json)))"
        bytes_of_part = "length(to_utf8(coalesce(json_extract_scalar(part, '$.text'), '')))"
        sql = (
            f"SELECT span_id, reduce({parts}, BIGINT '0', "  # noqa: S608 - texts of this module only
            f"(sum, part) -> sum + {bytes_of_part}, sum -> sum), "
            f"cardinality({parts}), length(to_utf8(output)), substr(output, -{_TAIL_CHARS}) "
            "FROM spans WHERE trace_date = ? AND agent_id = ? AND trace_id = ? AND kind = 'tool_call' "
            f"AND output IS NOT NULL LIMIT {int(limit)}"
        )
        rows = await self._engine.read(scope, sql, trace.values, max_rows=limit)
        return {
            span_id: of_parts if num_parts else size_of_text(num_bytes, tail)
            for span_id, of_parts, num_parts, num_bytes, tail in rows.rows
        }

    async def last_call_before(
        self, scope: Scope, trace: TracePlace, session_key: str, before: datetime
    ) -> dict[str, Any] | None:
        """Return the last model call of a session before an instant, of other traces of the last day; None: none."""
        sql = (
            f"SELECT {_COLUMNS} FROM spans WHERE trace_date BETWEEN ? AND ? "  # noqa: S608 - texts of this module only
            "AND agent_id = ? AND session_key = ? AND kind = 'model_call' AND usage_source IS NOT NULL "
            "AND trace_id <> ? AND started_at < ? AND started_at >= ? ORDER BY started_at DESC, span_id LIMIT 1"
        )
        days = [trace.trace_date - timedelta(days=1), trace.trace_date]
        parameters = [*days, trace.agent_id, session_key, trace.trace_id, before, before - timedelta(days=1)]
        rows = await self._engine.read(scope, sql, parameters, max_rows=1)
        return rows.as_dicts()[0] if rows.rows else None

    async def find_payloads(
        self, scope: Scope, trace: TracePlace, span_id: str, *, offset: int, limit: int
    ) -> dict[str, Any] | None:
        """Return a stretch of a span's payloads: ``input``, ``input_chars`` and the same of the output."""
        sql = (
            "SELECT substr(input, ?, ?) AS input, length(input) AS input_chars, "
            "substr(output, ?, ?) AS output, length(output) AS output_chars FROM spans "
            "WHERE trace_date = ? AND agent_id = ? AND trace_id = ? AND span_id = ?"
        )
        stretch = [offset + 1, limit]
        parameters = [*stretch, *stretch, *trace.values, span_id]
        # One value may be as large as a whole result; the row after it must not be dropped for that.
        rows = await self._engine.read(scope, sql, parameters, max_rows=1, max_bytes=2**40)
        return rows.as_dicts()[0] if rows.rows else None


def _unpacked(parcels: list[list[str]]) -> SpanColumns:
    """Join the columns of the parcels, in the order the spans started; a row is never made."""
    columns: list[list[Any]] = [[] for _ in _COMPACT]
    for parcel in parcels:
        for column, text in zip(columns, parcel, strict=True):
            column.extend(msgspec.json.decode(text))
    by = [columns[number] for number in _ORDER]
    order = sorted(range(len(by[0])), key=by[0].__getitem__)
    started = [by[0][number] for number in order]
    if any(map(eq, started, started[1:])):
        # Spans that started at once are rare; only for them the other two are looked at.
        order = sorted(order, key=list(zip(*by, strict=True)).__getitem__)
    return SpanColumns(*([column[number] for number in order] for column in columns[: len(fields(SpanColumns))]))
