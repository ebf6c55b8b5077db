"""Create control.retention, control.erasures and control.erased: how long rows stay, and what must never come back.

Upstream: 0011. Downstream: ``infra.runtime.tombstones``, ``lakehouse.retention``, ``lakehouse.erasure``, the API.
Guarantee: one row of retention per tenant and table; of one thing at most one erasure runs; the number in the head
grows with every new tombstone, in the order of the commits, so a reader that knows it knows whether there is any new.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SCHEMA = "control"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "retention",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("table_name", sa.Text, primary_key=True),
        sa.Column("days", sa.Integer, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("updated_by", sa.Text, nullable=False),
        sa.CheckConstraint("tenant_id ~ '^[a-z0-9]{6,32}$'", name="retention_tenant_id_alphabet"),
        sa.CheckConstraint("days > 0", name="retention_days_positive"),
        schema=SCHEMA,
    )
    op.create_table(
        "erasures",
        sa.Column("erasure_id", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("agent_id", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="asked"),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("num_tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("step", sa.Text, nullable=False, server_default=""),
        sa.Column("receipt", JSONB),
        sa.Column("error", sa.Text, nullable=False, server_default=""),
        sa.CheckConstraint("tenant_id ~ '^[a-z0-9]{6,32}$'", name="erasures_tenant_id_alphabet"),
        sa.CheckConstraint("scope IN ('trace', 'session', 'tenant')", name="erasures_scope_known"),
        sa.CheckConstraint("state IN ('asked', 'running', 'done', 'failed')", name="erasures_state_known"),
        sa.CheckConstraint("(state = 'done') = (receipt IS NOT NULL)", name="erasures_done_has_receipt"),
        schema=SCHEMA,
    )
    op.create_index("erasures_by_tenant", "erasures", ["tenant_id", "asked_at"], schema=SCHEMA)
    op.create_index(
        "erasures_one_runs",
        "erasures",
        ["tenant_id", "scope", "target", "agent_id"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("state IN ('asked', 'running')"),
    )
    op.create_table(
        "erased",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("agent_id", sa.Text, primary_key=True),
        sa.Column("after_us", sa.BigInteger, primary_key=True),
        sa.Column("before_us", sa.BigInteger, nullable=False),
        sa.Column("erasure_id", sa.Text, nullable=False),
        sa.CheckConstraint("kind IN ('trace', 'run', 'session', 'window', 'tenant')", name="erased_kind_known"),
        schema=SCHEMA,
    )
    head = op.create_table(
        "erased_head",
        sa.Column("only", sa.Boolean, primary_key=True, server_default=sa.true()),
        sa.Column("rev", sa.BigInteger, nullable=False),
        sa.CheckConstraint('"only"', name="erased_head_one_row"),
        schema=SCHEMA,
    )
    op.bulk_insert(head, [{"only": True, "rev": 0}])


def downgrade() -> None:
    """Drop the tables; late events of what was erased would be stored again."""
    for name in ("erased_head", "erased", "erasures", "retention"):
        op.drop_table(name, schema=SCHEMA)
