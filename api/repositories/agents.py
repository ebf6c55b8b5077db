"""Reads what agents did, in sums: list, figures, trends.

Upstream: views ``clawtrace.traces`` and ``clawtrace.agents``, through the engine.
Downstream: api/routers/agents.py.
Guarantee: each trace counts once, in the bucket in which it started; sub-agents are in their trace. Percentiles are
approximate (Trino's t-digest), sums are exact.
"""

from datetime import datetime
from typing import Any, Literal

from api.repositories.engine import Rows, TrinoEngine
from api.repositories.scope import Scope
from api.repositories.traces import days_of

Bucket = Literal["hour", "day"]

_SUMS = """count(*) AS num_traces, sum(num_runs) AS num_runs, count_if(is_open) AS num_open,
count_if(NOT is_open AND status = 'error') AS num_failed, sum(num_spans) AS num_spans,
sum(num_model_calls) AS num_model_calls, sum(num_tool_calls) AS num_tool_calls,
sum(num_unpriced_calls) AS num_unpriced_calls, sum(input_tokens) AS input_tokens,
sum(cache_read_tokens) AS cache_read_tokens, sum(cache_write_tokens) AS cache_write_tokens,
sum(output_tokens) AS output_tokens, sum(cost_usd) AS cost_usd,
approx_percentile(duration_ms, 0.5) AS p50_duration_ms, approx_percentile(duration_ms, 0.95) AS p95_duration_ms"""


class AgentsRepository:
    """Agents of one tenant."""

    def __init__(self, engine: TrinoEngine) -> None:
        self._engine = engine

    async def list_all(self, scope: Scope, *, from_at: datetime, to_at: datetime, limit: int) -> Rows:
        """Return every agent with its sums over [from_at, to_at), seen most recently first.

        Sums of an agent without a trace in the window are NULL.
        """
        where, parameters = _window(from_at, to_at, None)
        sql = (
            f"SELECT * FROM agents LEFT JOIN (SELECT agent_id, {_SUMS} FROM traces "  # noqa: S608 - texts of this module
            f"WHERE {where} GROUP BY agent_id) USING (agent_id) "
            f"ORDER BY last_seen_at DESC, agent_id LIMIT {int(limit) + 1}"
        )
        return await self._engine.read(scope, sql, parameters, max_rows=limit)

    async def is_known(self, scope: Scope, agent_id: str) -> bool:
        """Whether the tenant has an agent of this name."""
        rows = await self._engine.read(scope, "SELECT 1 FROM agents WHERE agent_id = ? LIMIT 1", [agent_id], max_rows=1)
        return bool(rows.rows)

    async def sum_up(self, scope: Scope, *, agent_id: str | None, from_at: datetime, to_at: datetime) -> dict[str, Any]:
        """Return the sums over [from_at, to_at) of one agent, or of all."""
        where, parameters = _window(from_at, to_at, agent_id)
        sql = f"SELECT {_SUMS} FROM traces WHERE {where}"  # noqa: S608 - texts of this module only
        return (await self._engine.read(scope, sql, parameters, max_rows=1)).as_dicts()[0]

    async def sum_up_by(
        self, scope: Scope, *, agent_id: str | None, bucket: Bucket, from_at: datetime, to_at: datetime
    ) -> list[dict[str, Any]]:
        """Return the sums by hour or day (UTC), oldest first; buckets without a trace are left out."""
        where, parameters = _window(from_at, to_at, agent_id)
        by = {"hour": "date_trunc('hour', started_at)", "day": "date_trunc('day', started_at)"}[bucket]
        sql = (
            f"SELECT {by} AS bucket_at, {_SUMS} FROM traces "  # noqa: S608 - texts of this module only
            f"WHERE {where} GROUP BY {by} ORDER BY bucket_at"
        )
        return (await self._engine.read(scope, sql, parameters, max_rows=100_000)).as_dicts()


def _window(from_at: datetime, to_at: datetime, agent_id: str | None) -> tuple[str, list[Any]]:
    where = "trace_date BETWEEN ? AND ? AND started_at >= ? AND started_at < ?"
    parameters: list[Any] = [*days_of(from_at, to_at), from_at, to_at]
    if agent_id is None:
        return where, parameters
    return f"{where} AND agent_id = ?", [*parameters, agent_id]
