"""Erasures as jobs: asked for by people, done by whoever looks after the tables.

Upstream: the API and `clawtrace lake erase` ask.
Downstream: lakehouse.erasure takes them up and ends them; table ``control.erasures``.
Guarantee: with the job its tombstones are stored, in one transaction: from that commit on nothing of it is stored
again. Of one thing at most one job is open. A job whose worker died is taken up again from its beginning, which does
no harm.
"""

import time
import uuid
from collections.abc import Mapping
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB, insert

from infra.runtime.access_keys import access_keys
from infra.runtime.database import SCHEMA
from infra.runtime.tombstones import ALWAYS_US, Tombstone, add_tombstones

JobScope = Literal["trace", "session", "tenant"]
MAX_LISTED: Final = 50
MAX_TRIES: Final = 10

_jobs: Final = sa.table(
    "erasures",
    *(
        sa.column(name, sa.Text)
        for name in (
            "erasure_id",
            "tenant_id",
            "scope",
            "target",
            "agent_id",
            "reason",
            "state",
            "asked_by",
            "step",
            "error",
        )
    ),
    sa.column("asked_at", sa.DateTime(timezone=True)),
    sa.column("updated_at", sa.DateTime(timezone=True)),
    sa.column("num_tries", sa.Integer),
    sa.column("receipt", JSONB),
    schema=SCHEMA,
)
_OPEN: Final = ("asked", "running")


class ErasureBusy(Exception):
    """The same is being erased already; the text names the job."""


def ask(
    connection: Connection,
    tenant_id: str,
    scope: JobScope,
    target: str,
    *,
    agent_id: str = "",
    reason: str = "",
    who: str,
) -> dict[str, Any]:
    """Make a job and its tombstone; an empty ``agent_id`` means every install. A tenant's keys for sending are revoked.

    Raises:
        ErasureBusy: the same is being erased already.
    """
    row = {
        "erasure_id": uuid.uuid4().hex,
        "tenant_id": tenant_id,
        "scope": scope,
        "target": target,
        "agent_id": agent_id,
        "reason": reason,
        "asked_by": who,
        "state": "asked",
        "step": "",
        "error": "",
    }
    made = connection.execute(insert(_jobs).values(**row).on_conflict_do_nothing().returning(*_jobs.c)).first()
    if made is None:
        columns = _jobs.c
        running = sa.select(columns.erasure_id).where(
            columns.tenant_id == tenant_id,
            columns.scope == scope,
            columns.target == target,
            columns.agent_id == agent_id,
            columns.state.in_(_OPEN),
        )
        raise ErasureBusy(f"the erasure {connection.scalar(running)} of the same is not done yet")
    # A session goes on under its key, so only what it was until now is erased.
    before_us = time.time_ns() // 1_000 if scope == "session" else ALWAYS_US
    stone = Tombstone(tenant_id, scope, target, agent_id, before_us=before_us)
    add_tombstones(connection, row["erasure_id"], [stone])
    if scope == "tenant":
        keys = access_keys.c
        connection.execute(
            sa.update(access_keys)
            .where(keys.tenant_id == tenant_id, keys.scope == "ingest", keys.revoked_at.is_(None))
            .values(revoked_at=sa.func.now())
        )
    return dict(made._mapping)


def take(connection: Connection, erasure_id: str | None = None) -> dict[str, Any] | None:
    """Take up the oldest open job, or the one named; None when there is none. Hold the lock of the upkeep meanwhile."""
    columns = _jobs.c
    wanted = columns.erasure_id == erasure_id if erasure_id is not None else sa.true()
    oldest = (
        sa.select(columns.erasure_id)
        .where(columns.state.in_(_OPEN), wanted)
        # One that fails must not keep the others waiting.
        .order_by(columns.num_tries, columns.asked_at)
        .limit(1)
        .scalar_subquery()
    )
    statement = (
        sa.update(_jobs)
        .where(columns.erasure_id == oldest)
        .values(state="running", num_tries=columns.num_tries + 1, updated_at=sa.func.clock_timestamp())
        .returning(*columns)
    )
    found = connection.execute(statement).first()
    return None if found is None else dict(found._mapping)


def tell(connection: Connection, erasure_id: str, step: str) -> None:
    """Say what is being done."""
    _update(connection, erasure_id, step=step)


def end(connection: Connection, erasure_id: str, receipt: Mapping[str, Any]) -> None:
    """Say that a job is done."""
    _update(connection, erasure_id, state="done", step="", error="", receipt=dict(receipt))


def put_back(connection: Connection, erasure_id: str, num_tries: int, error: str) -> None:
    """Say why a try failed; the job waits for its next one, and has failed after the last."""
    state = "failed" if num_tries >= MAX_TRIES else "asked"
    _update(connection, erasure_id, state=state, step="", error=error)


def find(connection: Connection, tenant_id: str, erasure_id: str) -> dict[str, Any] | None:
    """Return a job of a tenant."""
    found = _read(connection, sa.and_(_jobs.c.tenant_id == tenant_id, _jobs.c.erasure_id == erasure_id))
    return found[0] if found else None


def list_newest(connection: Connection, tenant_id: str) -> list[dict[str, Any]]:
    """Return the newest jobs of a tenant, newest first."""
    return _read(connection, _jobs.c.tenant_id == tenant_id)


def _read(connection: Connection, condition: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
    columns = _jobs.c
    statement = sa.select(*columns).where(condition).order_by(columns.asked_at.desc(), columns.erasure_id)
    return [dict(row._mapping) for row in connection.execute(statement.limit(MAX_LISTED))]


def _update(connection: Connection, erasure_id: str, **values: Any) -> None:
    statement = (
        sa.update(_jobs)
        .where(_jobs.c.erasure_id == erasure_id, _jobs.c.state == "running")
        .values(**values, updated_at=sa.func.clock_timestamp())
    )
    connection.execute(statement)
