"""GET /v1/alerts, and what people say about alerts: seen to, quiet for a while.

Upstream: clients with a read key; to ack and snooze it takes the role operator.
Downstream: api/repositories/alerts.py and alert_marks.py.
Guarantee: newest change of state first; an ack or snooze of an alert that this tenant does not have is a 404.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.access.caller import Caller
from api.access.roles import OperatorDep
from api.kit.cursor import Cursor, InvalidCursor, decode_cursor
from api.kit.instants import to_us
from api.repositories.alert_marks import AlertMark
from api.repositories.alerts import AlertFilter
from api.repositories.scope import Scope
from api.routers.window import NO_CONTROLS, in_utc
from api.schemas.alerts import AckRequest, AlertItem, AlertPage, SnoozeRequest
from api.services import ScopeDep, Services, ServicesDep, while_connected
from infra.runtime.problem import not_found, problem_responses
from stream_jobs.contracts.alert import AlertSeverity, AlertState

_LIST = "alerts"

router = APIRouter(prefix="/v1/alerts", tags=["alerts"])

AlertId = Annotated[str, Path(min_length=1, max_length=128, pattern=NO_CONTROLS, description="The alert.")]
_CHANGES = problem_responses(404)


class AlertConditions(BaseModel):
    """Conditions that all must hold."""

    model_config = ConfigDict(extra="forbid")

    state: AlertState | None = Field(None, description="ok, warn, alert or no_data.")
    severity: AlertSeverity | None = Field(None, description="info, warning or critical.")
    rule: str | None = Field(None, min_length=1, max_length=128, description="The rule that fired.")
    agent_id: str | None = Field(None, max_length=64, description="Only of this OpenClaw install.")
    trace_id: str | None = Field(None, max_length=128, description="Only about this trace.")
    open: bool = Field(False, description="Leave out what is acked since its last change, or snoozed.")


class AlertQuery(AlertConditions):
    """Window, conditions and page of a list of alerts."""

    from_at: datetime | None = Field(None, alias="from", description="Start of the window (ISO 8601), included.")
    to_at: datetime | None = Field(None, alias="to", description="End of the window (ISO 8601), not included.")
    cursor: str | None = Field(
        None, max_length=8192, description="`next_cursor` of the page before; others but `limit` are then ignored."
    )
    limit: int = Field(50, ge=1, le=200, description="Alerts per page.")


@router.get("", summary="List alerts, newest first")
async def list_alerts(
    request: Request, scope: ScopeDep, services: ServicesDep, query: Annotated[AlertQuery, Query()]
) -> AlertPage:
    """List alerts with their newest state. Without `from` and `to`, all of them: alerts are few."""
    return await while_connected(request, _list(scope, services, query))


@router.put("/{alert_id}/ack", summary="Say that an alert is seen to", responses=_CHANGES)
async def ack_alert(
    request: Request, caller: OperatorDep, services: ServicesDep, alert_id: AlertId, ack: AckRequest
) -> AlertItem:
    """Ack an alert. When it changes its state later, it is open again."""
    row = await _find(request, caller, services, alert_id)
    now = datetime.now(UTC)
    # An agent's clock may run ahead: what is seen now is seen, whatever instant it bears.
    at = max(now, row["at"])
    mark = await services.alert_marks.set_ack(caller.scope, alert_id, actor=caller.actor, at=at, text=ack.note)
    return AlertItem.from_row(row, mark)


@router.delete("/{alert_id}/ack", summary="Take an ack back", responses=_CHANGES)
async def unack_alert(request: Request, caller: OperatorDep, services: ServicesDep, alert_id: AlertId) -> AlertItem:
    """Take an ack back; the alert is open again."""
    row = await _find(request, caller, services, alert_id)
    mark = await services.alert_marks.set_ack(caller.scope, alert_id, actor=caller.actor, at=None, text=None)
    return AlertItem.from_row(row, mark)


@router.put("/{alert_id}/snooze", summary="Keep an alert quiet for a while", responses=_CHANGES)
async def snooze_alert(
    request: Request, caller: OperatorDep, services: ServicesDep, alert_id: AlertId, snooze: SnoozeRequest
) -> AlertItem:
    """Keep an alert quiet for some minutes, whatever its state does meanwhile."""
    row = await _find(request, caller, services, alert_id)
    until = datetime.now(UTC) + timedelta(minutes=snooze.minutes)
    mark = await services.alert_marks.set_snooze(caller.scope, alert_id, actor=caller.actor, until=until)
    return AlertItem.from_row(row, mark)


@router.delete("/{alert_id}/snooze", summary="End the quiet", responses=_CHANGES)
async def unsnooze_alert(request: Request, caller: OperatorDep, services: ServicesDep, alert_id: AlertId) -> AlertItem:
    """Let a snoozed alert be heard again."""
    row = await _find(request, caller, services, alert_id)
    mark = await services.alert_marks.set_snooze(caller.scope, alert_id, actor=caller.actor, until=None)
    return AlertItem.from_row(row, mark)


async def _find(request: Request, caller: Caller, services: Services, alert_id: str) -> dict[str, Any]:
    row = await while_connected(request, services.alerts.find(caller.scope, alert_id))
    if row is None:
        raise not_found(f"there is no alert {alert_id}")
    return row


async def _list(scope: Scope, services: Services, query: AlertQuery) -> AlertPage:
    after = decode_cursor(query.cursor, _LIST) if query.cursor else None
    conditions: AlertConditions = query
    start, end = in_utc(query.from_at, "from"), in_utc(query.to_at, "to")
    if after is not None:
        start, end = after.from_at, after.to_at
        try:
            conditions = AlertConditions.model_validate(after.filters)
        except ValidationError as error:
            raise InvalidCursor("not a cursor of the list of alerts: start again without it") from error
    given = {name: getattr(conditions, name) for name in AlertConditions.model_fields}
    is_open = given.pop("open")
    quiet = await _quiet(scope, services) if is_open else ()
    rows = await services.alerts.list_newest(
        scope,
        from_at=start,
        to_at=end,
        wanted=AlertFilter(**given, quiet=quiet),
        after=(after.at, after.key[0]) if after else None,
        limit=query.limit + 1,
    )
    rows, following = rows[: query.limit], rows[query.limit :]
    marks = await services.alert_marks.find(scope, [row["alert_id"] for row in rows])
    items = [AlertItem.from_row(row, marks.get(row["alert_id"])) for row in rows]
    if not following:
        return AlertPage(items=items, next_cursor=None)
    last = items[-1]
    filters = {name: value for name, value in given.items() if value is not None} | ({"open": True} if is_open else {})
    cursor = Cursor(_LIST, "-at", to_us(last.at), (last.alert_id,), start, end, filters)
    return AlertPage(items=items, next_cursor=cursor.encode())


async def _quiet(scope: Scope, services: Services) -> tuple[tuple[str, datetime | None], ...]:
    now = datetime.now(UTC)

    def until(mark: AlertMark) -> datetime | None:
        return None if mark.snoozed_until is not None and mark.snoozed_until > now else mark.acked_at

    return tuple((mark.alert_id, until(mark)) for mark in await services.alert_marks.list_quiet(scope, now))
