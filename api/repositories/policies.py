"""Reads what each agent may spend, from Postgres.

Upstream: table ``control.guard_policies``, written by ``clawtrace guard set``.
Downstream: Tracy's tool budget_status, POST /v1/evolve/ask, GET /v1/agents/{agent_id}/guard.
Guarantee: the scope's tenant only; an empty list when nobody set a limit.
"""

import asyncio
from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy import Engine

from api.repositories.scope import Scope
from infra.runtime.database import SCHEMA, transaction

_policies = sa.table(
    "guard_policies",
    sa.column("tenant_id"),
    sa.column("agent_id"),
    sa.column("action"),
    sa.column("posture"),
    sa.column("run_limit_usd"),
    sa.column("session_limit_usd"),
    sa.column("agent_day_limit_usd"),
    schema=SCHEMA,
)


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

    async def list_limits(self, scope: Scope, agent_id: str | None = None) -> list[PolicyRow]:
        """Return the limits of all agents, or of one.

        Raises:
            DatabaseAway: Postgres does not answer, or was not migrated.
        """
        return await asyncio.to_thread(self._list, scope.tenant_id, agent_id)

    def _list(self, tenant_id: str, agent_id: str | None) -> list[PolicyRow]:
        columns = _policies.c
        statement = sa.select(
            columns.agent_id,
            columns.action,
            columns.run_limit_usd,
            columns.session_limit_usd,
            columns.agent_day_limit_usd,
            columns.posture,
        ).where(columns.tenant_id == tenant_id)
        if agent_id is not None:
            statement = statement.where(columns.agent_id == agent_id)
        with transaction(self._engine) as connection:
            return [PolicyRow(*row) for row in connection.execute(statement.order_by(columns.agent_id))]
