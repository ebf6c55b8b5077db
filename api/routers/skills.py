"""POST /v1/skills/distill: a skill out of the runs of a task.

Upstream: clients with a read key.
Downstream: api/learn/distiller.py.
Guarantee: reads as the key's tenant, and stores nothing: the skill is in the answer, and the client decides.
"""

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from api.access.roles import door_of
from api.kit.sse import event_stream, stream_response
from api.learn.distiller import DistillerDep
from api.schemas.skills import DistillRequest
from api.services import ScopeDep

router = APIRouter(prefix="/v1/skills", tags=["skills"])

_STREAM = stream_response(
    "Events: progress, skill (a DistilledSkill), then one done with the cost of the distillation, "
    "or one error; each with a JSON object as data."
)


@router.post(
    "/distill",
    summary="Distil a skill from the runs of a task",
    response_class=StreamingResponse,
    responses=_STREAM,
)
async def distill(
    request: Request, scope: ScopeDep, distiller: DistillerDep, wanted: DistillRequest
) -> StreamingResponse:
    """Turn what runs of a task cost into a SKILL.md that makes the next ones cheaper. The answer is a stream of events.

    Each patch of the skill is checked against the recorded runs; what is refused is named with the reason.
    """
    return event_stream(distiller.run(scope, wanted), lambda: door_of(request).identify(request))
