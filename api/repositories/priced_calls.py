"""Reads model calls with what they cost, to see what today's prices would change.

Upstream: view ``clawtrace.spans``, through the engine.
Downstream: api/reprice/service.py.
Guarantee: every call of the period, day by day of its trace, so that a page never reads more than one day's files.
"""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from api.repositories.engine import TrinoEngine
from api.repositories.scope import Scope
from stream_jobs.prices.history import COLUMNS

_ROWS_PER_PAGE = 5_000
_WHERE = "kind = 'model_call' AND usage_source IS NOT NULL AND started_at >= ? AND started_at < ?"


class PricedCallsRepository:
    """Model calls of one tenant."""

    def __init__(self, engine: TrinoEngine) -> None:
        self._engine = engine

    async def count(self, scope: Scope, *, first_day: date, since: date, until: date, agent_id: str | None) -> int:
        """Return how many calls there are; ``first_day`` is the earliest day of a trace that may hold one."""
        where, parameters = _where(since, until, agent_id)
        sql = f"SELECT count(*) FROM spans WHERE trace_date BETWEEN ? AND ? AND {where}"  # noqa: S608
        rows = await self._engine.read(scope, sql, [first_day, until, *parameters], max_rows=1)
        return int(rows.rows[0][0])

    async def pages(
        self, scope: Scope, *, day: date, since: date, until: date, agent_id: str | None
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield the calls in traces of one day that started from ``since`` to ``until`` (both included)."""
        where, parameters = _where(since, until, agent_id)
        after: tuple[Any, ...] | None = None
        while True:
            behind = "" if after is None else "AND (trace_id, agent_id, span_id) > (?, ?, ?) "
            sql = (
                f"SELECT trace_id, {', '.join(COLUMNS)} FROM spans "  # noqa: S608 - texts of this module only
                f"WHERE trace_date = ? AND {where} {behind}"
                f"ORDER BY trace_id, agent_id, span_id LIMIT {_ROWS_PER_PAGE}"
            )
            values = [day, *parameters, *(after or ())]
            found = (await self._engine.read(scope, sql, values, max_rows=_ROWS_PER_PAGE)).as_dicts()
            if found:
                yield [{**row, "started_at": row["started_at"].isoformat()} for row in found]
            if not found:
                return
            after = tuple(found[-1][name] for name in ("trace_id", "agent_id", "span_id"))


def _where(since: date, until: date, agent_id: str | None) -> tuple[str, list[Any]]:
    start = datetime.combine(since, time(), UTC)
    end = datetime.combine(until + timedelta(days=1), time(), UTC)
    if agent_id is None:
        return _WHERE, [start, end]
    return f"{_WHERE} AND agent_id = ?", [start, end, agent_id]
