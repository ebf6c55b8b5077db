"""GET /v1/usage.

Upstream: clients with a read key.
Downstream: api/repositories/usage.py.
Guarantee: each call counts once.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.repositories.usage import UsageGroup
from api.routers.sessions import AgentFilter
from api.routers.window import MonthDep
from api.schemas.figures import UsageReport
from api.services import ScopeDep, ServicesDep, while_connected

router = APIRouter(prefix="/v1/usage", tags=["usage"])


@router.get("", summary="Read what was used")
async def get_usage(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    window: MonthDep,
    by: Annotated[UsageGroup, Query(description="day, agent, category, session, model or tool.")] = "day",
    agent_id: AgentFilter = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Groups that are listed.")] = 200,
) -> UsageReport:
    """Read traces, calls, tokens and dollars within a window (the last 30 days), by day, agent, model and so on."""
    read = services.usage.sum_up_by(scope, group=by, agent_id=agent_id, from_at=window[0], to_at=window[1], limit=limit)
    rows = await while_connected(request, read)
    return UsageReport.of(window, by, rows.as_dicts(), rows.truncated)
