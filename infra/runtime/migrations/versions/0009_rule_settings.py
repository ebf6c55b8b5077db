"""Create control.rule_settings: what tenants set of alert rules, and the number of the newest change.

Upstream: 0008. Downstream: ``stream_jobs.rules``.
Guarantee: one row per rule and scope (an empty agent is all of the tenant); the number grows with every change, in the
order of the commits, so a reader that knows it knows whether there is anything new.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "control"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "rule_settings",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("agent_id", sa.Text, primary_key=True),
        sa.Column("rule", sa.Text, primary_key=True),
        sa.Column("settings", JSONB, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("updated_by", sa.Text, nullable=False),
        sa.CheckConstraint("tenant_id ~ '^[a-z0-9]{6,32}$'", name="rule_settings_tenant_id_alphabet"),
        sa.CheckConstraint("agent_id ~ '^([a-z0-9][a-z0-9_-]{0,63})?$'", name="rule_settings_agent_id_alphabet"),
        schema=SCHEMA,
    )
    head = op.create_table(
        "rule_settings_head",
        sa.Column("only", sa.Boolean, primary_key=True, server_default=sa.true()),
        sa.Column("rev", sa.BigInteger, nullable=False),
        sa.CheckConstraint('"only"', name="rule_settings_head_one_row"),
        schema=SCHEMA,
    )
    op.bulk_insert(head, [{"only": True, "rev": 0}])


def downgrade() -> None:
    """Drop the tables, and with them what tenants have set."""
    for name in ("rule_settings_head", "rule_settings"):
        op.drop_table(name, schema=SCHEMA)
