"""GET /v1/traces and what hangs below it.

Upstream: clients with a read key.
Downstream: api/repositories/traces.py and spans.py.
Guarantee: a trace of another tenant and one that does not exist give the same 404.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from api.kit.cursor import Cursor, decode_cursor
from api.repositories.scope import Scope
from api.routers.window import CursorText, FromAt, ToAt, check_window
from api.schemas.traces import SpanDetail, SpanSummary, TraceDetail, TracePage, TraceSummary
from api.services import ScopeDep, Services, ServicesDep, while_connected
from infra.runtime.problem import not_found, problem_responses

_LIST = "traces"
# Agents' clocks may run ahead of ours.
_CLOCK_AHEAD = timedelta(days=1)

router = APIRouter(prefix="/v1/traces", tags=["traces"])

TraceId = Annotated[str, Path(min_length=1, max_length=128, description="The trace.")]
SpanId = Annotated[str, Path(min_length=1, max_length=128, description="The span.")]


@router.get("", summary="List traces, newest first", responses=problem_responses(401, 403, 422, 429, 503))
async def list_traces(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    from_at: FromAt = None,
    to_at: ToAt = None,
    cursor: CursorText = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Traces per page.")] = 50,
    agent_id: Annotated[str | None, Query(max_length=64, description="Only traces of this OpenClaw install.")] = None,
) -> TracePage:
    """List the traces that started within a time window of at most 90 days.

    Without `from` and `to` the window is the last 90 days; when nothing happened in these, the 90 days up to the newest
    trace. With one of the two, the other is 90 days away. A cursor carries the window and the filter of the first page,
    so nothing else needs to be sent with it.
    """
    return await while_connected(request, _list(scope, services, from_at, to_at, cursor, limit, agent_id))


@router.get("/{trace_id}", summary="Read a trace with its spans", responses=problem_responses(401, 403, 404, 429, 503))
async def get_trace(request: Request, scope: ScopeDep, services: ServicesDep, trace_id: TraceId) -> TraceDetail:
    """Read the roll-up of a trace and its spans in the order they started. Payloads are with the single spans."""
    return await while_connected(request, _detail(scope, services, trace_id))


@router.get(
    "/{trace_id}/spans/{span_id}",
    summary="Read one span with its payloads",
    responses=problem_responses(401, 403, 404, 429, 503),
)
async def get_span(
    request: Request, scope: ScopeDep, services: ServicesDep, trace_id: TraceId, span_id: SpanId
) -> SpanDetail:
    """Read one span with what went in and what came out."""
    return await while_connected(request, _span(scope, services, trace_id, span_id))


async def _list(
    scope: Scope,
    services: Services,
    from_at: datetime | None,
    to_at: datetime | None,
    cursor: str | None,
    limit: int,
    agent_id: str | None,
) -> TracePage:
    width = timedelta(days=services.settings.api_list_window_days)
    after = decode_cursor(cursor, _LIST) if cursor else None
    if after is not None:
        start, end = after.from_at or after.at - width, after.to_at or after.at
        agent_id = after.filter
    else:
        start, end = check_window(from_at, to_at, width=width, latest=datetime.now(UTC) + _CLOCK_AHEAD)
    rows = await services.traces.list_newest(
        scope,
        from_at=start,
        to_at=end,
        agent_id=agent_id,
        after=(after.at, after.item_id) if after else None,
        limit=limit + 1,
    )
    if not rows and after is None and from_at is None and to_at is None:
        newest = await services.traces.find_newest_start(scope)
        if newest is not None and newest < start:
            end = newest + timedelta(microseconds=1)
            start = end - width
            rows = await services.traces.list_newest(
                scope, from_at=start, to_at=end, agent_id=agent_id, after=None, limit=limit + 1
            )
    items = [TraceSummary.from_row(row) for row in rows[:limit]]
    following = None
    if len(rows) > limit:
        last = items[-1]
        following = Cursor(_LIST, last.started_at, last.trace_id, start, end, agent_id).encode()
    return TracePage(items=items, next_cursor=following)


async def _detail(scope: Scope, services: Services, trace_id: str) -> TraceDetail:
    row = await services.traces.find(scope, trace_id)
    if row is None:
        raise not_found(f"there is no trace {trace_id}")
    spans = await services.spans.list_of_trace(
        scope,
        trace_id=trace_id,
        trace_date=row["trace_date"],
        agent_id=row["agent_id"],
        limit=services.settings.api_max_trace_spans,
    )
    return TraceDetail(
        trace=TraceSummary.from_row(row),
        spans=[SpanSummary.from_row(span) for span in spans.as_dicts()],
        truncated=spans.truncated,
    )


async def _span(scope: Scope, services: Services, trace_id: str, span_id: str) -> SpanDetail:
    place = await services.traces.find_place(scope, trace_id)
    row = None
    if place is not None:
        trace_date, agent_id = place
        row = await services.spans.find(
            scope, trace_id=trace_id, trace_date=trace_date, agent_id=agent_id, span_id=span_id
        )
    if row is None:
        raise not_found(f"there is no span {span_id} in a trace {trace_id}")
    return SpanDetail.from_row(row)
