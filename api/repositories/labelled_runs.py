"""Reads ended runs by a label, to compare its values.

Upstream: view ``clawtrace.cards``, through the engine.
Downstream: api/routers/compare.py.
Guarantee: names the days it reads; the newest runs of each value, at most as many as a comparison takes.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from api.repositories.engine import TrinoEngine
from api.repositories.scope import Scope
from stream_jobs.admin import MAX_COMPARED_RUNS, Run

_COLUMNS: Final = (
    "trace_id, task_id, status, total_cost_usd, num_model_calls, num_tool_calls, num_failed_steps, duration_ms"
)
MAX_LABELS: Final = 64


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs: of days, and of an agent or a task when these are given."""

    first_day: date
    last_day: date
    agent_id: str | None = None
    task_id: str | None = None

    def sql(self) -> tuple[str, list[Any]]:
        """Conditions, and their values."""
        where, values = ["trace_date BETWEEN ? AND ?"], [self.first_day, self.last_day]
        parameters: list[Any] = [*values]
        for column, value in (("agent_id", self.agent_id), ("task_id", self.task_id)):
            if value is not None:
                where.append(f"{column} = ?")
                parameters.append(value)
        return " AND ".join(where), parameters


class LabelledRunsRepository:
    """Runs of one tenant, by their labels."""

    def __init__(self, engine: TrinoEngine) -> None:
        self._engine = engine

    async def labels_with(self, scope: Scope, wanted: RunFilter, old: str, new: str) -> list[str]:
        """Return the labels that have had both values, in the order of their names."""
        where, values = wanted.sql()
        sql = (
            "SELECT label FROM cards CROSS JOIN UNNEST(labels) AS entry (label, value) "  # noqa: S608 - own texts
            f"WHERE {where} AND value IN (?, ?) GROUP BY label HAVING count(DISTINCT value) = 2 "
            f"ORDER BY label LIMIT {MAX_LABELS}"
        )
        rows = await self._engine.read(scope, sql, [*values, old, new], max_rows=MAX_LABELS)
        return [str(row[0]) for row in rows.rows]

    async def runs_with(self, scope: Scope, wanted: RunFilter, label: str, value: str) -> tuple[list[Run], bool]:
        """Return the newest runs whose label has the value, the newest last, and whether there were more."""
        where, values = wanted.sql()
        limit = MAX_COMPARED_RUNS + 1
        sql = (
            f"SELECT {_COLUMNS} FROM cards WHERE {where} AND element_at(labels, ?) = ? "  # noqa: S608 - own texts
            f"ORDER BY trace_date DESC, started_at DESC NULLS LAST, trace_id DESC LIMIT {limit}"
        )
        rows = (await self._engine.read(scope, sql, [*values, label, value], max_rows=limit)).as_dicts()
        runs = [_run(row) for row in rows[:MAX_COMPARED_RUNS]]
        return runs[::-1], len(rows) > MAX_COMPARED_RUNS


def _run(row: dict[str, Any]) -> Run:
    return Run(cost_usd=row.pop("total_cost_usd"), **row)
