"""Runs one transaction over the control tables, in a thread.

Upstream: the repositories of people's own data: marks, keys, members, the audit log.
Downstream: Postgres.
Guarantee: what is changed and the audit row that says so are stored together or not at all; the driver's exceptions
leave as DatabaseAway.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import JSONB

from infra.runtime.database import SCHEMA, transaction

T = TypeVar("T")

# What is done in the transaction of somebody else.
Also = Callable[[Connection], None]

audit_log = sa.table(
    "audit_log",
    sa.column("entry_id", sa.BigInteger),
    sa.column("tenant_id", sa.Text),
    sa.column("at", sa.DateTime(timezone=True)),
    sa.column("actor", sa.Text),
    sa.column("action", sa.Text),
    sa.column("target", sa.Text),
    sa.column("details", JSONB),
    schema=SCHEMA,
)


async def transact(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run ``work`` in a transaction and return what it returns.

    Raises:
        DatabaseAway: Postgres does not answer, or was not migrated.
    """

    def run() -> T:
        with transaction(engine) as connection:
            return work(connection)

    return await asyncio.to_thread(run)


def note(
    connection: Connection, tenant_id: str, actor: str, action: str, target: str, details: Mapping[str, Any]
) -> None:
    """Write an audit row in the same transaction as what it tells of."""
    row = {"tenant_id": tenant_id, "actor": actor, "action": action, "target": target, "details": dict(details)}
    connection.execute(audit_log.insert().values(**row))
