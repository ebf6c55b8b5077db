"""POST /v1/prices/reprices: history priced again, first dry, then for good, as a job that tells how far it is.

Upstream: clients; to look takes the role operator, to do it the role admin.
Downstream: api/reprice/.
Guarantee: a job is answered with 202 at once; what a dry run has not shown is not done; doing it twice changes nothing.
"""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Response

from api.access.roles import AdminDep, OperatorDep
from api.repositories.reprices import RepriceBusy
from api.routers.window import NO_CONTROLS
from api.schemas.prices import RepriceJob, RepriceJobList, RepriceRequest
from api.services import ScopeDep, ServicesDep
from infra.runtime.problem import FieldError, Problem, conflict, invalid, not_found, problem_responses

router = APIRouter(prefix="/v1/prices/reprices", tags=["prices"])

_MAX_DAYS = 366
_ONE = problem_responses(404)
_START = problem_responses(409)
_APPLY = problem_responses(404, 409)
JobId = Annotated[str, Path(min_length=1, max_length=64, pattern=NO_CONTROLS, description="The job.")]


@router.post("", status_code=202, summary="See what today's prices would change", responses=_START)
async def start_dry_run(
    caller: OperatorDep, services: ServicesDep, wanted: RepriceRequest, response: Response
) -> RepriceJob:
    """Begin to look which calls of the past today's prices would cost otherwise; nothing is changed."""
    until = wanted.until or datetime.now(UTC).date()
    if wanted.since > until:
        raise invalid("body.since: is after until", FieldError("body.since", "is after until"))
    if (until - wanted.since).days >= _MAX_DAYS:
        message = f"more than {_MAX_DAYS} days; ask for less at once"
        raise invalid(f"body.since: {message}", FieldError("body.since", message))
    try:
        values = {**wanted.model_dump(), "until": until}
        job = RepriceJob(**await services.repricing.start(caller.scope, "dry_run", values, actor=caller.actor))
    except RepriceBusy as error:
        raise _busy(error) from None
    response.headers["location"] = f"/v1/prices/reprices/{job.job_id}"
    return job


@router.get("", summary="List the newest jobs that price history again")
async def list_jobs(scope: ScopeDep, services: ServicesDep) -> RepriceJobList:
    """List the newest jobs, at most 50."""
    return RepriceJobList(items=[RepriceJob(**row) for row in await services.reprices.list_newest(scope)])


@router.get("/{job_id}", summary="Read how far a job is", responses=_ONE)
async def get_job(scope: ScopeDep, services: ServicesDep, job_id: JobId) -> RepriceJob:
    """Read how far a job is, and what changes."""
    row = await services.reprices.find(scope, job_id)
    if row is None:
        raise not_found(f"there is no job {job_id}")
    return RepriceJob(**row)


@router.post("/{job_id}/apply", status_code=202, summary="Price history again", responses=_APPLY)
async def apply_dry_run(caller: AdminDep, services: ServicesDep, job_id: JobId, response: Response) -> RepriceJob:
    """Do what a finished dry run has shown: the stitcher prices the calls again and writes new revisions."""
    shown = await services.reprices.find(caller.scope, job_id)
    if shown is None:
        raise not_found(f"there is no job {job_id}")
    if shown["kind"] != "dry_run" or shown["state"] != "done":
        raise conflict(f"the job {job_id} is no dry run that is done; begin with one")
    try:
        job = RepriceJob(**await services.repricing.start(caller.scope, "apply", shown, actor=caller.actor))
    except RepriceBusy as error:
        raise _busy(error) from None
    response.headers["location"] = f"/v1/prices/reprices/{job.job_id}"
    return job


def _busy(error: RepriceBusy) -> Problem:
    return conflict(str(error))
