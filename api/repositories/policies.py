"""Reads and writes what each agent may spend, and what happens then.

Upstream: producers.admin.
Downstream: api/routers/policies.py and guard.py, Tracy's tool budget_status, POST /v1/evolve/ask.
Guarantee: the scope's tenant only; every change has its audit row in the same transaction; an empty list when nobody
set a limit.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine

from api.kit.values import json_value
from api.repositories.control import note
from api.repositories.scope import Scope
from producers.admin import StoredPolicy, change_policy, list_policies, remove_policy


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """What one agent may spend; None where there is no limit."""

    agent_id: str
    action: str
    run_limit_usd: Decimal | None
    session_limit_usd: Decimal | None
    agent_day_limit_usd: Decimal | None
    posture: str


class PoliciesRepository:
    """Limits of one tenant's agents."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list_all(self, scope: Scope, agent_id: str | None = None) -> list[StoredPolicy]:
        """Return the policies of all agents, or of one, in the order of their names.

        Raises:
            DatabaseAway: Postgres does not answer, or was not migrated.
        """
        return await asyncio.to_thread(list_policies, self._engine, scope.tenant_id, agent_id)

    async def list_limits(self, scope: Scope, agent_id: str | None = None) -> list[PolicyRow]:
        """Return the same as rows of plain values.

        Raises:
            DatabaseAway: Postgres does not answer, or was not migrated.
        """
        names = [name for name in PolicyRow.__dataclass_fields__ if name != "agent_id"]
        return [
            PolicyRow(agent_id=it.agent_id, **{name: getattr(it.policy, name) for name in names})
            for it in await self.list_all(scope, agent_id)
        ]

    async def change(self, scope: Scope, agent_id: str, changes: Mapping[str, Any], *, actor: str) -> StoredPolicy:
        """Change what is named of an agent's policy; None takes a limit away.

        Raises:
            InvalidPolicy: it cannot be.
            DatabaseAway: Postgres does not answer, or was not migrated.
        """

        def also(connection: Connection) -> None:
            note(connection, scope.tenant_id, actor, "guard_policy.set", agent_id, json_value(changes))

        return await asyncio.to_thread(change_policy, self._engine, scope.tenant_id, agent_id, changes, also=also)

    async def remove(self, scope: Scope, agent_id: str, *, actor: str) -> bool:
        """Take an agent's policy away; False when it has none.

        Raises:
            DatabaseAway: Postgres does not answer, or was not migrated.
        """

        def also(connection: Connection) -> None:
            note(connection, scope.tenant_id, actor, "guard_policy.remove", agent_id, {})

        return await asyncio.to_thread(remove_policy, self._engine, scope.tenant_id, agent_id, also=also)
