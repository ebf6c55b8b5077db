"""POST /v1/evolve/ask: an agent asks about itself.

Upstream: agents, with the ingest key that they send events with (the observe key).
Downstream: api/tracy/service.py.
Guarantee: what is read is the key's own agent and nothing else, with a model and without.
"""

from typing import Annotated

from fastapi import APIRouter, Request, Security
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPBearer

from api.repositories.scope import Scope
from api.services import ServicesDep
from api.tracy.schemas import OwnQuestion
from api.tracy.service import TracyDep
from api.tracy.sse import STREAM_RESPONSE, event_stream
from infra.runtime.access_keys import Principal
from infra.runtime.problem import forbidden, problem_responses

router = APIRouter(prefix="/v1/evolve", tags=["evolve"])

# Only documents the scheme; the look-up is below.
_bearer = HTTPBearer(auto_error=False, scheme_name="ObserveKey", description="A key with the scope ingest.")


@router.post(
    "/ask",
    summary="Ask about oneself, as an agent",
    response_class=StreamingResponse,
    responses={**STREAM_RESPONSE, **problem_responses(401, 403, 422, 429, 503)},
)
async def ask(
    request: Request,
    services: ServicesDep,
    tracy: TracyDep,
    asked: OwnQuestion,
    _: Annotated[object, Security(_bearer)],
) -> StreamingResponse:
    """Ask about the own runs: what was spent, what is left, what repeats. The answer is a stream of events."""

    async def identify() -> Principal:
        return await services.keys.authenticate(request.headers.get("authorization"), "ingest")

    principal = await identify()
    if principal.agent_id is None:
        raise forbidden("this key names no agent; make one with clawtrace keys create --agent")
    scope = Scope(principal.tenant_id)
    return event_stream(tracy.ask_about_itself(scope, principal.agent_id, asked.question), identify)
