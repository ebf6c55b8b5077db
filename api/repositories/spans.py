"""Reads spans of one trace.

Upstream: view ``clawtrace.spans``, through the engine.
Downstream: api/routers/traces.py.
Guarantee: every query names the trace's day, so that one partition is read; payloads are read for one span, and for
exports page by page.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from api.repositories.engine import Rows, TrinoEngine
from api.repositories.scope import Scope
from api.views.columns import SpanColumns
from lakehouse.contracts.tables import SPANS

_COLUMNS = """span_id, parent_span_id, path, depth, kind, operation_name, name, status, error, started_at, ended_at,
duration_ms, run_id, session_key, openclaw_agent_id, attempt, provider, model, tool_name, tool_call_id, exit_code,
input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, usage_source, cost_usd,
price_id, reported_cost_usd, run_input_tokens, run_cache_read_tokens, run_cache_write_tokens, run_output_tokens,
run_cost_usd, payload_ref, flags"""

# In the order of the fields of SpanColumns. Numbers instead of instants and decimals: the client reads them ten
# times faster. A double holds the microseconds of this century to a tenth of one, hence the rounding.
_COMPACT = """span_id, parent_span_id, kind, name, status,
CAST(round(to_unixtime(started_at) * 1000000) AS bigint), CAST(round(to_unixtime(ended_at) * 1000000) AS bigint),
openclaw_agent_id, provider, model, tool_name, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens,
CAST(cost_usd * 1000000000000 AS bigint), nullif(array_join(flags, ' '), '')"""
_COMPACT_BYTES = 2_048
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
        sql = (
            f"SELECT {_COMPACT} FROM spans "  # noqa: S608 - texts of this module only
            "WHERE trace_date = ? AND agent_id = ? AND trace_id = ? "
            f"ORDER BY started_at, depth, span_id LIMIT {int(limit) + 1}"
        )
        rows = await self._engine.read(scope, sql, trace.values, max_rows=limit, max_bytes=limit * _COMPACT_BYTES)
        return SpanColumns.of_rows(rows.rows), rows.truncated

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

    async def find(self, scope: Scope, trace: TracePlace, span_id: str) -> dict[str, Any] | None:
        """Return one span without payloads; None when the trace has none of that id."""
        sql = (
            f"SELECT {_COLUMNS} FROM spans "  # noqa: S608 - texts of this module only
            "WHERE trace_date = ? AND agent_id = ? AND trace_id = ? AND span_id = ?"
        )
        rows = await self._engine.read(scope, sql, [*trace.values, span_id], max_rows=1)
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
