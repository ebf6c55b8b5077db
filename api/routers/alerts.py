"""GET /v1/alerts.

Upstream: clients with a read key.
Downstream: api/repositories/alerts.py.
Guarantee: newest change of state first.
"""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.kit.cursor import Cursor, decode_cursor, to_us
from api.repositories.scope import Scope
from api.routers.window import CursorText, FromAt, ToAt, in_utc
from api.schemas.alerts import AlertItem, AlertPage
from api.services import ScopeDep, Services, ServicesDep, while_connected
from infra.runtime.problem import problem_responses

_LIST = "alerts"

router = APIRouter(prefix="/v1/alerts", tags=["alerts"])


@router.get("", summary="List alerts, newest first", responses=problem_responses(401, 403, 422, 429, 503))
async def list_alerts(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    from_at: FromAt = None,
    to_at: ToAt = None,
    cursor: CursorText = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Alerts per page.")] = 50,
) -> AlertPage:
    """List alerts with their newest state. Without `from` and `to`, all of them: alerts are few."""
    return await while_connected(request, _list(scope, services, from_at, to_at, cursor, limit))


async def _list(
    scope: Scope, services: Services, from_at: datetime | None, to_at: datetime | None, cursor: str | None, limit: int
) -> AlertPage:
    after = decode_cursor(cursor, _LIST) if cursor else None
    start, end = (after.from_at, after.to_at) if after else (in_utc(from_at, "from"), in_utc(to_at, "to"))
    rows = await services.alerts.list_newest(
        scope, from_at=start, to_at=end, after=(after.at, after.key[0]) if after else None, limit=limit + 1
    )
    items = [AlertItem.from_row(row) for row in rows[:limit]]
    following = None
    if len(rows) > limit:
        last = items[-1]
        following = Cursor(_LIST, "-at", to_us(last.at), (last.alert_id,), start, end).encode()
    return AlertPage(items=items, next_cursor=following)
