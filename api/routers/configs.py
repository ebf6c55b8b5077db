"""GET /v1/agents/{agent_id}/configs: what an agent was made of, version by version.

Upstream: clients with a read key.
Downstream: api/repositories/configs.py, api/views/config_diff.py.
Guarantee: a version is found while its events are kept; runs are counted by their labels.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from api.repositories.configs import CONFIG_HOOK, SKILL_HOOK
from api.repositories.scope import Scope
from api.routers.agents import AgentPath
from api.routers.window import MonthDep, Window
from api.schemas.configs import (
    AgentConfig,
    ConfigComparison,
    ConfigList,
    ConfigVersion,
    SkillChange,
    config_event,
)
from api.services import ScopeDep, Services, ServicesDep, while_connected
from api.views.config_diff import diff_configs
from infra.runtime.problem import not_found, problem_responses

router = APIRouter(prefix="/v1/agents/{agent_id}/configs", tags=["agents"])

_HASH = r"^[0-9a-f]{12}$"
HashPath = Annotated[str, Path(alias="hash", pattern=_HASH, description="12 hex digits; the label `config` of runs.")]
_MAX_VERSIONS = 200
_ERRORS_OF_ONE = problem_responses(404)


@router.get("", summary="List the versions of an agent's configuration")
async def list_configs(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    agent_id: AgentPath,
    window: MonthDep,
) -> ConfigList:
    """List what its agents were made of in a window (the last 30 days): since when, how many runs, at what cost."""
    return await while_connected(request, _list(scope, services, agent_id, window))


@router.get("/diff", summary="Compare two versions of an agent's configuration", responses=_ERRORS_OF_ONE)
async def diff(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    agent_id: AgentPath,
    before: Annotated[str, Query(pattern=_HASH, description="Hash of the first version.")],
    after: Annotated[str, Query(pattern=_HASH, description="Hash of the second version.")],
    window: MonthDep,
) -> ConfigComparison:
    """Say what the second version has otherwise: models, settings, tools, skills and files with their texts."""
    return await while_connected(request, _compare(scope, services, agent_id, before, after, window))


@router.get("/{hash}", summary="Read one version of an agent's configuration", responses=_ERRORS_OF_ONE)
async def get_config(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    agent_id: AgentPath,
    version: HashPath,
    window: MonthDep,
) -> AgentConfig:
    """Read what the agent was made of, as it was told in a window (the last 30 days), without secrets."""
    payload = await while_connected(request, _payload(scope, services, agent_id, version, window))
    return AgentConfig.of(payload)


async def _list(scope: Scope, services: Services, agent_id: str, window: Window) -> ConfigList:
    start, end = window
    rows, changes = await asyncio.gather(
        services.configs.list_used(scope, agent_id, from_at=start, to_at=end, limit=_MAX_VERSIONS),
        _skill_changes(scope, services, agent_id, window),
    )
    items, seen = list[ConfigVersion](), set[str | None]()
    for row in rows.as_dicts():
        # Those used last come first.
        items.append(ConfigVersion(**row, is_current=row["openclaw_agent_id"] not in seen))
        seen.add(row["openclaw_agent_id"])
    return ConfigList(
        agent_id=agent_id, from_at=start, to_at=end, items=items, skill_changes=changes, truncated=rows.truncated
    )


async def _skill_changes(scope: Scope, services: Services, agent_id: str, window: Window) -> list[SkillChange]:
    keys = await services.configs.find_told(scope, agent_id, SKILL_HOOK, from_at=window[0], to_at=window[1])
    return [SkillChange.from_row(row) for row in await services.configs.list_payloads(scope, agent_id, keys)]


async def _compare(
    scope: Scope, services: Services, agent_id: str, before: str, after: str, window: Window
) -> ConfigComparison:
    first, second = await asyncio.gather(
        _payload(scope, services, agent_id, before, window), _payload(scope, services, agent_id, after, window)
    )
    return ConfigComparison.of(agent_id, before, after, diff_configs(config_event(first), config_event(second)))


async def _payload(scope: Scope, services: Services, agent_id: str, version: str, window: Window) -> str:
    keys = await services.configs.find_told(scope, agent_id, CONFIG_HOOK, from_at=window[0], to_at=window[1])
    payload = await services.configs.find_config(scope, agent_id, keys, version)
    if payload is None:
        raise not_found(
            f"the agent {agent_id} has told no configuration {version} in this window; set from to look further back"
        )
    return payload
