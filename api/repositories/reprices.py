"""Keeps the jobs that price history again.

Upstream: table ``control.reprice_jobs``.
Downstream: api/reprice/service.py and api/routers/reprices.py.
Guarantee: of one tenant at most one job runs; one whose process has not said a word for two minutes has failed.
"""

import uuid
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, Row
from sqlalchemy.dialects.postgresql import JSONB, insert

from api.repositories.control import note, transact
from api.repositories.scope import Scope
from infra.runtime.database import SCHEMA

MAX_LISTED: Final = 50
_SILENT: Final = "2 minutes"
_GONE: Final = "the process that did it is gone; what it has sent counts, begin again for the rest"
_NAMES: Final = ("job_id", "kind", "state", "since", "until", "agent_id", "reason", "started_by", "started_at")
_jobs: Final = sa.table(
    "reprice_jobs",
    *(sa.column(name) for name in ("job_id", "tenant_id", "kind", "state", "agent_id", "reason", "started_by")),
    sa.column("since", sa.Date),
    sa.column("until", sa.Date),
    sa.column("started_at", sa.DateTime(timezone=True)),
    sa.column("updated_at", sa.DateTime(timezone=True)),
    sa.column("progress", JSONB),
    sa.column("error", sa.Text),
    schema=SCHEMA,
)


class RepriceBusy(Exception):
    """A job of the tenant runs already; the text names it."""


class RepricesRepository:
    """Jobs of one tenant."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def begin(
        self, scope: Scope, kind: str, values: Mapping[str, Any], progress: Mapping[str, Any], *, actor: str
    ) -> dict[str, Any]:
        """Make a running job over ``since``, ``until``, ``agent_id`` and ``reason`` of the values.

        Raises:
            RepriceBusy: one of the tenant runs already.
        """
        named = {name: values[name] for name in ("since", "until", "agent_id", "reason")}
        row = {"job_id": uuid.uuid4().hex, "tenant_id": scope.tenant_id, "kind": kind, "started_by": actor, **named}
        statement = insert(_jobs).values(**row, state="running", progress=dict(progress), error="")
        running = sa.select(_jobs.c.job_id).where(_jobs.c.tenant_id == scope.tenant_id, _jobs.c.state == "running")

        def work(connection: Connection) -> dict[str, Any]:
            _end_silent(connection, scope.tenant_id)
            made = connection.execute(statement.on_conflict_do_nothing().returning(*_jobs.c)).first()
            if made is None:
                raise RepriceBusy(f"the job {connection.scalar(running)} of the tenant is not done yet")
            details = {name: str(value) for name, value in named.items() if value is not None}
            note(connection, scope.tenant_id, actor, f"prices.reprice.{kind}", row["job_id"], details)
            return _dict(made)

        return await transact(self._engine, work)

    async def tell(self, scope: Scope, job_id: str, progress: Mapping[str, Any]) -> None:
        """Say how far a job is."""
        await self._update(scope, job_id, progress=dict(progress))

    async def end(self, scope: Scope, job_id: str, progress: Mapping[str, Any], *, error: str) -> None:
        """Say that a job is done, or why it failed."""
        state = "failed" if error else "done"
        await self._update(scope, job_id, progress=dict(progress), state=state, error=error)

    async def find(self, scope: Scope, job_id: str) -> dict[str, Any] | None:
        """Return a job; None when this tenant has none of that id."""
        found = await self._read(scope, _jobs.c.job_id == job_id)
        return found[0] if found else None

    async def list_newest(self, scope: Scope) -> list[dict[str, Any]]:
        """Return the newest jobs, newest first."""
        return await self._read(scope, sa.true())

    async def _read(self, scope: Scope, condition: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
        statement = (
            sa.select(*_jobs.c)
            .where(_jobs.c.tenant_id == scope.tenant_id, condition)
            .order_by(_jobs.c.started_at.desc(), _jobs.c.job_id)
            .limit(MAX_LISTED)
        )

        def work(connection: Connection) -> list[dict[str, Any]]:
            _end_silent(connection, scope.tenant_id)
            return [_dict(row) for row in connection.execute(statement)]

        return await transact(self._engine, work)

    async def _update(self, scope: Scope, job_id: str, **values: Any) -> None:
        statement = (
            sa.update(_jobs)
            .where(_jobs.c.tenant_id == scope.tenant_id, _jobs.c.job_id == job_id, _jobs.c.state == "running")
            .values(**values, updated_at=sa.func.clock_timestamp())
        )
        await transact(self._engine, lambda connection: connection.execute(statement))


def _end_silent(connection: Connection, tenant_id: str) -> None:
    connection.execute(
        sa.update(_jobs)
        .where(
            _jobs.c.tenant_id == tenant_id,
            _jobs.c.state == "running",
            _jobs.c.updated_at < sa.func.clock_timestamp() - sa.cast(_SILENT, sa.Interval),
        )
        .values(state="failed", error=_GONE)
    )


def _dict(row: Row[Any]) -> dict[str, Any]:
    found = row._mapping
    return {**{name: found[name] for name in (*_NAMES, "updated_at", "error")}, **found["progress"]}
