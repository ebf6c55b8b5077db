"""What tenants have set of how long their rows stay: table ``control.retention``.

Upstream: the API, for people.
Downstream: the API shows it, upkeep deletes by it.
Guarantee: one row per tenant and table; no row means the install's default.
"""

from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from infra.runtime.database import SCHEMA

_rows: Final = sa.table(
    "retention",
    sa.column("tenant_id", sa.Text),
    sa.column("table_name", sa.Text),
    sa.column("days", sa.Integer),
    sa.column("updated_at", sa.DateTime(timezone=True)),
    sa.column("updated_by", sa.Text),
    schema=SCHEMA,
)


def days_of(connection: Connection, tenant_id: str) -> dict[str, int]:
    """Days by table, as far as the tenant has set any."""
    statement = sa.select(_rows.c.table_name, _rows.c.days).where(_rows.c.tenant_id == tenant_id)
    return {row.table_name: row.days for row in connection.execute(statement)}


def all_days(connection: Connection) -> dict[tuple[str, str], int]:
    """Days by (tenant, table), as far as any tenant has set them."""
    statement = sa.select(_rows.c.tenant_id, _rows.c.table_name, _rows.c.days)
    return {(row.tenant_id, row.table_name): row.days for row in connection.execute(statement)}


def set_days(connection: Connection, tenant_id: str, table: str, days: int, *, who: str) -> None:
    """Set the days of a tenant's table, in place of what was set before."""
    row = {"tenant_id": tenant_id, "table_name": table, "days": days, "updated_by": who}
    statement = insert(_rows).values(**row)
    changed = {"days": days, "updated_by": who, "updated_at": sa.func.clock_timestamp()}
    connection.execute(statement.on_conflict_do_update(index_elements=["tenant_id", "table_name"], set_=changed))


def remove_days(connection: Connection, tenant_id: str, table: str) -> bool:
    """Take back what was set; False when nothing was."""
    statement = sa.delete(_rows).where(_rows.c.tenant_id == tenant_id, _rows.c.table_name == table)
    return connection.execute(statement).rowcount > 0
