"""GET /v1/guard/policies, and what a tenant lets its agents spend.

Upstream: clients; to set anything it takes the role admin.
Downstream: api/repositories/policies.py.
Guarantee: nobody sees or changes another tenant's; a value that cannot be is a 422 that names the field, and nothing is
written; agents know a change within two seconds.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.access.roles import AdminDep
from api.schemas.policies import AGENT_ID, GuardPolicyEntry, GuardPolicyList, GuardPolicyRequest
from api.services import ScopeDep, ServicesDep
from infra.runtime.problem import not_found, problem_responses

router = APIRouter(prefix="/v1/guard/policies", tags=["guard"])

_ONE = problem_responses(404)
AgentPath = Annotated[str, Path(pattern=AGENT_ID, description="The OpenClaw install, as its key names it.")]


@router.get("", summary="List what agents may spend")
async def list_policies(
    scope: ScopeDep,
    services: ServicesDep,
    agent_id: Annotated[str | None, Query(pattern=AGENT_ID, description="Only of this OpenClaw install.")] = None,
) -> GuardPolicyList:
    """List the policies of the tenant's agents; an agent that is not listed has no limits of its own."""
    found = await services.policies.list_all(scope, agent_id)
    return GuardPolicyList(items=[GuardPolicyEntry.of(it) for it in found])


@router.put("/{agent_id}", summary="Set what an agent may spend")
async def set_policy(
    caller: AdminDep, services: ServicesDep, agent_id: AgentPath, wanted: GuardPolicyRequest
) -> GuardPolicyEntry:
    """Change what is named of an agent's policy, and leave the rest as it is; a limit of null is taken away.

    The agent need not be there yet: the policy is there before its first run.
    """
    changes = {name: getattr(wanted, name) for name in wanted.model_fields_set}
    return GuardPolicyEntry.of(await services.policies.change(caller.scope, agent_id, changes, actor=caller.actor))


@router.delete(
    "/{agent_id}", status_code=204, response_class=Response, summary="Take an agent's policy away", responses=_ONE
)
async def remove_policy(caller: AdminDep, services: ServicesDep, agent_id: AgentPath) -> Response:
    """Take an agent's policy away: no limits of its own, and while the server is away the last word holds."""
    if not await services.policies.remove(caller.scope, agent_id, actor=caller.actor):
        raise not_found(f"agent {agent_id} has no policy")
    return Response(status_code=204)
