"""Reads alerts.

Upstream: view ``clawtrace.alerts``, through the engine.
Downstream: api/routers/alerts.py.
Guarantee: newest first by the instant of the last change of state. The table is partitioned by tenant alone, so no
day is needed to keep other tenants' files closed.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.repositories.engine import TrinoEngine
from api.repositories.scope import Scope

_COLUMNS = "alert_id, agent_id, rule, severity, state, message, labels, evidence, trace_id, span_id, at"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFilter:
    """Conditions that all must hold; None is no condition.

    ``quiet`` leaves out alerts by id, up to and including the change of state at that instant; None is for good.
    """

    state: str | None = None
    severity: str | None = None
    rule: str | None = None
    agent_id: str | None = None
    trace_id: str | None = None
    quiet: tuple[tuple[str, datetime | None], ...] = ()

    def sql(self) -> tuple[list[str], list[Any]]:
        """Return conditions and their parameters."""
        where, parameters = ["true"], list[Any]()
        for name in ("state", "severity", "rule", "agent_id", "trace_id"):
            if (value := getattr(self, name)) is not None:
                where.append(f"{name} = ?")
                parameters.append(value)
        for alert_id, until in self.quiet:
            where.append("NOT (alert_id = ? AND at <= ?)" if until else "alert_id <> ?")
            parameters += [alert_id, until] if until else [alert_id]
        return where, parameters


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
        wanted: AlertFilter | None = None,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """Return alerts that changed in [from_at, to_at), newest first, those behind ``after`` only."""
        where, parameters = (wanted or AlertFilter()).sql()
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

    async def find(self, scope: Scope, alert_id: str) -> dict[str, Any] | None:
        """Return one alert; None when this tenant has none of that id."""
        sql = f"SELECT {_COLUMNS} FROM alerts WHERE alert_id = ?"  # noqa: S608 - texts of this module only
        rows = await self._engine.read(scope, sql, [alert_id], max_rows=1)
        return rows.as_dicts()[0] if rows.rows else None
