"""What tenants have set of alert rules, in Postgres.

Upstream: ``admin`` writes, inside the transaction of its caller.
Downstream: ``reader``, in the stitcher.
Guarantee: every change takes the lock of the head first and raises its number, so there is one order of changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB, insert

from infra.runtime.database import metadata
from stream_jobs.core.detect.rulebook import RuleRow

rule_settings: Final = sa.Table(
    "rule_settings",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("agent_id", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("settings", JSONB, nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
    sa.Column("updated_by", sa.Text, nullable=False),
)

head: Final = sa.Table(
    "rule_settings_head",
    metadata,
    sa.Column("only", sa.Boolean, primary_key=True),
    sa.Column("rev", sa.BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredRule:
    """One row with who set it, and when."""

    row: RuleRow
    updated_at: datetime
    updated_by: str


def read_rev(connection: Connection) -> int:
    """Return the number of the newest change."""
    return int(connection.execute(sa.select(head.c.rev)).scalar_one())


def read_rows(connection: Connection, tenant_id: str | None = None) -> list[StoredRule]:
    """Return what all tenants have set, or one; by tenant, agent and rule."""
    columns = rule_settings.c
    statement = rule_settings.select().order_by(columns.tenant_id, columns.agent_id, columns.rule)
    if tenant_id is not None:
        statement = statement.where(columns.tenant_id == tenant_id)
    return [
        StoredRule(RuleRow(row.tenant_id, row.agent_id or None, row.rule, row.settings), row.updated_at, row.updated_by)
        for row in connection.execute(statement)
    ]


def raise_rev(connection: Connection) -> None:
    """Take the turn to change something, and the number of the change."""
    connection.execute(head.update().values(rev=head.c.rev + 1))


def count_rows(connection: Connection, tenant_id: str) -> int:
    """Return how many rows a tenant has."""
    statement = sa.select(sa.func.count()).where(rule_settings.c.tenant_id == tenant_id)
    return int(connection.execute(statement).scalar_one())


def write_row(
    connection: Connection, tenant_id: str, agent_id: str | None, rule: str, settings: Mapping[str, Any], who: str
) -> None:
    """Store a row in place of the one of this scope and rule."""
    key = {"tenant_id": tenant_id, "agent_id": agent_id or "", "rule": rule}
    values = {"settings": dict(settings), "updated_by": who, "updated_at": sa.func.clock_timestamp()}
    statement = insert(rule_settings).values(**key, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))


def delete_row(connection: Connection, tenant_id: str, agent_id: str | None, rule: str) -> bool:
    """Remove a row; False when there is none."""
    columns = rule_settings.c
    statement = rule_settings.delete().where(
        columns.tenant_id == tenant_id, columns.agent_id == (agent_id or ""), columns.rule == rule
    )
    return connection.execute(statement).rowcount > 0
