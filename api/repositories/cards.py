"""Reads TraceCards.

Upstream: view ``clawtrace.cards``, through the engine.
Downstream: api/routers/trace_views.py and trace_costs.py, api/learn/reading.py.
Guarantee: one card a trace, the newest revision.
"""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from api.repositories.engine import TrinoEngine
from api.repositories.scope import Scope
from api.repositories.spans import TracePlace
from lakehouse.contracts.tables import table_named

_COLUMNS = ", ".join(column.name for column in table_named("cards").visible_columns if column.name != "tenant_id")

_QUALIFIED = ", ".join(f"c.{name}" for name in _COLUMNS.split(", "))


class CardsRepository:
    """Cards of one tenant."""

    def __init__(self, engine: TrinoEngine) -> None:
        self._engine = engine

    async def find(self, scope: Scope, trace: TracePlace) -> dict[str, Any] | None:
        """Return the card of a trace; None when it has none."""
        sql = (
            f"SELECT {_COLUMNS} FROM cards "  # noqa: S608 - texts of this module only
            "WHERE trace_date = ? AND agent_id = ? AND trace_id = ?"
        )
        rows = await self._engine.read(scope, sql, trace.values, max_rows=1)
        return rows.as_dicts()[0] if rows.rows else None

    async def find_dearest_task(self, scope: Scope, agent_id: str, days: tuple[date, date]) -> str | None:
        """Return the task that an agent spent most on, of those done more than once if there is any; None without one.

        ``days`` are the first and the last trace_date.
        """
        sql = (
            "SELECT task_id FROM cards WHERE trace_date BETWEEN ? AND ? AND agent_id = ? GROUP BY task_id "
            "ORDER BY count(*) > 1 DESC, sum(total_cost_usd) DESC NULLS LAST, task_id LIMIT 1"
        )
        rows = await self._engine.read(scope, sql, [*days, agent_id], max_rows=1)
        return rows.rows[0][0] if rows.rows else None

    async def list_of_task(
        self, scope: Scope, agent_id: str, task_id: str, days: tuple[date, date], *, limit: int
    ) -> list[dict[str, Any]]:
        """Return the cards of a task's newest runs."""
        sql = (
            f"SELECT {_QUALIFIED} FROM cards c JOIN traces t "  # noqa: S608 - texts of this module only
            "ON t.trace_date = c.trace_date AND t.agent_id = c.agent_id AND t.trace_id = c.trace_id "
            "WHERE c.trace_date BETWEEN ? AND ? AND t.trace_date BETWEEN ? AND ? AND c.agent_id = ? AND c.task_id = ? "
            f"ORDER BY t.started_at DESC, c.trace_id LIMIT {int(limit)}"
        )
        rows = await self._engine.read(scope, sql, [*days, *days, agent_id, task_id], max_rows=limit)
        return rows.as_dicts()

    async def find_median(
        self, scope: Scope, trace: TracePlace, task_id: str, *, days: int
    ) -> tuple[TracePlace, Decimal, int] | None:
        """Return the run of median cost among the other runs of a task up to the trace's day; None: there is none.

        With it come its cost and how many runs there are. Of an even number, the cheaper of the two in the middle.
        """
        sql = (
            "SELECT trace_id, trace_date, total_cost_usd, num_runs FROM ("
            "SELECT trace_id, trace_date, total_cost_usd, count(*) OVER () AS num_runs, "
            "row_number() OVER (ORDER BY total_cost_usd, trace_date, trace_id) AS place FROM cards "
            "WHERE trace_date BETWEEN ? AND ? AND agent_id = ? AND task_id = ? AND trace_id <> ? "
            "AND total_cost_usd IS NOT NULL) WHERE place = (num_runs + 1) / 2"
        )
        last_day = trace.trace_date
        parameters = [last_day - timedelta(days=days), last_day, trace.agent_id, task_id, trace.trace_id]
        rows = await self._engine.read(scope, sql, parameters, max_rows=1)
        if not rows.rows:
            return None
        trace_id, trace_date, cost_usd, num_runs = rows.rows[0]
        return TracePlace(trace_id, trace_date, trace.agent_id), cost_usd, num_runs
