"""Reads stored events as the batches they came in.

Upstream: view ``clawtrace.events``, through the engine.
Downstream: api/backtest/service.py.
Guarantee: batches in the order in which the server received them, each event once, as the view shows it; a page at a
time, so that a month needs no more memory than a page. For each day of receipt only the days are read on which its
events happened. An event that came more than ``LATE`` after it happened is left out.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import msgspec

from api.kit.instants import to_us
from api.repositories.engine import TrinoEngine
from api.repositories.scope import Scope
from producers.contracts.event import Event, EventBatch, Source, TraceContext

LATE: Final = timedelta(days=31)
_PAGE_ROWS: Final = 5_000
_PAGE_BYTES: Final = 64 * 1024 * 1024
_BATCH: Final = ("received_at", "agent_id", "spool_id")
_SOURCE: Final = ("source_name", "source_version", "source_host_version")
_TRACE: Final = ("trace_id", "span_id", "parent_span_id")
_PLAIN: Final = (
    "seq",
    "event_id",
    "hook",
    "run_id",
    "session_key",
    "session_id",
    "openclaw_agent_id",
    "tool_call_id",
    "call_id",
    "payload_ref",
)
_COLUMNS: Final = ", ".join((*_BATCH, *_SOURCE, *_TRACE, *_PLAIN, "at", "payload"))
_ORDER: Final = ", ".join((*_BATCH, "seq"))


@dataclass(frozen=True, slots=True)
class EventsWanted:
    """Events received in [from_at, to_at), of one install or of all."""

    from_at: datetime
    to_at: datetime
    agent_id: str | None

    def on(self, day: date) -> "EventsWanted":
        """Only those received on a day (UTC)."""
        start = datetime.combine(day, time(), UTC)
        return EventsWanted(max(self.from_at, start), min(self.to_at, start + timedelta(days=1)), self.agent_id)

    def sql(self, first_day: date, last_day: date) -> tuple[str, list[Any]]:
        """Return the condition and its parameters; the days are those on which the events happened."""
        where = "event_date BETWEEN ? AND ? AND received_at >= ? AND received_at < ?"
        parameters: list[Any] = [first_day, last_day, self.from_at, self.to_at]
        if self.agent_id is None:
            return where, parameters
        return f"{where} AND agent_id = ?", [*parameters, self.agent_id]


class StoredEventsRepository:
    """Events of one tenant."""

    def __init__(self, engine: TrinoEngine) -> None:
        self._engine = engine

    async def count_days(self, scope: Scope, wanted: EventsWanted) -> dict[date, dict[date, int]]:
        """Return how many events there are: by day of receipt, by day they happened on."""
        first_day, last_day = (wanted.from_at - LATE).date(), (wanted.to_at + timedelta(days=1)).date()
        where, parameters = wanted.sql(first_day, last_day)
        sql = (
            "SELECT CAST(received_at AT TIME ZONE 'UTC' AS date), event_date, count(*) FROM events "  # noqa: S608
            f"WHERE {where} GROUP BY 1, 2 ORDER BY 1, 2"
        )
        found: dict[date, dict[date, int]] = {}
        num_days = (last_day - first_day).days + 1
        rows = await self._engine.read(scope, sql, parameters, max_rows=num_days * num_days)
        for received, happened, count in rows.rows:
            found.setdefault(received, {})[happened] = count
        return found

    async def batches(
        self, scope: Scope, wanted: EventsWanted, days: dict[date, dict[date, int]]
    ) -> AsyncIterator[list[EventBatch]]:
        """Yield the batches of ``count_days``, page by page."""
        waiting: list[dict[str, Any]] = []
        for day, happened in days.items():
            async for rows in self._pages(scope, wanted.on(day), min(happened), max(happened)):
                whole, waiting = _cut(scope.tenant_id, [*waiting, *rows])
                if whole:
                    yield whole
        if waiting:
            yield [_batch(scope.tenant_id, waiting)]

    async def _pages(
        self, scope: Scope, wanted: EventsWanted, first_day: date, last_day: date
    ) -> AsyncIterator[list[dict[str, Any]]]:
        where, parameters = wanted.sql(first_day, last_day)
        after: tuple[Any, ...] | None = None
        while True:
            behind = "" if after is None else f"AND ({_ORDER}) > (?, ?, ?, ?) "
            sql = (
                f"SELECT {_COLUMNS} FROM events WHERE {where} {behind}"  # noqa: S608 - texts of this module only
                f"ORDER BY {_ORDER} LIMIT {_PAGE_ROWS}"
            )
            values = [*parameters, *(after or ())]
            page = await self._engine.read(scope, sql, values, max_rows=_PAGE_ROWS, max_bytes=_PAGE_BYTES)
            rows = page.as_dicts()
            if rows:
                after = tuple(rows[-1][name] for name in (*_BATCH, "seq"))
                yield rows
            if len(rows) < _PAGE_ROWS and not page.truncated:
                return


def _cut(tenant_id: str, rows: list[dict[str, Any]]) -> tuple[list[EventBatch], list[dict[str, Any]]]:
    """Make batches of rows; the last may go on in the next page, so its rows are given back."""
    batches: list[EventBatch] = []
    waiting: list[dict[str, Any]] = []
    for row in rows:
        if waiting and any(row[name] != waiting[0][name] for name in _BATCH):
            batches.append(_batch(tenant_id, waiting))
            waiting = []
        waiting.append(row)
    return batches, waiting


def _batch(tenant_id: str, rows: list[dict[str, Any]]) -> EventBatch:
    first = rows[0]
    name, version, host_version = (first[column] or "" for column in _SOURCE)
    return EventBatch(
        tenant_id=tenant_id,
        agent_id=first["agent_id"],
        source=Source(name=name, version=version, host_version=host_version),
        spool_id=first["spool_id"],
        received_at_us=to_us(first["received_at"]),
        events=[_event(row) for row in rows],
    )


def _event(row: dict[str, Any]) -> Event:
    trace_id, span_id, parent_span_id = (row[name] for name in _TRACE)
    return Event(
        **{name: row[name] for name in _PLAIN},
        at_us=to_us(row["at"]),
        trace=None
        if trace_id is None
        else TraceContext(trace_id=trace_id, span_id=span_id, parent_span_id=parent_span_id),
        payload=msgspec.Raw(row["payload"].encode()),
    )
