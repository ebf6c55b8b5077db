"""Reads what agents were told.

Upstream: view ``clawtrace.verdicts``, through the engine.
Downstream: api/routers/guard.py.
Guarantee: each verdict once, as it was said last; newest first. The table is partitioned by tenant alone.
"""

from datetime import datetime
from typing import Any

from api.repositories.engine import TrinoEngine
from api.repositories.scope import Scope

_COLUMNS = "verdict_id, agent_id, scope, scope_id, action, reason, alert_id, issued_at, expires_at"
MAX_IN_FORCE = 1_000


class VerdictsRepository:
    """Verdicts of one tenant."""

    def __init__(self, engine: TrinoEngine) -> None:
        self._engine = engine

    async def list_newest(
        self,
        scope: Scope,
        *,
        agent_id: str | None,
        from_at: datetime | None,
        to_at: datetime | None,
        after: tuple[datetime, str, str] | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """Return verdicts issued in [from_at, to_at), newest first, those behind ``after`` only.

        ``after`` is instant, agent and id of a verdict.
        """
        where, parameters = ["true"], list[Any]()
        for condition, value in (("agent_id = ?", agent_id), ("issued_at >= ?", from_at), ("issued_at < ?", to_at)):
            if value is not None:
                where.append(condition)
                parameters.append(value)
        if after is not None:
            where.append("issued_at <= ? AND (issued_at < ? OR (agent_id, verdict_id) < (?, ?))")
            parameters += [after[0], *after]
        sql = (
            f"SELECT {_COLUMNS} FROM verdicts WHERE {' AND '.join(where)} "  # noqa: S608 - texts of this module only
            f"ORDER BY issued_at DESC, agent_id DESC, verdict_id DESC LIMIT {int(limit)}"
        )
        return (await self._engine.read(scope, sql, parameters, max_rows=limit)).as_dicts()

    async def list_standing(
        self, scope: Scope, agent_id: str, *, now: datetime, releases_since: datetime
    ) -> list[dict[str, Any]]:
        """Return the words to an agent that have not lapsed, and releases since then, newest first."""
        sql = (
            f"SELECT {_COLUMNS} FROM verdicts WHERE agent_id = ? "  # noqa: S608 - texts of this module only
            "AND (expires_at > ? OR (action = 'release' AND issued_at > ?)) "
            f"ORDER BY issued_at DESC, verdict_id DESC LIMIT {MAX_IN_FORCE}"
        )
        parameters = [agent_id, now, releases_since]
        return (await self._engine.read(scope, sql, parameters, max_rows=MAX_IN_FORCE)).as_dicts()
