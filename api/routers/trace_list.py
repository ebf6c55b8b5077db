"""The pages of the list of traces.

Upstream: api/routers/traces.py.
Downstream: api/repositories/traces.py.
Guarantee: all pages are of one list: each trace that was there when the first page was read is on one page. Sorted by
what grows while a run goes on, the order is fixed when the second page is asked for, and kept (api/kit/frozen.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from api.kit.cursor import Cursor, InvalidCursor, decode_cursor
from api.kit.frozen import FrozenList
from api.kit.instants import to_us
from api.kit.values import decimal_text
from api.repositories.scope import Scope
from api.repositories.trace_filter import TraceFilter, TraceSort
from api.repositories.traces import TraceKey, key_of
from api.routers.window import check_window
from api.schemas.trace_query import TraceConditions, TraceQuery
from api.schemas.traces import TracePage, TraceSummary
from api.services import Services

_LIST = "traces"
# Agents' clocks may run ahead of ours.
_CLOCK_AHEAD = timedelta(days=1)
_MAX_USD = Decimal(10) ** 12
_MAX_FROZEN = 10_000
_SORT: TypeAdapter[TraceSort] = TypeAdapter(TraceSort)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins: behind this row, which is this one of a kept order."""

    value: Any
    key: TraceKey
    list_name: str
    number: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """One list: its window, conditions and order."""

    window: tuple[datetime, datetime]
    wanted: TraceFilter
    sort: TraceSort

    @property
    def is_moving(self) -> bool:
        """Whether its order may change while it is read."""
        return self.sort.removeprefix("-") != "started_at"

    def cursor(self, row: dict[str, Any], list_name: str, number: int) -> str:
        """Return the word for what follows a row."""
        value = row["sort_value"]
        key = key_of(row)
        return Cursor(
            _LIST,
            self.sort,
            to_us(value)
            if isinstance(value, datetime)
            else decimal_text(value)
            if isinstance(value, Decimal)
            else value,
            (key[0].isoformat(), key[1], key[2], list_name, str(number)),
            *self.window,
            {name: decimal_text(one) if isinstance(one, Decimal) else one for name, one in self.wanted.given().items()},
        ).encode()


async def list_page(scope: Scope, services: Services, query: TraceQuery) -> TracePage:
    """Return the page that a query asks for."""
    width = timedelta(days=services.settings.api_list_window_days)
    if query.cursor is not None:
        return await _next_page(scope, services, query.cursor, query.limit)
    latest = datetime.now(UTC) + _CLOCK_AHEAD
    start, end = check_window(query.from_at, query.to_at, width=width, latest=latest)
    wanted, sort = query.as_filter(), query.sort
    page = await _first_page(scope, services, _Asked((start, end), wanted, sort), query.limit)
    if not page.items and query.from_at is None and query.to_at is None:
        newest = await services.traces.find_newest_start(scope)
        if newest is not None and newest < start:
            end = newest + timedelta(microseconds=1)
            page = await _first_page(scope, services, _Asked((end - width, end), wanted, sort), query.limit)
    return page


async def _first_page(scope: Scope, services: Services, asked: _Asked, limit: int) -> TracePage:
    asked_at = datetime.now(UTC)
    rows = await _read(scope, services, asked, None, limit + 1)
    if len(rows) <= limit:
        return _page(rows, None)
    # Traces of clocks that run ahead stay in, those that start from now on stay out.
    newest = max(asked_at, max(row["started_at"] for row in rows) + timedelta(microseconds=1))
    asked = _Asked((asked.window[0], min(asked.window[1], newest)), asked.wanted, asked.sort)
    rows = rows[:limit]
    list_name = services.frozen.begin(scope.tenant_id, [key_of(row) for row in rows]) if asked.is_moving else ""
    return _page(rows, asked.cursor(rows[-1], list_name, 0))


async def _next_page(scope: Scope, services: Services, text: str, limit: int) -> TracePage:
    asked, place = _decode(text)
    frozen = services.frozen.find(scope.tenant_id, place.list_name) if place.list_name else None
    if frozen is not None:
        return await _frozen_page(scope, services, asked, place, frozen, limit)
    rows = await _read(scope, services, asked, place, limit + 1)
    if len(rows) <= limit:
        return _page(rows, None)
    return _page(rows[:limit], asked.cursor(rows[limit - 1], "", 0))


async def _frozen_page(
    scope: Scope, services: Services, asked: _Asked, place: _Place, frozen: FrozenList[TraceKey], limit: int
) -> TracePage:
    if frozen.rest is None:
        order = await services.traces.list_keys(
            scope,
            from_at=asked.window[0],
            to_at=asked.window[1],
            wanted=asked.wanted,
            sort=asked.sort,
            limit=_MAX_FROZEN,
        )
        frozen.fix(order, is_cut=len(order) == _MAX_FROZEN)
    rest = frozen.rest or ()
    keys = rest[place.number : place.number + limit]
    found = {key_of(row): row for row in await services.traces.list_by_keys(scope, keys, sort=asked.sort)}
    rows = [found[key] for key in keys if key in found]
    number = place.number + len(keys)
    if not rows or (number >= len(rest) and not frozen.is_cut):
        return _page(rows, None)
    # Behind what is kept, the list goes on as it is then.
    return _page(rows, asked.cursor(rows[-1], place.list_name if number < len(rest) else "", number))


def _decode(text: str) -> tuple[_Asked, _Place]:
    after = decode_cursor(text, _LIST, num_keys=5)
    try:
        sort = _SORT.validate_python(after.sort)
        wanted = TraceConditions.model_validate(after.filters).as_filter()
        key = (date.fromisoformat(after.key[0]), after.key[1], after.key[2])
        place = _Place(_sort_value(sort, after), key, after.key[3], int(after.key[4]))
        if not 0 <= place.number <= _MAX_FROZEN:
            raise ValueError(after.key[4])
    except (ValueError, ArithmeticError) as error:
        raise InvalidCursor("not a cursor of the list of traces: start again without it") from error
    if after.from_at is None or after.to_at is None:
        raise InvalidCursor("not a cursor of the list of traces: it has no window")
    return _Asked((after.from_at, after.to_at), wanted, sort), place


def _sort_value(sort: TraceSort, after: Cursor) -> Any:
    match sort.removeprefix("-"):
        case "started_at":
            return after.at
        case "cost_usd":
            value = Decimal(after.value)
            if not value.is_finite() or abs(value) > _MAX_USD:
                raise ValueError(after.value)
            return value
    return int(after.value)


async def _read(
    scope: Scope, services: Services, asked: _Asked, place: _Place | None, limit: int
) -> list[dict[str, Any]]:
    return await services.traces.list_page(
        scope,
        from_at=asked.window[0],
        to_at=asked.window[1],
        wanted=asked.wanted,
        sort=asked.sort,
        after=None if place is None else (place.value, place.key),
        limit=limit,
    )


def _page(rows: Sequence[dict[str, Any]], next_cursor: str | None) -> TracePage:
    return TracePage(items=[TraceSummary.from_row(row) for row in rows], next_cursor=next_cursor)
