"""Reads and writes who has seen to which alert.

Upstream: table ``control.alert_marks``.
Downstream: api/routers/alerts.py.
Guarantee: an ack counts for what was known when it was made: an alert that changes its state later is open again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine, Row
from sqlalchemy.dialects.postgresql import insert

from api.repositories.control import note, transact
from api.repositories.scope import Scope
from infra.runtime.database import SCHEMA

_NAMES = ("acked_at", "acked_by", "ack_note", "snoozed_until", "snoozed_by")
_INSTANTS = ("acked_at", "snoozed_until", "updated_at")
_marks = sa.table(
    "alert_marks",
    *(
        sa.column(name, sa.DateTime(timezone=True) if name in _INSTANTS else sa.Text())
        for name in ("tenant_id", "alert_id", *_NAMES, "updated_at")
    ),
    schema=SCHEMA,
)
# Beyond this many, the oldest marks no longer keep an alert out of the list of open ones.
MAX_QUIET = 500


@dataclass(frozen=True, slots=True)
class AlertMark:
    """What people said about one alert."""

    alert_id: str
    acked_at: datetime | None = None
    acked_by: str | None = None
    ack_note: str | None = None
    snoozed_until: datetime | None = None
    snoozed_by: str | None = None


class AlertMarksRepository:
    """Marks on the alerts of one tenant."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def find(self, scope: Scope, alert_ids: Sequence[str]) -> dict[str, AlertMark]:
        """Return the marks of these alerts."""
        if not alert_ids:
            return {}
        columns = _marks.c
        mine = sa.and_(columns.tenant_id == scope.tenant_id, columns.alert_id.in_(alert_ids))
        rows = await transact(self._engine, lambda connection: connection.execute(_select().where(mine)).all())
        return {row.alert_id: _mark(row) for row in rows}

    async def list_quiet(self, scope: Scope, now: datetime) -> list[AlertMark]:
        """Return the newest marks that may keep an alert quiet: acked, or snoozed beyond ``now``."""
        columns = _marks.c
        quiet = sa.or_(columns.acked_at.is_not(None), columns.snoozed_until > now)
        statement = (
            _select()
            .where(columns.tenant_id == scope.tenant_id, quiet)
            .order_by(columns.updated_at.desc())
            .limit(MAX_QUIET)
        )
        rows = await transact(self._engine, lambda connection: connection.execute(statement).all())
        return [_mark(row) for row in rows]

    async def set_ack(
        self, scope: Scope, alert_id: str, *, actor: str, at: datetime | None, text: str | None
    ) -> AlertMark:
        """Ack an alert, or take the ack back when ``at`` is None."""
        values = {"acked_at": at, "acked_by": actor if at else None, "ack_note": text if at else None}
        return await self._set(scope, alert_id, actor, "alert.ack" if at else "alert.unack", values)

    async def set_snooze(self, scope: Scope, alert_id: str, *, actor: str, until: datetime | None) -> AlertMark:
        """Keep an alert quiet until then, or no longer when ``until`` is None."""
        values = {"snoozed_until": until, "snoozed_by": actor if until else None}
        return await self._set(scope, alert_id, actor, "alert.snooze" if until else "alert.unsnooze", values)

    async def _set(self, scope: Scope, alert_id: str, actor: str, action: str, values: dict[str, Any]) -> AlertMark:
        key = {"tenant_id": scope.tenant_id, "alert_id": alert_id}
        statement = (
            insert(_marks)
            .values(**key, **values)
            .on_conflict_do_update(index_elements=list(key), set_={**values, "updated_at": sa.func.now()})
            .returning(*(_marks.c[name] for name in ("alert_id", *_NAMES)))
        )
        details = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}

        def work(connection: sa.Connection) -> AlertMark:
            mark = _mark(connection.execute(statement).one())
            note(connection, scope.tenant_id, actor, action, alert_id, details)
            return mark

        return await transact(self._engine, work)


def _select() -> sa.Select[Any]:
    return sa.select(*(_marks.c[name] for name in ("alert_id", *_NAMES)))


def _mark(row: Row[Any]) -> AlertMark:
    return AlertMark(**row._mapping)
