"""Reads and writes what a tenant sets of its alert rules.

Upstream: stream_jobs.admin.
Downstream: api/routers/rules.py.
Guarantee: the scope's tenant only; every change has its audit row in the same transaction.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from api.repositories.control import note
from api.repositories.scope import Scope
from stream_jobs.admin import ListedRule, list_rules, remove_rule, set_rule


class RulesRepository:
    """Alert rules as one tenant has set them."""

    def __init__(self, engine: Engine, rules_file: Path) -> None:
        self._engine, self._rules_file = engine, rules_file

    async def list_all(self, scope: Scope, agent_id: str | None) -> list[ListedRule]:
        """Return every rule with what holds for the tenant, or for one of its agents."""
        return await asyncio.to_thread(list_rules, self._engine, self._rules_file, scope.tenant_id, agent_id)

    async def set_override(
        self, scope: Scope, rule: str, agent_id: str | None, settings: Mapping[str, Any], *, actor: str
    ) -> None:
        """Set some settings of a rule, in place of those set before.

        Raises:
            NoSuchRule, InvalidRule: see stream_jobs.admin.
        """

        def also(connection: Connection) -> None:
            note(connection, scope.tenant_id, actor, "rule.set", rule, {"agent_id": agent_id, "settings": settings})

        await asyncio.to_thread(set_rule, self._engine, scope.tenant_id, agent_id, rule, settings, who=actor, also=also)

    async def remove_override(self, scope: Scope, rule: str, agent_id: str | None, *, actor: str) -> bool:
        """Take back what was set; False when nothing was."""

        def also(connection: Connection) -> None:
            note(connection, scope.tenant_id, actor, "rule.unset", rule, {"agent_id": agent_id})

        return await asyncio.to_thread(remove_rule, self._engine, scope.tenant_id, agent_id, rule, also=also)
