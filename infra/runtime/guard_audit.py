"""Who told guards what, and when: one row for each verdict that a person sent.

Upstream: ``clawtrace halt | release``, ``clawtrace guard verdict``, the API.
Downstream: people who ask; the keeper of budgets, which stops telling an agent to stop that somebody released.
Guarantee: rows are only added; their numbers grow in the order of their commits, so a reader misses none.
"""

import getpass
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from infra.runtime.database import metadata, transaction

guard_audit = sa.Table(
    "guard_audit",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("agent_id", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("scope_id", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("verdict_id", sa.Text, nullable=False),
)

MAX_ROWS: Final = 1_000


@dataclass(frozen=True, slots=True)
class GuardOrder:
    """What somebody told a guard."""

    who: str
    tenant_id: str
    agent_id: str
    action: str
    scope: str
    scope_id: str
    reason: str
    verdict_id: str
    at: datetime | None = None
    id: int = 0


def who_is_there() -> str:
    """Name the person at the keyboard: user@host."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def note_order(engine: Engine, order: GuardOrder) -> None:
    """Write down what is told.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    columns = ("who", "tenant_id", "agent_id", "action", "scope", "scope_id", "reason", "verdict_id")
    with transaction(engine) as connection:
        # Otherwise a row could become visible after one with a higher number, and a reader would miss it.
        connection.execute(sa.text("LOCK TABLE control.guard_audit IN EXCLUSIVE MODE"))
        connection.execute(guard_audit.insert().values(**{name: getattr(order, name) for name in columns}))


def who_told(connection: Connection, tenant_id: str, verdict_ids: Sequence[str]) -> dict[str, str]:
    """Return who sent verdicts of a tenant, by verdict; those that nobody wrote down are left out."""
    columns = guard_audit.c
    statement = sa.select(columns.verdict_id, columns.who).where(
        columns.tenant_id == tenant_id, columns.verdict_id.in_(verdict_ids)
    )
    return {row.verdict_id: row.who for row in connection.execute(statement)}


def orders_after(connection: Connection, last_id: int) -> Sequence[GuardOrder]:
    """Return what was written after a row, oldest first."""
    rows = connection.execute(
        guard_audit.select().where(guard_audit.c.id > last_id).order_by(guard_audit.c.id).limit(MAX_ROWS)
    )
    return [GuardOrder(**row._mapping) for row in rows]
