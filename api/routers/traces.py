"""GET /v1/traces and what hangs below it.

Upstream: clients with a read key.
Downstream: api/live, api/repositories/traces.py and spans.py.
Guarantee: the pages of a list are of one list; a trace of another tenant and one that does not exist give the same
404. The answer about a closed trace has an ETag.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.kit.etag import cached_json, kept_answers
from api.live.merge import merge_rows
from api.repositories.scope import Scope
from api.repositories.traces import place_of
from api.routers.trace_list import list_page
from api.routers.trace_ref import SpanId, TraceRef, TraceRefDep, find_live, find_place, find_row
from api.schemas.trace_query import TraceQuery
from api.schemas.traces import SpanDetail, SpanSummary, TraceDetail, TracePage, TraceSummary
from api.services import ScopeDep, Services, ServicesDep, while_connected
from infra.runtime.problem import not_found, problem_responses
from stream_jobs.contracts.span import Span

router = APIRouter(prefix="/v1/traces", tags=["traces"])

_NO_PAYLOADS = dict.fromkeys(("input", "input_chars", "output", "output_chars", "next_offset"))


@router.get("", summary="List traces")
async def list_traces(
    request: Request, scope: ScopeDep, services: ServicesDep, query: Annotated[TraceQuery, Query()]
) -> TracePage:
    """List the traces that started within a time window of at most 90 days, newest first unless `sort` says otherwise.

    Without `from` and `to` the window is the last 90 days; when nothing happened in these, the 90 days up to the newest
    trace. With one of the two, the other is 90 days away. A cursor carries the window, the order and the conditions of
    the first page, so nothing else needs to be sent with it. Traces that start after the first page was read are not
    in the pages behind it. Sorted by cost, duration or tokens, the order of the first 10,000 traces stays as it was
    while the pages are turned, although the traces themselves are shown as they are; only when the API is started anew
    in between may a trace that grows cross the edge of a page.
    """
    return await while_connected(request, list_page(scope, services, query))


@router.get(
    "/{trace_id}",
    summary="Read a trace with its spans",
    response_class=Response,
    responses=kept_answers(TraceDetail),
)
async def get_trace(request: Request, scope: ScopeDep, services: ServicesDep, trace: TraceRefDep) -> Response:
    """Read the roll-up of a trace and its spans in the order they started. Payloads are with the single spans."""
    detail = await while_connected(request, _detail(scope, services, trace))
    return await asyncio.to_thread(cached_json, request, detail, is_final=not detail.trace.is_open)


@router.get(
    "/{trace_id}/spans/{span_id}",
    summary="Read one span",
    responses=problem_responses(404),
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
