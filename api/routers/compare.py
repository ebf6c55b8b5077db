"""GET /v1/compare/labels: what runs under one value of a label cost and do, beside runs under another.

Upstream: clients with a read key.
Downstream: api/repositories/labelled_runs.py; stream_jobs' comparison, made in a thread.
Guarantee: the same runs give the same answer, bounds included.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request

from api.repositories.labelled_runs import RunFilter
from api.repositories.scope import Scope
from api.routers.window import NO_CONTROLS
from api.schemas.compare import LabelComparison
from api.services import ScopeDep, Services, ServicesDep, while_connected
from infra.runtime.problem import FieldError, invalid
from stream_jobs.admin import compare

router = APIRouter(prefix="/v1/compare", tags=["compare"])

ANY_LABEL: Final = "any"
Value = Annotated[str, Query(min_length=1, max_length=128, pattern=NO_CONTROLS, description="A value of the label.")]


@router.get("/labels", summary="Compare runs by a label")
async def compare_labels(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    old: Value,
    new: Value,
    label: Annotated[
        str,
        Query(
            min_length=1,
            max_length=64,
            pattern=NO_CONTROLS,
            description="skill, skill:<name>, config, model, one of your own, or any: the one that has both values.",
        ),
    ] = "skill",
    agent_id: Annotated[str | None, Query(max_length=64, pattern=NO_CONTROLS, description="Only this install.")] = None,
    task_id: Annotated[
        str | None, Query(max_length=512, pattern=NO_CONTROLS, description="Only this task, as cards name it.")
    ] = None,
    days: Annotated[int, Query(ge=1, le=400, description="Days to look at, today included.")] = 30,
) -> LabelComparison:
    """Compare cost, calls, failures and duration of ended runs; says better, worse, or not enough runs.

    Runs are compared within the tasks that both values have run. Of many runs the newest 400 of each value count.
    """
    if old == new:
        raise invalid("query.new: give two different values", FieldError("query.new", "the same as old"))
    today = datetime.now(UTC).date()
    wanted = RunFilter(today - timedelta(days=days - 1), today + timedelta(days=1), agent_id, task_id)
    return await while_connected(request, _compare(scope, services, wanted, label, old, new, days))


async def _compare(
    scope: Scope, services: Services, wanted: RunFilter, label: str, old: str, new: str, days: int
) -> LabelComparison:
    runs = services.labelled_runs
    if label == ANY_LABEL:
        found = await runs.labels_with(scope, wanted, old, new)
        if len(found) != 1:
            why = f"several labels have both values: {', '.join(found)}" if found else "no label has had both values"
            raise invalid(f"query.label: {why}; name one", FieldError("query.label", why))
        (label,) = found
    (before, is_old_cut), (after, is_new_cut) = await asyncio.gather(
        runs.runs_with(scope, wanted, label, old), runs.runs_with(scope, wanted, label, new)
    )
    comparison = await asyncio.to_thread(compare, before, after)
    return LabelComparison.of(comparison, label=label, old=old, new=new, days=days, is_cut=is_old_cut or is_new_cut)
