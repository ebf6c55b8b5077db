"""Reads what was used: traces, calls, tokens and dollars, by one thing or another.

Upstream: views ``clawtrace.traces`` and ``clawtrace.spans``, through the engine.
Downstream: api/routers/usage.py.
Guarantee: each call counts once; for models the costs of all groups add up to the cost of the traces.
"""

from datetime import datetime
from typing import Any, Literal

from api.repositories.engine import Rows, TrinoEngine
from api.repositories.scope import Scope
from api.repositories.traces import days_of

UsageGroup = Literal["day", "agent", "category", "session", "model", "tool"]

_TOKENS = ", ".join(f"sum({kind}_tokens) AS {kind}_tokens" for kind in ("input", "cache_read", "cache_write", "output"))
# Group -> what it is called in the tables.
_OF_TRACES: dict[str, str] = {
    "day": "CAST(CAST(started_at AS date) AS varchar)",
    "agent": "agent_id",
    "category": "category",
    "session": "session_key",
}
_OF_SPANS: dict[str, tuple[str, str]] = {
    "model": ("model_call", "coalesce(provider || '/', '') || model"),
    "tool": ("tool_call", "tool_name"),
}


class UsageRepository:
    """Usage of one tenant."""

    def __init__(self, engine: TrinoEngine) -> None:
        self._engine = engine

    async def sum_up_by(
        self, scope: Scope, *, group: UsageGroup, agent_id: str | None, from_at: datetime, to_at: datetime, limit: int
    ) -> Rows:
        """Return the sums of each group, the dearest first (days: oldest first); at most ``limit`` groups.

        A trace belongs to the window by its own start, a model or tool call by its own.
        """
        where = "trace_date BETWEEN ? AND ? AND started_at >= ? AND started_at < ?"
        parameters: list[Any] = [*days_of(from_at, to_at), from_at, to_at]
        if agent_id is not None:
            where += " AND agent_id = ?"
            parameters.append(agent_id)
        if group in _OF_TRACES:
            key = _OF_TRACES[group]
            counts = (
                "count(*) AS num_traces, sum(num_spans) AS num_spans, sum(num_model_calls) AS num_model_calls, "
                "sum(num_tool_calls) AS num_tool_calls, sum(num_unpriced_calls) AS num_unpriced_calls, "
                "sum(num_errors) AS num_errors"
            )
            table = "traces"
        else:
            kind, key = _OF_SPANS[group]
            counts = (
                "count(DISTINCT trace_id) AS num_traces, count(*) AS num_spans, "
                "count_if(kind = 'model_call') AS num_model_calls, count_if(kind = 'tool_call') AS num_tool_calls, "
                "count_if(cost_usd IS NULL AND output_tokens > 0) AS num_unpriced_calls, "
                "count_if(status = 'error') AS num_errors"
            )
            table = "spans"
            where += " AND kind = ?"
            parameters.append(kind)
        order = "key" if group == "day" else "cost_usd DESC NULLS LAST, num_spans DESC, key"
        sql = (
            f"SELECT {key} AS key, {counts}, {_TOKENS}, sum(cost_usd) AS cost_usd FROM {table} "  # noqa: S608 - ours
            f"WHERE {where} GROUP BY {key} ORDER BY {order} LIMIT {int(limit) + 1}"
        )
        return await self._engine.read(scope, sql, parameters, max_rows=limit)
