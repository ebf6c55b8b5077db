"""What agents are told: verdicts that were, what holds now, and people's own orders to halt and to go on.

Upstream: clients; an order takes the role operator.
Downstream: api/repositories/verdicts.py and orders.py.
Guarantee: an order is answered when the broker has it, with who and why written down; an agent of another tenant is a
404. What the tables do not have yet is taken from the live window.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from api.access.caller import Caller
from api.access.roles import OperatorDep
from api.kit.cursor import Cursor, decode_cursor
from api.kit.instants import from_us, to_us
from api.repositories.scope import Scope
from api.routers.agents import AgentPath
from api.routers.window import NO_CONTROLS, CursorText, FromAt, ToAt, in_utc
from api.schemas.budgets import (
    BudgetItem,
    GuardStateItem,
    HaltRequest,
    OrderAnswer,
    OrderRequest,
    VerdictItem,
    VerdictPage,
)
from api.schemas.policies import GuardPolicyItem
from api.services import ScopeDep, Services, ServicesDep, while_connected
from api.views.guard import Row, hardest, in_force, newest_of_each, row_of, said_by
from infra.runtime.kafka import KafkaAway
from infra.runtime.problem import not_found, problem_responses, unavailable
from producers.contracts.guard import GuardAction

router = APIRouter(prefix="/v1", tags=["guard"])

_VERDICTS = "verdicts"
_RETRY_AFTER_S = 5
# Longer than any verdict holds.
_RELEASES_REACH = timedelta(days=32)
_ONE = problem_responses(404)
RunPath = Annotated[str, Path(min_length=1, max_length=128, pattern=NO_CONTROLS, description="The run.")]


@router.get("/verdicts", summary="List what agents were told, newest first")
async def list_verdicts(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    agent_id: Annotated[str | None, Query(max_length=64, description="Only to this OpenClaw install.")] = None,
    from_at: FromAt = None,
    to_at: ToAt = None,
    cursor: CursorText = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Verdicts per page.")] = 50,
) -> VerdictPage:
    """List verdicts of rules, budgets and people, each once with its newest end. A cursor carries window and agent."""
    after = decode_cursor(cursor, _VERDICTS, num_keys=2) if cursor else None
    start, end = in_utc(from_at, "from"), in_utc(to_at, "to")
    if after is not None:
        start, end = after.from_at, after.to_at
        agent_id = str(after.filters["agent_id"]) if "agent_id" in after.filters else None
    behind = (after.at, after.key[0], after.key[1]) if after else None
    read = services.verdicts.list_newest(
        scope, agent_id=agent_id, from_at=start, to_at=end, after=behind, limit=limit + 1
    )
    stored = await while_connected(request, read)
    live = [
        row
        for row in _live_rows(services, scope, agent_id)
        if (start is None or row["issued_at"] >= start)
        and (end is None or row["issued_at"] < end)
        and (behind is None or (row["issued_at"], row["agent_id"], row["verdict_id"]) < behind)
    ]
    found = newest_of_each([*stored, *live])
    items = await _items(scope, services, found[:limit])
    if len(found) <= limit:
        return VerdictPage(items=items, next_cursor=None)
    last = items[-1]
    filters: dict[str, str | bool | int] = {} if agent_id is None else {"agent_id": agent_id}
    key = (last.agent_id, last.verdict_id)
    following = Cursor(_VERDICTS, "-issued_at", to_us(last.issued_at), key, start, end, filters)
    return VerdictPage(items=items, next_cursor=following.encode())


@router.get("/agents/{agent_id}/guard", summary="Read what the guard of an agent is told", responses=_ONE)
async def get_guard(request: Request, scope: ScopeDep, services: ServicesDep, agent_id: AgentPath) -> GuardStateItem:
    """Read the agent's limits, the words in force for it, and the budgets that its spending counts under."""
    await _check_agent(request, scope, services, agent_id)
    return await while_connected(request, _guard(scope, services, agent_id))


@router.post("/agents/{agent_id}/halt", summary="Stop an agent", responses=_ONE)
async def halt_agent(
    request: Request, caller: OperatorDep, services: ServicesDep, agent_id: AgentPath, wanted: HaltRequest
) -> OrderAnswer:
    """Stop every run of an agent and keep it closed, until a release or the end that is named."""
    return await _order(request, caller, services, agent_id, None, "abort", wanted.reason, wanted.hours)


@router.post("/agents/{agent_id}/release", summary="Let an agent go on", responses=_ONE)
async def release_agent(
    request: Request, caller: OperatorDep, services: ServicesDep, agent_id: AgentPath, wanted: OrderRequest
) -> OrderAnswer:
    """Let an agent go on, whatever stopped it; a used-up budget lets it alone until its window has room."""
    return await _order(request, caller, services, agent_id, None, "release", wanted.reason, None)


@router.post("/agents/{agent_id}/runs/{run_id}/halt", summary="Stop a run", responses=_ONE)
async def halt_run(
    request: Request,
    caller: OperatorDep,
    services: ServicesDep,
    agent_id: AgentPath,
    run_id: RunPath,
    wanted: HaltRequest,
) -> OrderAnswer:
    """Stop one run with its sub-agents; the agent's other runs go on."""
    return await _order(request, caller, services, agent_id, run_id, "abort", wanted.reason, wanted.hours)


@router.post("/agents/{agent_id}/runs/{run_id}/release", summary="Let a run go on", responses=_ONE)
async def release_run(
    request: Request,
    caller: OperatorDep,
    services: ServicesDep,
    agent_id: AgentPath,
    run_id: RunPath,
    wanted: OrderRequest,
) -> OrderAnswer:
    """Take back what stopped one run."""
    return await _order(request, caller, services, agent_id, run_id, "release", wanted.reason, None)


async def _order(
    request: Request,
    caller: Caller,
    services: Services,
    agent_id: str,
    run_id: str | None,
    action: GuardAction,
    reason: str,
    hours: float | None,
) -> OrderAnswer:
    await _check_agent(request, caller.scope, services, agent_id)
    try:
        row = await services.orders.send(
            caller.scope,
            agent_id,
            run_id,
            action=action,
            reason=reason,
            hours=hours,
            actor=caller.actor,
            who=caller.label,
        )
    except KafkaAway as error:
        raise unavailable("Kafka does not answer; the agent was not told", retry_after_s=_RETRY_AFTER_S) from error
    return OrderAnswer(verdict=_item(row, caller.label), ordered_by=caller.actor)


async def _guard(scope: Scope, services: Services, agent_id: str) -> GuardStateItem:
    now = datetime.now(UTC)
    stored, policies, budgets = await asyncio.gather(
        services.verdicts.list_standing(scope, agent_id, now=now, releases_since=now - _RELEASES_REACH),
        services.policies.list_all(scope, agent_id),
        services.budgets.list_all(scope),
    )
    standing = in_force([*stored, *_live_rows(services, scope, agent_id)], now)
    return GuardStateItem(
        agent_id=agent_id,
        state=hardest(standing),
        policy=GuardPolicyItem.of(policies[0]) if policies else None,
        verdicts=await _items(scope, services, standing),
        budgets=[BudgetItem(**it) for it in budgets if it["agent_id"] in (None, agent_id)],
    )


def _live_rows(services: Services, scope: Scope, agent_id: str | None) -> Iterable[Row]:
    told = services.live.list_verdicts(scope)
    return [row_of(it, from_us) for it in told if agent_id in (None, it.agent_id)]


async def _items(scope: Scope, services: Services, rows: Iterable[Row]) -> list[VerdictItem]:
    found = list(rows)
    by_people = [row["verdict_id"] for row in found if said_by(row["verdict_id"]) == "person"]
    who = await services.orders.find_who(scope, by_people) if by_people else {}
    return [_item(row, who.get(row["verdict_id"])) for row in found]


def _item(row: Row, ordered_by: str | None) -> VerdictItem:
    return VerdictItem(**row, said_by=said_by(row["verdict_id"]), ordered_by=ordered_by)


async def _check_agent(request: Request, scope: Scope, services: Services, agent_id: str) -> None:
    known = await services.access_keys.has_agent(scope, agent_id)
    if not known and not await while_connected(request, services.agents.is_known(scope, agent_id)):
        raise not_found(f"there is no agent {agent_id}")
