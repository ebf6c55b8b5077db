"""Reads traces.

Upstream: view ``clawtrace.traces``, through the engine.
Downstream: api/routers/traces.py.
Guarantee: every query names the days it reads (trace_date), except the one that finds the day of a trace, which is
asked once a process: a trace keeps its day and its agent.
"""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from api.repositories.engine import TrinoEngine
from api.repositories.scope import Scope
from api.repositories.spans import TracePlace
from api.repositories.trace_filter import TraceFilter, TraceSort, behind_sql, filter_sql, order_sql, sort_value

_COLUMNS = """trace_id, trace_date, agent_id, root_span_id, name, category, status, session_key, openclaw_agent_id,
started_at, ended_at, duration_ms, num_spans, num_runs, num_model_calls, num_tool_calls, num_errors,
num_unpriced_calls, models, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, cost_usd,
reported_cost_usd, has_error, is_open, labels"""

# A trace belongs to the day on which it was first seen; a span that came late may lie before that.
_DAY_SLACK = timedelta(days=1)
_MAX_PLACES = 20_000
# Where the newest traces are looked for first: a month's days cost ten times as much as these.
_NEAR = timedelta(days=3)

TraceKey = tuple[date, str, str]
"""Day, id and agent of a trace."""


def days_of(from_at: datetime, to_at: datetime) -> tuple[date, date]:
    """First and last trace_date that traces and spans of a window can lie in."""
    return (from_at - _DAY_SLACK).date(), (to_at + _DAY_SLACK).date()


def key_of(row: dict[str, Any]) -> TraceKey:
    """Key of a trace, from its row."""
    return row["trace_date"], row["trace_id"], row["agent_id"]


def place_of(row: dict[str, Any]) -> TracePlace:
    """Place of a trace, from its row."""
    return TracePlace(row["trace_id"], row["trace_date"], row["agent_id"])


def _where(from_at: datetime, to_at: datetime, wanted: TraceFilter) -> tuple[list[str], list[Any]]:
    days = days_of(from_at, to_at)
    narrowed, values = filter_sql(wanted, days)
    where = ["trace_date BETWEEN ? AND ?", "started_at >= ?", "started_at < ?", *narrowed]
    return where, [*days, from_at, to_at, *values]


def _rank(place: TracePlace) -> tuple[int, str]:
    return -place.trace_date.toordinal(), place.agent_id


class TracesRepository:
    """Traces of one tenant."""

    def __init__(self, engine: TrinoEngine) -> None:
        self._engine = engine
        self._places: OrderedDict[tuple[str, str], TracePlace] = OrderedDict()

    async def list_page(
        self,
        scope: Scope,
        *,
        from_at: datetime,
        to_at: datetime,
        wanted: TraceFilter,
        sort: TraceSort,
        after: tuple[Any, tuple[Any, ...]] | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """Return traces that started in [from_at, to_at), those behind ``after`` only.

        ``after`` is the sort value and (trace_date, trace_id, agent_id) of a row. Rows have ``sort_value`` beside
        the columns of a trace.
        """
        if sort == "-started_at":
            # What is behind a row started no later than it.
            newest_at = to_at if after is None else min(to_at, after[0])
            if newest_at - _NEAR > from_at:
                rows = await self._read_page(scope, (newest_at - _NEAR, to_at), wanted, sort, after, limit)
                if len(rows) >= limit:
                    return rows
        return await self._read_page(scope, (from_at, to_at), wanted, sort, after, limit)

    async def _read_page(
        self,
        scope: Scope,
        window: tuple[datetime, datetime],
        wanted: TraceFilter,
        sort: TraceSort,
        after: tuple[Any, tuple[Any, ...]] | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        where, parameters = _where(*window, wanted)
        if after is not None:
            behind, values = behind_sql(sort, *after)
            where.append(behind)
            parameters += values
        sql = (
            f"SELECT {_COLUMNS}, {sort_value(sort)} AS sort_value FROM traces "  # noqa: S608 - texts of this module
            f"WHERE {' AND '.join(where)} ORDER BY {order_sql(sort)} LIMIT {int(limit)}"
        )
        rows = (await self._engine.read(scope, sql, parameters, max_rows=limit)).as_dicts()
        for row in rows:
            self._remember(scope, row)
        return rows

    async def list_keys(
        self, scope: Scope, *, from_at: datetime, to_at: datetime, wanted: TraceFilter, sort: TraceSort, limit: int
    ) -> list[TraceKey]:
        """Return the keys of traces that started in [from_at, to_at), in the order of the sort."""
        where, parameters = _where(from_at, to_at, wanted)
        sql = (
            "SELECT trace_date, trace_id, agent_id FROM traces "  # noqa: S608 - texts of this module
            f"WHERE {' AND '.join(where)} ORDER BY {order_sql(sort)} LIMIT {int(limit)}"
        )
        rows = await self._engine.read(scope, sql, parameters, max_rows=limit)
        return [(row[0], row[1], row[2]) for row in rows.rows]

    async def list_by_keys(self, scope: Scope, keys: Sequence[TraceKey], *, sort: TraceSort) -> list[dict[str, Any]]:
        """Return the traces of these keys, in no order, with ``sort_value`` as in :meth:`list_page`."""
        if not keys:
            return []
        days = [key[0] for key in keys]
        places = ", ".join(["(?, ?, ?)"] * len(keys))
        sql = (
            f"SELECT {_COLUMNS}, {sort_value(sort)} AS sort_value FROM traces "  # noqa: S608 - texts of this module
            f"WHERE trace_date BETWEEN ? AND ? AND (trace_date, trace_id, agent_id) IN ({places})"
        )
        parameters = [min(days), max(days), *(part for key in keys for part in key)]
        rows = (await self._engine.read(scope, sql, parameters, max_rows=len(keys))).as_dicts()
        for row in rows:
            self._remember(scope, row)
        return rows

    async def find_newest_start(self, scope: Scope) -> datetime | None:
        """Return when the newest trace started; None when there is none."""
        rows = await self._engine.read(scope, "SELECT max(started_at) FROM traces", max_rows=1)
        newest: datetime | None = rows.rows[0][0] if rows.rows else None
        return newest

    async def find(self, scope: Scope, trace_id: str, agent_id: str | None = None) -> dict[str, Any] | None:
        """Return one trace, whatever its day; None when this tenant has none of that id.

        Two agents may have a trace of the same id; without ``agent_id`` the newer day counts.
        """
        where, parameters = ["trace_id = ?"], list[Any]([trace_id])
        place = self.recall_place(scope, trace_id, agent_id)
        if place is not None:
            where += ["trace_date = ?", "agent_id = ?"]
            parameters += [place.trace_date, place.agent_id]
        elif agent_id is not None:
            where.append("agent_id = ?")
            parameters.append(agent_id)
        sql = (
            f"SELECT {_COLUMNS} FROM traces WHERE {' AND '.join(where)} "  # noqa: S608 - texts of this module only
            "ORDER BY trace_date DESC, agent_id LIMIT 1"
        )
        rows = await self._engine.read(scope, sql, parameters, max_rows=1)
        if not rows.rows:
            return None
        row = rows.as_dicts()[0]
        self._remember(scope, row)
        return row

    async def find_place(self, scope: Scope, trace_id: str, agent_id: str | None = None) -> TracePlace | None:
        """Return the day and the agent of a trace, by which the other tables are partitioned and sorted."""
        place = self.recall_place(scope, trace_id, agent_id)
        if place is not None:
            return place
        row = await self.find(scope, trace_id, agent_id)
        return None if row is None else place_of(row)

    def recall_place(self, scope: Scope, trace_id: str, agent_id: str | None = None) -> TracePlace | None:
        """Return the place when this process has seen the trace before, without asking Trino."""
        place = self._places.get((scope.tenant_id, trace_id))
        return place if place is not None and agent_id in (None, place.agent_id) else None

    def _remember(self, scope: Scope, row: dict[str, Any]) -> None:
        key = (scope.tenant_id, row["trace_id"])
        place, known = place_of(row), self._places.get(key)
        # The one that a look-up without the agent prefers.
        if known is None or _rank(place) < _rank(known):
            self._places[key] = place
        self._places.move_to_end(key)
        while len(self._places) > _MAX_PLACES:
            self._places.popitem(last=False)
