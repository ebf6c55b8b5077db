"""GET /v1/usage.

Upstream: clients with a read key.
Downstream: api/repositories/usage.py.
Guarantee: each call counts once.
"""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.repositories.usage import UsageGroup
from api.routers.sessions import AgentFilter
from api.routers.window import FromAt, ToAt, recent_window
from api.schemas.figures import UsageReport
from api.services import ScopeDep, ServicesDep, while_connected

router = APIRouter(prefix="/v1/usage", tags=["usage"])


@router.get("", summary="Read what was used")
async def get_usage(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    by: Annotated[UsageGroup, Query(description="day, agent, category, session, model or tool.")] = "day",
    from_at: FromAt = None,
    to_at: ToAt = None,
    agent_id: AgentFilter = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Groups that are listed.")] = 200,
) -> UsageReport:
    """Read traces, calls, tokens and dollars within a window (the last 30 days), by day, agent, model and so on."""
    window = recent_window(from_at, to_at, timedelta(days=30), services.settings.api_list_window_days)
    read = services.usage.sum_up_by(scope, group=by, agent_id=agent_id, from_at=window[0], to_at=window[1], limit=limit)
    rows = await while_connected(request, read)
    return UsageReport.of(window, by, rows.as_dicts(), rows.truncated)
