"""GET /v1/agents and the figures of one agent.

Upstream: clients with a read key.
Downstream: api/repositories/agents.py.
Guarantee: trends have a point for every hour or day of the window.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from api.repositories.agents import Bucket
from api.repositories.scope import Scope
from api.routers.window import NO_CONTROLS, DayDep, FromAt, ToAt, WeekDep, Window, recent_window
from api.schemas.figures import AgentItem, AgentList, AgentMetrics, AgentTrends, Figures, TrendPoint
from api.services import ScopeDep, Services, ServicesDep, while_connected
from infra.runtime.problem import FieldError, invalid

router = APIRouter(prefix="/v1/agents", tags=["agents"])

AgentPath = Annotated[str, Path(min_length=1, max_length=64, pattern=NO_CONTROLS, description="The OpenClaw install.")]
_MAX_AGENTS = 1_000
_LONGEST = {"hour": timedelta(days=31), "day": timedelta(days=366)}
_STEP = {"hour": timedelta(hours=1), "day": timedelta(days=1)}


@router.get("", summary="List agents with their figures")
async def list_agents(request: Request, scope: ScopeDep, services: ServicesDep, window: WeekDep) -> AgentList:
    """List the agents, those seen most recently first, with their figures over a window (the last 7 days)."""
    read = services.agents.list_all(scope, from_at=window[0], to_at=window[1], limit=_MAX_AGENTS)
    rows = await while_connected(request, read)
    return AgentList(
        from_at=window[0],
        to_at=window[1],
        items=[AgentItem.from_row(row) for row in rows.as_dicts()],
        truncated=rows.truncated,
    )


@router.get("/{agent_id}/metrics", summary="Read the figures of an agent")
async def get_metrics(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    agent_id: AgentPath,
    window: DayDep,
) -> AgentMetrics:
    """Read cost, tokens, runs, error rate and durations over a window (the last 24 hours), and over the one before."""
    return await while_connected(request, _metrics(scope, services, agent_id, window))


@router.get("/{agent_id}/trends", summary="Read the figures of an agent by hour or day")
async def get_trends(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    agent_id: AgentPath,
    from_at: FromAt = None,
    to_at: ToAt = None,
    bucket: Annotated[Bucket, Query(description="hour (at most 31 days) or day (at most 366).")] = "hour",
) -> AgentTrends:
    """Read the same figures for each hour or day of a window (the last 24 hours, or 30 days)."""
    usual = timedelta(days=1) if bucket == "hour" else timedelta(days=30)
    window = recent_window(from_at, to_at, usual, _LONGEST[bucket].days)
    return await while_connected(request, _trends(scope, services, agent_id, bucket, window))


async def _metrics(scope: Scope, services: Services, agent_id: str, window: Window) -> AgentMetrics:
    start, end = window
    now, before = await services.agents.sum_up(scope, agent_id=agent_id, from_at=start, to_at=end)
    return AgentMetrics(agent_id=agent_id, from_at=start, to_at=end, figures=Figures.of(now), before=Figures.of(before))


async def _trends(scope: Scope, services: Services, agent_id: str, bucket: Bucket, window: Window) -> AgentTrends:
    start, end = window
    if end - start > _LONGEST[bucket]:
        message = f"by {bucket} the window may be {_LONGEST[bucket].days} days at most"
        raise invalid(f"from: {message}", FieldError("query.from", message))
    rows = await services.agents.sum_up_by(scope, agent_id=agent_id, bucket=bucket, from_at=start, to_at=end)
    found: dict[datetime, dict[str, Any]] = {row["bucket_at"].astimezone(UTC): row for row in rows}
    points = []
    at = start.replace(minute=0, second=0, microsecond=0)
    if bucket == "day":
        at = at.replace(hour=0)
    while at < end:
        points.append(TrendPoint(at=at, figures=Figures.of(found.get(at))))
        at += _STEP[bucket]
    return AgentTrends(agent_id=agent_id, from_at=start, to_at=end, bucket=bucket, points=points)
