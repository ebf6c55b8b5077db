"""Reads traces.

Upstream: view ``clawtrace.traces``, through the engine.
Downstream: api/routers/traces.py.
Guarantee: every query names the days it reads (trace_date), except the one that finds the day of a trace.
"""

from datetime import date, datetime, timedelta
from typing import Any

from api.repositories.engine import TrinoEngine
from api.repositories.scope import Scope

_COLUMNS = """trace_id, trace_date, agent_id, root_span_id, name, category, status, session_key, openclaw_agent_id,
started_at, ended_at, duration_ms, num_spans, num_runs, num_model_calls, num_tool_calls, num_errors,
num_unpriced_calls, models, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, cost_usd,
reported_cost_usd, has_error, is_open"""

# A trace belongs to the day on which it was first seen; a span that came late may lie before that.
_DAY_SLACK = timedelta(days=1)


class TracesRepository:
    """Traces of one tenant."""

    def __init__(self, engine: TrinoEngine) -> None:
        self._engine = engine

    async def list_newest(
        self,
        scope: Scope,
        *,
        from_at: datetime,
        to_at: datetime,
        agent_id: str | None,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """Return traces that started in [from_at, to_at), newest first, those behind ``after`` only."""
        where = ["trace_date BETWEEN ? AND ?", "started_at >= ?", "started_at < ?"]
        parameters: list[Any] = [(from_at - _DAY_SLACK).date(), (to_at + _DAY_SLACK).date(), from_at, to_at]
        if agent_id is not None:
            where.append("agent_id = ?")
            parameters.append(agent_id)
        if after is not None:
            where.append("started_at <= ? AND (started_at < ? OR trace_id < ?)")
            parameters += [after[0], after[0], after[1]]
        sql = (
            f"SELECT {_COLUMNS} FROM traces WHERE {' AND '.join(where)} "  # noqa: S608 - texts of this module only
            f"ORDER BY started_at DESC, trace_id DESC LIMIT {int(limit)}"
        )
        return (await self._engine.read(scope, sql, parameters, max_rows=limit)).as_dicts()

    async def find_newest_start(self, scope: Scope) -> datetime | None:
        """Return when the newest trace started; None when there is none."""
        rows = await self._engine.read(scope, "SELECT max(started_at) FROM traces", max_rows=1)
        newest: datetime | None = rows.rows[0][0] if rows.rows else None
        return newest

    async def find(self, scope: Scope, trace_id: str) -> dict[str, Any] | None:
        """Return one trace, whatever its day; None when this tenant has none of that id."""
        sql = (
            f"SELECT {_COLUMNS} FROM traces WHERE trace_id = ? "  # noqa: S608 - texts of this module only
            "ORDER BY trace_date DESC, agent_id LIMIT 1"
        )
        rows = await self._engine.read(scope, sql, [trace_id], max_rows=1)
        return rows.as_dicts()[0] if rows.rows else None

    async def find_place(self, scope: Scope, trace_id: str) -> tuple[date, str] | None:
        """Return the day and the agent of a trace, by which the other tables are partitioned and sorted."""
        sql = "SELECT trace_date, agent_id FROM traces WHERE trace_id = ? ORDER BY trace_date DESC, agent_id LIMIT 1"
        rows = await self._engine.read(scope, sql, [trace_id], max_rows=1)
        return (rows.rows[0][0], rows.rows[0][1]) if rows.rows else None
