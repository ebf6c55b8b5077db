"""What a trace paid for again, and why it cost more than its task usually does.

Upstream: clients with a read key.
Downstream: api/repositories/spans.py and cards.py give rows, stream_jobs.learning finds what they say.
Guarantee: the answer about a closed trace has an ETag; a trace that runs is seen as far as it is stored. A trace of
another tenant and one that does not exist give the same 404.
"""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from api.kit.etag import cached_json, kept_answers
from api.repositories.scope import Scope
from api.repositories.spans import TracePlace
from api.repositories.traces import place_of
from api.routers.trace_ref import TraceRef, TraceRefDep, find_row
from api.schemas.trace_costs import TraceReread, TraceWhy
from api.schemas.traces import TraceSummary
from api.services import ScopeDep, Services, ServicesDep, while_connected
from api.views.steps import run_steps, step_of
from infra.runtime.problem import not_found
from stream_jobs.learning import CacheBreak, RunSteps, cache_breaks, explain, reread_bill

router = APIRouter(prefix="/v1/traces/{trace_id}", tags=["traces"])

# Rows of this many spans are a few dozen megabytes.
MAX_SPANS: Final = 20_000
DAYS: Final = 30
LimitQuery = Annotated[int, Query(ge=1, le=2_000, description="Lines that are listed.")]


@router.get(
    "/reread",
    summary="Read what a trace paid for again",
    response_class=Response,
    responses=kept_answers(TraceReread),
)
async def get_reread(
    request: Request, scope: ScopeDep, services: ServicesDep, trace: TraceRefDep, limit: LimitQuery = 200
) -> Response:
    """Read which tool result was paid for again in how many later calls, and where the prompt cache broke and why.

    The bill is an estimate that never says more than was paid; a break is told only where the tokens prove it.
    """
    return await while_connected(request, _reread(request, scope, services, trace, limit))


@router.get(
    "/why",
    summary="Read why a trace cost more than usual",
    response_class=Response,
    responses=kept_answers(TraceWhy),
)
async def get_why(
    request: Request, scope: ScopeDep, services: ServicesDep, trace: TraceRefDep, limit: LimitQuery = 200
) -> Response:
    """Compare a run with the run of median cost among the others of its task, of the 30 days up to it.

    The difference is blamed on steps: more calls, repeats, larger prompts, longer output, breaks of the cache, a dearer
    model; the parts add up to it exactly.
    """
    return await while_connected(request, _why(request, scope, services, trace, limit))


@dataclass(frozen=True, slots=True)
class _Run:
    """One trace with its steps."""

    trace: TraceSummary
    steps: RunSteps
    breaks: list[CacheBreak]
    truncated: bool


async def _reread(request: Request, scope: Scope, services: Services, ref: TraceRef, limit: int) -> Response:
    run = await _read(scope, services, ref)

    def answer() -> Response:
        bill = reread_bill(run.steps)
        found = TraceReread.of(run.trace, bill, run.breaks, truncated=run.truncated, limit=limit)
        return cached_json(request, found, is_final=not run.trace.is_open)

    return await asyncio.to_thread(answer)


async def _why(request: Request, scope: Scope, services: Services, ref: TraceRef, limit: int) -> Response:
    row = await find_row(scope, services, ref)
    card = await services.cards.find(scope, place_of(row))
    if card is None:
        why = "it is still running, and cards are made when a trace is closed" if row["is_open"] else "it has no card"
        raise not_found(f"the trace {ref.trace_id} cannot be compared: {why}")
    median = await services.cards.find_median(scope, place_of(row), card["task_id"], days=DAYS)
    if median is None:
        alone = TraceWhy.of(
            TraceSummary.from_row(row), card["task_id"], None, None, num_runs=0, truncated=False, limit=limit
        )
        # Another run of the task may come.
        return cached_json(request, alone, is_final=False)
    place, _, num_runs = median
    usual, run = await asyncio.gather(
        _read(scope, services, TraceRef(place.trace_id, place.agent_id)), _read(scope, services, ref)
    )

    def answer() -> Response:
        diff = explain(usual.steps, run.steps, usual.breaks, run.breaks)
        found = TraceWhy.of(
            run.trace,
            card["task_id"],
            usual.trace,
            diff,
            num_runs=num_runs,
            truncated=usual.truncated or run.truncated,
            limit=limit,
        )
        return cached_json(request, found, is_final=False)

    return await asyncio.to_thread(answer)


async def _read(scope: Scope, services: Services, ref: TraceRef) -> _Run:
    row = await find_row(scope, services, ref)
    place: TracePlace = place_of(row)
    found, sizes, prices = await asyncio.gather(
        services.spans.list_of_trace(scope, place, limit=MAX_SPANS),
        services.spans.result_sizes(scope, place, limit=MAX_SPANS),
        services.prices.read_book(scope),
    )
    earlier = None
    if row["session_key"]:
        earlier = await services.spans.last_call_before(scope, place, row["session_key"], row["started_at"])

    def make() -> _Run:
        steps = run_steps(found.as_dicts(), sizes, prices, scope.tenant_id)
        before = {} if earlier is None else {row["session_key"]: step_of(earlier)}
        return _Run(TraceSummary.from_row(row), steps, cache_breaks(steps, before), found.truncated)

    return await asyncio.to_thread(make)
