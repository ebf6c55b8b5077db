"""The views of one trace: skeleton, timeline, call graph, diff, card.

Upstream: clients with a read key.
Downstream: api/repositories/spans.py and cards.py give rows, api/views makes them into views.
Guarantee: the answer about a closed trace has an ETag; views are made in threads, so that a large trace does not hold
up other requests.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from api.kit.etag import JSON, cached_json, kept_answers
from api.repositories.scope import Scope
from api.repositories.traces import place_of
from api.routers.trace_ref import TraceRef, TraceRefDep, find_columns, find_row
from api.schemas.card import TraceCard
from api.schemas.trace_views import TraceDifference, TraceGraph, TraceSkeleton, TraceTimeline
from api.schemas.traces import TraceSummary
from api.services import ScopeDep, Services, ServicesDep, while_connected
from api.views.call_graph import make_call_graph
from api.views.columns import SpanColumns
from api.views.skeleton import make_skeleton
from api.views.timeline import assign_lanes, critical_path
from infra.runtime.problem import not_found
from stream_jobs.learning import diff_traces

router = APIRouter(prefix="/v1/traces/{trace_id}", tags=["traces"])

YAML = "application/yaml"
MakeView = Callable[[TraceSummary, SpanColumns, bool], BaseModel | bytes]


@router.get(
    "/skeleton",
    summary="Read all spans of a trace as columns",
    response_class=Response,
    responses=kept_answers(TraceSkeleton),
)
async def get_skeleton(request: Request, scope: ScopeDep, services: ServicesDep, trace: TraceRefDep) -> Response:
    """Read everything that is needed to draw a trace, some 30 bytes a span when sent with gzip.

    Texts stand once, in `strings`; times are microseconds since `started_us`; a parent is an index.
    """
    return await while_connected(request, _view(request, scope, services, trace, _skeleton))


@router.get(
    "/timeline",
    summary="Read lanes and critical path of a trace",
    response_class=Response,
    responses=kept_answers(TraceTimeline),
)
async def get_timeline(request: Request, scope: ScopeDep, services: ServicesDep, trace: TraceRefDep) -> Response:
    """Read in which lane each span of the skeleton is drawn, and what the trace waited for."""
    return await while_connected(request, _view(request, scope, services, trace, _timeline))


@router.get(
    "/graph",
    summary="Read who called what in a trace",
    response_class=Response,
    responses=kept_answers(TraceGraph),
)
async def get_graph(request: Request, scope: ScopeDep, services: ServicesDep, trace: TraceRefDep) -> Response:
    """Read agents, models and tools with the calls between them: how many, how long, which tokens, at what cost."""
    return await while_connected(request, _view(request, scope, services, trace, _graph))


@router.get(
    "/card",
    summary="Read the TraceCard",
    response_class=Response,
    responses=kept_answers(TraceCard, YAML),
)
async def get_card(request: Request, scope: ScopeDep, services: ServicesDep, trace: TraceRefDep) -> Response:
    """Read what the run cost and why, small enough for a prompt; as YAML with `Accept: application/yaml`.

    The YAML has two kilobytes at most: lists are cut from their ends to fit, and then it says so.
    """
    return await while_connected(request, _card(request, scope, services, trace))


@router.get(
    "/diff/{other_id}",
    summary="Compare with another trace",
    response_class=Response,
    responses=kept_answers(TraceDifference),
)
async def get_diff(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    trace: TraceRefDep,
    other_id: str,
    other_agent_id: Annotated[str | None, Query(max_length=64, description="The other trace's install.")] = None,
    limit: Annotated[int, Query(ge=1, le=2_000, description="Differences that are listed.")] = 200,
) -> Response:
    """Read what the other trace does differently, and what each difference costs; the costs add up exactly.

    Spans are aligned from the root down by kind and name, in their order.
    """
    other = TraceRef(other_id, other_agent_id)
    return await while_connected(request, _diff(request, scope, services, (trace, other), limit))


async def _view(request: Request, scope: Scope, services: Services, ref: TraceRef, make: MakeView) -> Response:
    trace, spans, truncated = await find_columns(scope, services, ref)

    def answer() -> Response:
        return cached_json(request, make(trace, spans, truncated), is_final=not trace.is_open)

    return await asyncio.to_thread(answer)


def _skeleton(trace: TraceSummary, spans: SpanColumns, truncated: bool) -> bytes:
    head = {"trace": msgspec.Raw(trace.model_dump_json().encode()), "truncated": truncated}
    # Joined as texts: the columns are encoded once, without a copy as Python objects.
    return msgspec.json.encode(head)[:-1] + b"," + msgspec.json.encode(make_skeleton(spans))[1:]


def _timeline(_: TraceSummary, spans: SpanColumns, truncated: bool) -> TraceTimeline:
    return TraceTimeline.of(spans, assign_lanes(spans), critical_path(spans), truncated)


def _graph(_: TraceSummary, spans: SpanColumns, truncated: bool) -> TraceGraph:
    return TraceGraph.of(make_call_graph(spans), truncated)


async def _diff(
    request: Request, scope: Scope, services: Services, refs: tuple[TraceRef, TraceRef], limit: int
) -> Response:
    (one, before, one_cut), (other, after, other_cut) = await asyncio.gather(
        *(find_columns(scope, services, ref) for ref in refs)
    )

    def make() -> Response:
        answer = TraceDifference.of(
            (one, other),
            (before, after),
            diff_traces(before, after),
            truncated=one_cut or other_cut,
            limit=limit,
        )
        return cached_json(request, answer, is_final=not (one.is_open or other.is_open))

    return await asyncio.to_thread(make)


async def _card(request: Request, scope: Scope, services: Services, ref: TraceRef) -> Response:
    row = await find_row(scope, services, ref)
    found = await services.cards.find(scope, place_of(row))
    if found is None:
        why = "it is still running, and cards are made when a trace is closed" if row["is_open"] else "none was made"
        raise not_found(f"the trace {ref.trace_id} has no card: {why}")
    card = TraceCard.from_row(found)
    is_final = not row["is_open"]
    if _prefers_yaml(request):
        body = card.as_yaml().encode()
        return cached_json(request, body, is_final=is_final, media_type=YAML)
    return cached_json(request, card, is_final=is_final)


def _prefers_yaml(request: Request) -> bool:
    accepted: Sequence[str] = [part.split(";")[0].strip() for part in request.headers.get("accept", "").split(",")]
    for media_type in accepted:
        if media_type in (YAML, "application/x-yaml", "text/yaml"):
            return True
        if media_type in (JSON, "*/*"):
            return False
    return False
