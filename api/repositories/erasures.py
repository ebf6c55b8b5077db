"""Asks for erasures, and reads how far they are.

Upstream: infra.runtime.erasure_jobs.
Downstream: api/routers/erasures.py.
Guarantee: the scope's tenant only; the job, its tombstone and the audit row are stored together or not at all.
"""

from typing import Any, Final

from sqlalchemy import Connection, Engine

from api.repositories.control import note, transact
from api.repositories.scope import Scope
from infra.runtime import erasure_jobs
from infra.runtime.erasure_jobs import ErasureBusy, JobScope

__all__ = ["ErasureBusy", "ErasuresRepository"]

_NAMES: Final = (
    "erasure_id",
    "scope",
    "reason",
    "state",
    "step",
    "asked_by",
    "asked_at",
    "updated_at",
    "receipt",
    "error",
)


class ErasuresRepository:
    """Erasures of one tenant."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ask(
        self, scope: Scope, what: JobScope, target: str, *, agent_id: str | None, reason: str, actor: str
    ) -> dict[str, Any]:
        """Make a job; without ``agent_id`` it is about every install of the tenant.

        Raises:
            ErasureBusy: the same is being erased already.
        """

        def work(connection: Connection) -> dict[str, Any]:
            row = erasure_jobs.ask(
                connection, scope.tenant_id, what, target, agent_id=agent_id or "", reason=reason, who=actor
            )
            details = {"scope": what, "id": target, "agent_id": agent_id, "reason": reason}
            note(connection, scope.tenant_id, actor, "erasure.ask", row["erasure_id"], details)
            return _shown(row)

        return await transact(self._engine, work)

    async def find(self, scope: Scope, erasure_id: str) -> dict[str, Any] | None:
        """Return a job; None when this tenant has none of that id."""
        row = await transact(
            self._engine, lambda connection: erasure_jobs.find(connection, scope.tenant_id, erasure_id)
        )
        return None if row is None else _shown(row)

    async def list_newest(self, scope: Scope) -> list[dict[str, Any]]:
        """Return the newest jobs, newest first."""
        rows = await transact(self._engine, lambda connection: erasure_jobs.list_newest(connection, scope.tenant_id))
        return [_shown(row) for row in rows]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {**{name: row[name] for name in _NAMES}, "id": row["target"], "agent_id": row["agent_id"] or None}
