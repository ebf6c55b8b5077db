"""Reads alerts.

Upstream: view ``clawtrace.alerts``, through the engine.
Downstream: api/routers/alerts.py.
Guarantee: newest first by the instant of the last change of state. The table is partitioned by tenant alone, so no
day is needed to keep other tenants' files closed.
"""

from datetime import datetime
from typing import Any

from api.repositories.engine import TrinoEngine
from api.repositories.scope import Scope

_COLUMNS = "alert_id, agent_id, rule, severity, state, message, labels, evidence, trace_id, span_id, at"


class AlertsRepository:
    """Alerts of one tenant."""

    def __init__(self, engine: TrinoEngine) -> None:
        self._engine = engine

    async def list_newest(
        self,
        scope: Scope,
        *,
        from_at: datetime | None,
        to_at: datetime | None,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """Return alerts that changed in [from_at, to_at), newest first, those behind ``after`` only."""
        where, parameters = ["true"], list[Any]()
        if from_at is not None:
            where.append("at >= ?")
            parameters.append(from_at)
        if to_at is not None:
            where.append("at < ?")
            parameters.append(to_at)
        if after is not None:
            where.append("at <= ? AND (at < ? OR alert_id < ?)")
            parameters += [after[0], after[0], after[1]]
        sql = (
            f"SELECT {_COLUMNS} FROM alerts WHERE {' AND '.join(where)} "  # noqa: S608 - texts of this module only
            f"ORDER BY at DESC, alert_id DESC LIMIT {int(limit)}"
        )
        return (await self._engine.read(scope, sql, parameters, max_rows=limit)).as_dicts()
