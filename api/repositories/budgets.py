"""Reads and writes budgets of one tenant.

Upstream: stream_jobs.admin.
Downstream: api/routers/budgets.py and guard.py.
Guarantee: the scope's tenant only; every change has its audit row in the same transaction.
"""

import asyncio
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine

from api.repositories.control import note
from api.repositories.scope import Scope
from stream_jobs.admin import Standing, list_budgets, remove_budget, set_budget
from stream_jobs.contracts.budget import BudgetAction, BudgetUnit, BudgetWindow, InvalidBudget


class BudgetsRepository:
    """Budgets of one tenant."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list_all(self, scope: Scope) -> list[dict[str, Any]]:
        """Return the budgets as they stand, in the order of their ids."""
        return [_row(it) for it in await asyncio.to_thread(list_budgets, self._engine, scope.tenant_id)]

    async def put(
        self,
        scope: Scope,
        *,
        agent_id: str | None,
        openclaw_agent_id: str | None,
        session_prefix: str | None,
        window: BudgetWindow,
        unit: BudgetUnit,
        limit: Decimal,
        warn_percents: list[int] | None,
        action: BudgetAction | None,
        grace_percent: int | None,
        actor: str,
    ) -> dict[str, Any]:
        """Make a budget, or change what is named of the one with this scope, window and unit.

        Raises:
            InvalidBudget: it cannot be; names the field.
        """
        named = {
            "agent_id": agent_id,
            "openclaw_agent_id": openclaw_agent_id,
            "session_prefix": session_prefix,
            "window": window,
        }
        rest = {"action": action, "grace_percent": grace_percent}
        amount = f"{limit:f}"

        def also(connection: Connection) -> None:
            details = {**named, "unit": unit, "limit": amount, "warn_percents": warn_percents, **rest}
            note(connection, scope.tenant_id, actor, "budget.set", agent_id or scope.tenant_id, details)

        def work() -> Standing:
            return set_budget(
                self._engine,
                tenant_id=scope.tenant_id,
                agent_id=agent_id,
                openclaw_agent_id=openclaw_agent_id,
                session_prefix=session_prefix,
                window=window,
                usd=amount if unit == "usd" else None,
                tokens=amount if unit == "tokens" else None,
                warn=None if warn_percents is None else ",".join(map(str, warn_percents)),
                action=action,
                grace_percent=grace_percent,
                also=also,
            )

        return _row(await asyncio.to_thread(work))

    async def remove(self, scope: Scope, budget_id: str, *, actor: str) -> bool:
        """Remove a budget; False when this tenant has none of that id."""

        def also(connection: Connection) -> None:
            note(connection, scope.tenant_id, actor, "budget.remove", budget_id, {})

        try:
            await asyncio.to_thread(remove_budget, self._engine, budget_id, scope.tenant_id, also)
        except InvalidBudget:
            return False
        return True


def _row(standing: Standing) -> dict[str, Any]:
    found = standing.as_builtins()
    del found["tenant_id"]
    return found
