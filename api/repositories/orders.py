"""Sends what people tell agents: stand still, go on; and knows who did.

Upstream: stream_jobs.admin.
Downstream: api/routers/guard.py.
Guarantee: returns when the broker has it; who and why stand in the guard's audit and in the tenant's audit log.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import Connection, Engine

from api.kit.instants import from_us
from api.repositories.control import note, transact
from api.repositories.scope import Scope
from api.views.guard import row_of
from infra.runtime.database import DatabaseAway
from infra.runtime.guard_audit import who_told
from producers.contracts.guard import GuardAction
from stream_jobs.admin import MAX_HOURS, RELEASE_HOURS, BudgetsSettings, order_agent

_log = structlog.get_logger(__name__)


class OrdersRepository:
    """Orders to the agents of one tenant."""

    def __init__(self, engine: Engine, settings: BudgetsSettings) -> None:
        self._engine, self._settings = engine, settings

    async def send(
        self,
        scope: Scope,
        agent_id: str,
        run_id: str | None,
        *,
        action: GuardAction,
        reason: str,
        hours: float | None,
        actor: str,
        who: str,
    ) -> dict[str, Any]:
        """Send an order about an agent, or about one of its runs; return the verdict as a row.

        Args:
            actor: what the audit log calls the caller.
            who: the same for people.

        Raises:
            KafkaAway: the broker has not taken it.
        """

        def work() -> dict[str, Any]:
            sent = order_agent(
                self._settings,
                self._engine,
                agent_id,
                tenant_id=scope.tenant_id,
                action=action,
                reason=reason,
                hours=hours or (RELEASE_HOURS if action == "release" else MAX_HOURS),
                run_id=run_id,
                who=who,
            )
            return row_of(sent.message, from_us)

        row = await asyncio.to_thread(work)

        def write(connection: Connection) -> None:
            details = {"run_id": run_id, "reason": reason, "verdict_id": row["verdict_id"]}
            name = "agent.release" if action == "release" else "agent.halt"
            note(connection, scope.tenant_id, actor, name, agent_id, details)

        try:
            await transact(self._engine, write)
        except DatabaseAway as error:
            # The agent is told already; an error now would make somebody send it again.
            _log.error("order_not_noted", actor=actor, verdict_id=row["verdict_id"], reason=str(error))
        return row

    async def find_who(self, scope: Scope, verdict_ids: Sequence[str]) -> dict[str, str]:
        """Return who sent these verdicts, by verdict; those of budgets and rules are left out.

        Raises:
            DatabaseAway: Postgres does not answer, or was not migrated.
        """
        return await transact(self._engine, lambda connection: who_told(connection, scope.tenant_id, verdict_ids))
