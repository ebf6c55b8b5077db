"""GET /v1/traces and what hangs below it.

Upstream: clients with a read key.
Downstream: api/live, api/repositories/traces.py and spans.py.
Guarantee: the pages of a list are of one list; a trace of another tenant and one that does not exist give the same
404.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter

from api.kit.cursor import Cursor, InvalidCursor, decode_cursor, to_us
from api.kit.values import decimal_text
from api.live.merge import merge_rows
from api.repositories.scope import Scope
from api.repositories.trace_filter import TraceFilter, TraceSort
from api.repositories.traces import place_of
from api.routers.trace_ref import SpanId, TraceRef, TraceRefDep, find_live, find_place, find_row
from api.routers.window import check_window
from api.schemas.trace_query import TraceConditions, TraceQuery
from api.schemas.traces import SpanDetail, SpanSummary, TraceDetail, TracePage, TraceSummary
from api.services import ScopeDep, Services, ServicesDep, while_connected
from infra.runtime.problem import not_found, problem_responses
from stream_jobs.contracts.span import Span

_LIST = "traces"
# Agents' clocks may run ahead of ours.
_CLOCK_AHEAD = timedelta(days=1)
_MAX_USD = Decimal(10) ** 12
_SORT: TypeAdapter[TraceSort] = TypeAdapter(TraceSort)

router = APIRouter(prefix="/v1/traces", tags=["traces"])

_NO_PAYLOADS = dict.fromkeys(("input", "input_chars", "output", "output_chars", "next_offset"))


@router.get("", summary="List traces", responses=problem_responses(401, 403, 422, 429, 503))
async def list_traces(
    request: Request, scope: ScopeDep, services: ServicesDep, query: Annotated[TraceQuery, Query()]
) -> TracePage:
    """List the traces that started within a time window of at most 90 days, newest first unless `sort` says otherwise.

    Without `from` and `to` the window is the last 90 days; when nothing happened in these, the 90 days up to the newest
    trace. With one of the two, the other is 90 days away. A cursor carries the window, the order and the conditions of
    the first page, so nothing else needs to be sent with it. Traces that start after the first page was read are not
    in the pages behind it; one whose cost or duration grows meanwhile may, when sorted by it, cross the edge of a page.
    """
    return await while_connected(request, _list(scope, services, query))


@router.get(
    "/{trace_id}",
    summary="Read a trace with its spans",
    responses=problem_responses(401, 403, 404, 422, 429, 503),
)
async def get_trace(request: Request, scope: ScopeDep, services: ServicesDep, trace: TraceRefDep) -> TraceDetail:
    """Read the roll-up of a trace and its spans in the order they started. Payloads are with the single spans."""
    return await while_connected(request, _detail(scope, services, trace))


@router.get(
    "/{trace_id}/spans/{span_id}",
    summary="Read one span",
    responses=problem_responses(401, 403, 404, 422, 429, 503),
)
async def get_span(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    trace: TraceRefDep,
    span_id: SpanId,
    payloads: Annotated[bool, Query(description="Whether to return what went in and what came out, too.")] = False,
    offset: Annotated[int, Query(ge=0, le=2**40, description="First character of both payloads.")] = 0,
    limit: Annotated[int, Query(ge=1, le=4_000_000, description="Most characters of each payload.")] = 100_000,
) -> SpanDetail:
    """Read one span; with `payloads=true` also what went in and what came out, a stretch at a time."""
    stretch = (offset, limit) if payloads else None
    return await while_connected(request, _span(scope, services, trace, span_id, stretch))


async def _list(scope: Scope, services: Services, query: TraceQuery) -> TracePage:
    width = timedelta(days=services.settings.api_list_window_days)
    if query.cursor is not None:
        return await _next_page(scope, services, query.cursor, query.limit)
    latest = datetime.now(UTC) + _CLOCK_AHEAD
    start, end = check_window(query.from_at, query.to_at, width=width, latest=latest)
    wanted, sort = query.as_filter(), query.sort
    page = await _page(scope, services, (start, end), wanted, sort, None, query.limit)
    if not page.items and query.from_at is None and query.to_at is None:
        newest = await services.traces.find_newest_start(scope)
        if newest is not None and newest < start:
            end = newest + timedelta(microseconds=1)
            page = await _page(scope, services, (end - width, end), wanted, sort, None, query.limit)
    return page


async def _next_page(scope: Scope, services: Services, text: str, limit: int) -> TracePage:
    after = decode_cursor(text, _LIST, num_keys=3)
    try:
        sort = _SORT.validate_python(after.sort)
        wanted = TraceConditions.model_validate(after.filters).as_filter()
        day, trace_id, agent_id = date.fromisoformat(after.key[0]), after.key[1], after.key[2]
        value = _sort_value(sort, after)
    except (ValueError, ArithmeticError) as error:
        raise InvalidCursor("not a cursor of the list of traces: start again without it") from error
    if after.from_at is None or after.to_at is None:
        raise InvalidCursor("not a cursor of the list of traces: it has no window")
    window = (after.from_at, after.to_at)
    return await _page(scope, services, window, wanted, sort, (value, (day, trace_id, agent_id)), limit)


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


async def _page(
    scope: Scope,
    services: Services,
    window: tuple[datetime, datetime],
    wanted: TraceFilter,
    sort: TraceSort,
    after: tuple[Any, tuple[Any, ...]] | None,
    limit: int,
) -> TracePage:
    asked_at = datetime.now(UTC)
    rows = await services.traces.list_page(
        scope, from_at=window[0], to_at=window[1], wanted=wanted, sort=sort, after=after, limit=limit + 1
    )
    items = [TraceSummary.from_row(row) for row in rows[:limit]]
    if len(rows) <= limit:
        return TracePage(items=items, next_cursor=None)
    last, value = items[-1], rows[limit - 1]["sort_value"]
    # Traces of clocks that run ahead stay in, those that start from now on stay out.
    newest = max(asked_at, max(row["started_at"] for row in rows) + timedelta(microseconds=1))
    following = Cursor(
        _LIST,
        sort,
        to_us(value) if isinstance(value, datetime) else decimal_text(value) if isinstance(value, Decimal) else value,
        (last.trace_date.isoformat(), last.trace_id, last.agent_id),
        window[0],
        min(window[1], newest) if after is None else window[1],
        {name: decimal_text(one) if isinstance(one, Decimal) else one for name, one in wanted.given().items()},
    )
    return TracePage(items=items, next_cursor=following.encode())


async def _detail(scope: Scope, services: Services, ref: TraceRef) -> TraceDetail:
    row = await find_row(scope, services, ref)
    limit = services.settings.api_max_trace_spans
    live, is_whole = find_live(scope, services, row)
    rows: Sequence[Mapping[str, Any]] = ()
    truncated = False
    if not is_whole:
        stored = await services.spans.list_of_trace(scope, place_of(row), limit=limit)
        rows, truncated = stored.as_dicts(), stored.truncated
    if live is not None:
        rows = merge_rows(rows, live.span_values())
    return TraceDetail(
        trace=TraceSummary.from_row(row),
        spans=[SpanSummary.from_row(span) for span in rows[:limit]],
        truncated=truncated or len(rows) > limit,
    )


async def _span(
    scope: Scope, services: Services, ref: TraceRef, span_id: str, stretch: tuple[int, int] | None
) -> SpanDetail:
    place = await find_place(scope, services, ref)
    live = services.live.find_trace(scope, ref.trace_id, ref.agent_id)
    newest = live.spans.get(span_id) if live is not None else None
    row: Mapping[str, Any] | None = await services.spans.find(scope, place, span_id)
    if newest is not None and isinstance(span := newest.value(), Span):
        (row,) = merge_rows([] if row is None else [row], [span])
    if row is None:
        raise not_found(f"there is no span {span_id} in the trace {ref.trace_id}")
    if stretch is None:
        return SpanDetail.from_row({**row, **_NO_PAYLOADS})
    offset, limit = stretch
    parts = await services.spans.find_payloads(scope, place, span_id, offset=offset, limit=limit)
    if parts is None and newest is not None:
        # It is on its way into the tables, where the payloads are read.
        return SpanDetail.from_row({**row, **_NO_PAYLOADS})
    if parts is None:
        raise not_found(f"there is no span {span_id} in the trace {ref.trace_id}")
    longest = max(parts["input_chars"] or 0, parts["output_chars"] or 0)
    return SpanDetail.from_row({**row, **parts, "next_offset": offset + limit if offset + limit < longest else None})
