"""Reads sessions: conversations, each with its runs and all that their sub-agents cost.

Upstream: views ``clawtrace.traces`` and ``clawtrace.spans``, through the engine.
Downstream: api/routers/sessions.py.
Guarantee: a trace is in the session of its root run, with its sub-agents; the cost of a run holds that of the runs
below it, so the costs of runs inside each other are not to be added.
"""

from datetime import datetime
from typing import Any

from api.repositories.engine import Rows, TrinoEngine
from api.repositories.scope import Scope
from api.repositories.traces import days_of

_KINDS = ("input", "cache_read", "cache_write", "output")
_TOKENS = ", ".join(f"sum({kind}_tokens) AS {kind}_tokens" for kind in _KINDS)
_RUN_TOKENS = ", ".join(f"sum(below.run_{kind}_tokens) AS {kind}_tokens" for kind in _KINDS)


class SessionsRepository:
    """Sessions of one tenant."""

    def __init__(self, engine: TrinoEngine) -> None:
        self._engine = engine

    async def list_page(
        self,
        scope: Scope,
        *,
        from_at: datetime,
        to_at: datetime,
        agent_id: str | None,
        after: tuple[datetime, str, str] | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """Return sessions with traces that started in [from_at, to_at), the one with the newest trace first.

        ``after`` is the start of the newest trace, the session and the agent of a row.
        """
        where = ["trace_date BETWEEN ? AND ? AND started_at >= ? AND started_at < ? AND session_key IS NOT NULL"]
        parameters: list[Any] = [*days_of(from_at, to_at), from_at, to_at]
        if agent_id is not None:
            where.append("agent_id = ?")
            parameters.append(agent_id)
        having = ""
        if after is not None:
            having = "HAVING (max(started_at), session_key, agent_id) < (?, ?, ?) "
            parameters += after
        sql = (
            "SELECT session_key, agent_id, min(started_at) AS first_started_at, "  # noqa: S608 - texts of this module
            "max(started_at) AS last_started_at, max_by(name, started_at) AS last_name, count(*) AS num_traces, "
            "sum(num_runs) AS num_runs, count_if(NOT is_open AND status = 'error') AS num_failed, "
            "count_if(is_open) AS num_open, sum(num_model_calls) AS num_model_calls, "
            f"sum(num_unpriced_calls) AS num_unpriced_calls, {_TOKENS}, sum(cost_usd) AS cost_usd FROM traces "
            f"WHERE {' AND '.join(where)} GROUP BY session_key, agent_id {having}"
            f"ORDER BY last_started_at DESC, session_key DESC, agent_id DESC LIMIT {int(limit)}"
        )
        return (await self._engine.read(scope, sql, parameters, max_rows=limit)).as_dicts()

    async def list_runs(
        self, scope: Scope, *, session_key: str, agent_id: str | None, from_at: datetime, to_at: datetime, limit: int
    ) -> Rows:
        """Return the runs of a session that started in [from_at, to_at), newest first, at most ``limit``.

        Costs and tokens hold those of all runs below a run.
        """
        days = days_of(from_at, to_at)
        where, parameters = "session_key = ? AND started_at >= ? AND started_at < ?", [session_key, from_at, to_at]
        if agent_id is not None:
            where += " AND agent_id = ?"
            parameters.append(agent_id)
        runs = "SELECT * FROM spans WHERE trace_date BETWEEN ? AND ? AND kind = 'run'"
        sql = (
            f"WITH runs AS ({runs}), mine AS (SELECT * FROM runs WHERE {where}) "  # noqa: S608 - texts of this module
            "SELECT mine.trace_id, mine.agent_id, mine.span_id, mine.run_id, mine.openclaw_agent_id, mine.name, "
            "mine.status, mine.error, mine.depth, mine.started_at, mine.ended_at, mine.duration_ms, "
            f"mine.run_cost_usd AS own_cost_usd, count(*) - 1 AS num_sub_runs, {_RUN_TOKENS}, "
            "sum(below.run_cost_usd) AS cost_usd "
            "FROM mine JOIN runs below ON below.trace_date = mine.trace_date AND below.agent_id = mine.agent_id "
            "AND below.trace_id = mine.trace_id "
            "AND (below.span_id = mine.span_id OR contains(below.path, mine.span_id)) "
            "GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 "
            f"ORDER BY mine.started_at DESC, mine.span_id LIMIT {int(limit) + 1}"
        )
        return await self._engine.read(scope, sql, [*days, *parameters], max_rows=limit)
