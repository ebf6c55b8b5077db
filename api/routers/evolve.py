"""POST /v1/evolve: an agent asks about itself, and what would make its next runs cheaper.

Upstream: agents, with the ingest key that they send events with (the observe key).
Downstream: api/tracy/service.py, api/learn/distiller.py.
Guarantee: what is read is the key's own agent and nothing else, with a model and without.
"""

from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Request, Security
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPBearer

from api.kit.sse import event_stream
from api.learn.distiller import Distiller, DistillerDep
from api.repositories.scope import Scope
from api.schemas.skills import DistilledSkill, DistillRequest, OwnSkillRequest
from api.services import Services, ServicesDep, while_connected
from api.tracy.schemas import STREAM_RESPONSE, OwnQuestion
from api.tracy.service import TracyDep
from infra.runtime.access_keys import Principal
from infra.runtime.problem import (
    FieldError,
    Problem,
    forbidden,
    invalid,
    not_found,
    problem_responses,
    too_busy,
    unavailable,
)

router = APIRouter(prefix="/v1/evolve", tags=["evolve"])

_RETRY_AFTER_S = 5

# Only documents the scheme; the look-up is below.
_bearer = HTTPBearer(auto_error=False, scheme_name="ObserveKey", description="A key with the scope ingest.")


@router.post(
    "/ask",
    summary="Ask about oneself, as an agent",
    response_class=StreamingResponse,
    responses=STREAM_RESPONSE,
)
async def ask(
    request: Request,
    services: ServicesDep,
    tracy: TracyDep,
    asked: OwnQuestion,
    _: Annotated[object, Security(_bearer)],
) -> StreamingResponse:
    """Ask about the own runs: what was spent, what is left, what repeats. The answer is a stream of events."""

    principal, agent_id = await _identify(request, services)

    async def identify() -> Principal:
        return await services.keys.authenticate(request.headers.get("authorization"), "ingest")

    return event_stream(tracy.ask_about_itself(Scope(principal.tenant_id), agent_id, asked.question), identify)


@router.post(
    "/skill",
    summary="Ask for a cheaper way to do one's own task, as an agent",
    responses=problem_responses(404),
)
async def skill(
    request: Request,
    services: ServicesDep,
    distiller: DistillerDep,
    asked: OwnSkillRequest,
    _: Annotated[object, Security(_bearer)],
) -> DistilledSkill:
    """Distil a skill out of the own runs of a task: what was wasteful, how to do it, and what that would have saved.

    No model is asked: the runs decide, and the same runs give the same skill. Nothing is stored.
    """
    principal, agent_id = await _identify(request, services)
    wanted = DistillRequest(agent_id=agent_id, use_model=False, **asked.model_dump())
    return await while_connected(request, _distil(distiller, Scope(principal.tenant_id), wanted))


async def _identify(request: Request, services: Services) -> tuple[Principal, str]:
    principal = await services.keys.authenticate(request.headers.get("authorization"), "ingest")
    if principal.agent_id is None:
        raise forbidden("this key names no agent; make one with clawtrace keys create --agent")
    return principal, principal.agent_id


async def _distil(distiller: Distiller, scope: Scope, wanted: DistillRequest) -> DistilledSkill:
    async with aclosing(distiller.run(scope, wanted)) as events:
        async for name, data in events:
            if name == "skill":
                return DistilledSkill.model_validate(data)
            if name == "error":
                raise _refusal(str(data["code"]), str(data["message"]))
    raise unavailable("the distillation ended without a skill; try again", retry_after_s=_RETRY_AFTER_S)


def _refusal(code: str, message: str) -> Problem:
    match code:
        case "not-found":
            return not_found(message)
        case "invalid":
            return invalid(message, FieldError("current_text", message.removeprefix("current_text: ")))
        case "too-busy":
            return too_busy(message, retry_after_s=_RETRY_AFTER_S)
    return unavailable(message, retry_after_s=_RETRY_AFTER_S)
