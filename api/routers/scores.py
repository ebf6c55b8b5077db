"""The scores of one trace: read them, give one, have a model give some.

Upstream: clients with a read key; to score it takes the role operator.
Downstream: api/repositories/scores.py, api/learn/judge.py.
Guarantee: a trace of another tenant and one that does not exist give the same 404; every score that is given has its
audit row.
"""

from fastapi import APIRouter, Request

from api.access.roles import OperatorDep
from api.learn.judge import JudgeDep
from api.repositories.scope import Scope
from api.repositories.traces import place_of
from api.routers.trace_ref import TraceRef, TraceRefDep, find_row
from api.schemas.card import TraceCard
from api.schemas.scores import ScoreItem, ScoreList, ScoreRequest
from api.services import ScopeDep, Services, ServicesDep, while_connected
from api.tracy.model import ModelFailed
from api.tracy.settings import HOW_TO_CONFIGURE
from infra.runtime.problem import conflict, not_found, problem_responses, unavailable

router = APIRouter(prefix="/v1/traces/{trace_id}/scores", tags=["traces"])

_READ = problem_responses(404)
_JUDGE = problem_responses(404, 409)
_RETRY_AFTER_S = 60


@router.get("", summary="List the scores of a trace", responses=_READ)
async def list_scores(request: Request, scope: ScopeDep, services: ServicesDep, trace: TraceRefDep) -> ScoreList:
    """List what people, models and the agent's rubric say of a run."""
    return await while_connected(request, _list(scope, services, trace))


@router.post("", status_code=201, summary="Score a trace, or comment on it", responses=_READ)
async def give_score(
    request: Request, caller: OperatorDep, services: ServicesDep, trace: TraceRefDep, said: ScoreRequest
) -> ScoreItem:
    """Score a run from 0 to 1, comment on it, or both. Your own score of the same criterion is replaced."""
    row = await while_connected(request, find_row(caller.scope, services, trace))
    (score,) = await services.scores.give(
        caller.scope,
        place_of(row),
        [(said.criterion, said.value, 1.0, said.comment)],
        source="human",
        scorer=caller.name,
        actor=caller.actor,
    )
    return ScoreItem.of(score)


@router.post("/judge", status_code=201, summary="Have a model answer the rubric's questions", responses=_JUDGE)
async def judge_trace(
    request: Request, caller: OperatorDep, services: ServicesDep, judge: JudgeDep, trace: TraceRefDep
) -> ScoreList:
    """Ask the model that Tracy asks how well the run answers the questions of its agent's rubric; stores the marks.

    The run must have ended, and the agent's rubric must have criteria of the kind judge.
    """
    if not judge.settings.is_configured:
        raise conflict(HOW_TO_CONFIGURE)
    row = await while_connected(request, find_row(caller.scope, services, trace))
    place = place_of(row)
    rubric = await services.scores.find_rubric(caller.scope, place.agent_id)
    if rubric is None or not rubric.questions:
        raise conflict(f"the rubric of {place.agent_id} has no criterion of the kind judge")
    found = await while_connected(request, services.cards.find(caller.scope, place))
    if found is None:
        raise not_found(f"the trace {trace.trace_id} has no card yet: it is made when the run has ended")
    try:
        marks = await while_connected(request, judge.judge(TraceCard.from_row(found), rubric.questions))
    except ModelFailed as error:
        raise unavailable(str(error), retry_after_s=_RETRY_AFTER_S) from None
    await services.scores.give(
        caller.scope,
        place,
        [(it.name, *_in_order(marks[it.name], it.weight)) for it in rubric.questions],
        source="model",
        scorer=judge.settings.tracy_model,
        actor=caller.actor,
        rubric_version=rubric.version,
    )
    return await _list(caller.scope, services, trace)


def _in_order(mark: tuple[float, str], weight: float) -> tuple[float, float, str]:
    value, reason = mark
    return value, weight, reason


async def _list(scope: Scope, services: Services, ref: TraceRef) -> ScoreList:
    place = place_of(await find_row(scope, services, ref))
    scores = await services.scores.list_of_trace(scope, place)
    rubric = await services.scores.find_rubric(scope, place.agent_id)
    return ScoreList(
        trace_id=place.trace_id,
        agent_id=place.agent_id,
        trace_date=place.trace_date,
        has_questions=rubric is not None and bool(rubric.questions),
        items=[ScoreItem.of(it) for it in scores],
    )
