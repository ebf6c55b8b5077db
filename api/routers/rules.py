"""GET /v1/rules, and what a tenant sets of its alert rules.

Upstream: clients; to set anything it takes the role admin.
Downstream: api/repositories/rules.py.
Guarantee: a value that cannot be is a 422 that names the field, and nothing is written; a change is in force in the
stitcher within ten seconds.
"""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.access.roles import AdminDep
from api.repositories.scope import Scope
from api.routers.window import NO_CONTROLS
from api.schemas.rules import RuleItem, RuleList, RuleOverrideRequest
from api.services import ScopeDep, Services, ServicesDep
from infra.runtime.problem import FieldError, Problem, invalid, not_found, problem_responses
from stream_jobs.admin import InvalidRule, NoSuchRule

router = APIRouter(prefix="/v1/rules", tags=["rules"])

_ONE = problem_responses(404)
RuleName = Annotated[str, Path(min_length=1, max_length=64, pattern=NO_CONTROLS, description="The rule.")]
AgentQuery = Annotated[
    str | None,
    Query(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="An OpenClaw install; without it all of the tenant."),
]


@router.get("", summary="List alert rules with their settings")
async def list_rules(scope: ScopeDep, services: ServicesDep, agent_id: AgentQuery = None) -> RuleList:
    """List every rule: what it looks for, its settings with defaults, and what holds for the tenant or one agent."""
    found = await services.rules.list_all(scope, agent_id)
    return RuleList(agent_id=agent_id, items=[RuleItem(**asdict(it)) for it in found])


@router.get("/{rule}", summary="Read one alert rule", responses=_ONE)
async def get_rule(scope: ScopeDep, services: ServicesDep, rule: RuleName, agent_id: AgentQuery = None) -> RuleItem:
    """Read one rule with its settings, for the tenant or one agent."""
    return await _one(scope, services, rule, agent_id)


@router.put("/{rule}/override", summary="Set an alert rule for the tenant or an agent", responses=_ONE)
async def set_override(
    caller: AdminDep, services: ServicesDep, rule: RuleName, wanted: RuleOverrideRequest
) -> RuleItem:
    """Set some of a rule's settings, in place of those that were set here before for the same scope."""
    try:
        await services.rules.set_override(caller.scope, rule, wanted.agent_id, wanted.settings, actor=caller.actor)
    except (NoSuchRule, InvalidRule) as error:
        raise refusal_of(error) from None
    return await _one(caller.scope, services, rule, wanted.agent_id)


@router.delete(
    "/{rule}/override",
    status_code=204,
    response_class=Response,
    summary="Take what was set for a rule back",
    responses=_ONE,
)
async def remove_override(
    caller: AdminDep, services: ServicesDep, rule: RuleName, agent_id: AgentQuery = None
) -> Response:
    """Take back what was set here for the tenant or an agent; the layer above holds again."""
    if not await services.rules.remove_override(caller.scope, rule, agent_id, actor=caller.actor):
        whose = f"the agent {agent_id}" if agent_id else "the tenant"
        raise not_found(f"nothing is set of the rule {rule} for {whose}")
    return Response(status_code=204)


def refusal_of(error: NoSuchRule | InvalidRule) -> Problem:
    """What a client is told whose rule or setting cannot be."""
    if isinstance(error, NoSuchRule):
        return not_found(str(error))
    field = f"body.settings.{error.field}" if error.field else "body.settings"
    return invalid(f"{field}: {error}", FieldError(field, str(error)))


async def _one(scope: Scope, services: Services, rule: str, agent_id: str | None) -> RuleItem:
    found = next((it for it in await services.rules.list_all(scope, agent_id) if it.rule == rule), None)
    if found is None:
        raise not_found(f"there is no rule {rule}")
    return RuleItem(**asdict(found))
