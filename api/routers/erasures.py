"""POST /v1/erasures: a trace, a session or the tenant erased for good, as a job that ends with a receipt.

Upstream: clients; to ask for it takes the role admin.
Downstream: api/repositories/erasures.py; upkeep does the work.
Guarantee: with the answer 202 nothing of it is stored or shown live any more, whatever still comes; the receipt says
what was deleted, and where bytes are left until when.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from api.access.roles import AdminDep
from api.repositories.erasures import ErasureBusy
from api.routers.window import NO_CONTROLS
from api.schemas.retention import ErasureJob, ErasureList, ErasureRequest
from api.services import ServicesDep
from infra.runtime.problem import FieldError, conflict, invalid, not_found, problem_responses

router = APIRouter(prefix="/v1/erasures", tags=["retention"])

_ONE = problem_responses(404)
_START = problem_responses(409)
ErasureId = Annotated[str, Path(min_length=1, max_length=64, pattern=NO_CONTROLS, description="The erasure.")]


@router.post("", status_code=202, summary="Erase a trace, a session or the tenant", responses=_START)
async def start_erasure(
    caller: AdminDep, services: ServicesDep, wanted: ErasureRequest, response: Response
) -> ErasureJob:
    """Ask that something be erased; there is no way back. A tenant that is erased takes no new events either."""
    if wanted.scope == "tenant" and wanted.id != caller.scope.tenant_id:
        message = "to erase the tenant, give its own id"
        raise invalid(f"body.id: {message}", FieldError("body.id", message))
    if wanted.scope == "tenant" and wanted.agent_id is not None:
        message = "the tenant is erased with all its installs"
        raise invalid(f"body.agent_id: {message}", FieldError("body.agent_id", message))
    try:
        row = await services.erasures.ask(
            caller.scope,
            wanted.scope,
            wanted.id,
            agent_id=wanted.agent_id,
            reason=wanted.reason,
            actor=caller.actor,
        )
    except ErasureBusy as error:
        raise conflict(str(error)) from None
    await services.live.forget_erased()
    response.headers["location"] = f"/v1/erasures/{row['erasure_id']}"
    return ErasureJob(**row)


@router.get("", summary="List the newest erasures")
async def list_erasures(caller: AdminDep, services: ServicesDep) -> ErasureList:
    """List the newest erasures, at most 50."""
    return ErasureList(items=[ErasureJob(**row) for row in await services.erasures.list_newest(caller.scope)])


@router.get("/{erasure_id}", summary="Read how far an erasure is, and its receipt", responses=_ONE)
async def get_erasure(caller: AdminDep, services: ServicesDep, erasure_id: ErasureId) -> ErasureJob:
    """Read how far an erasure is; when it is done, its receipt."""
    row = await services.erasures.find(caller.scope, erasure_id)
    if row is None:
        raise not_found(f"there is no erasure {erasure_id}")
    return ErasureJob(**row)
