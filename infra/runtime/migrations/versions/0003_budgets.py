"""Create the tables of budgets, and the record of what people told guards.

Upstream: 0002. Downstream: ``stream_jobs.budgets``, ``infra.runtime.guard_audit``.
Guarantee: one row per budget, changed under the lock of the one row of ``budget_keeper``; amounts that make no sense
are refused by the tables too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "control"
TENANT = "tenant_id ~ '^[a-z0-9]{6,32}$'"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "budgets",
        sa.Column("budget_id", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("agent_id", sa.Text),
        sa.Column("openclaw_agent_id", sa.Text),
        sa.Column("session_prefix", sa.Text),
        sa.Column("window", sa.Text, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("limit", sa.Numeric(18, 6), nullable=False),
        sa.Column("warn_percents", sa.ARRAY(sa.Integer), nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("grace_percent", sa.Integer, nullable=False),
        # As stream_jobs.core.budgets.state writes it; a budget is read and written whole.
        sa.Column("state", sa.Text, nullable=False, server_default=""),
        sa.Column("wake_at_us", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint(TENANT, name="budgets_tenant_id_alphabet"),
        sa.CheckConstraint("\"window\" IN ('1h', '5h', 'day', 'month')", name="budgets_window_known"),
        sa.CheckConstraint("unit IN ('usd', 'tokens')", name="budgets_unit_known"),
        sa.CheckConstraint("action IN ('none', 'note', 'ask', 'block', 'abort')", name="budgets_action_known"),
        sa.CheckConstraint('"limit" > 0', name="budgets_limit_positive"),
        sa.CheckConstraint("grace_percent BETWEEN 0 AND 100", name="budgets_grace_percent"),
        schema=SCHEMA,
    )
    op.create_index("budgets_by_tenant", "budgets", ["tenant_id"], schema=SCHEMA)
    op.create_index("budgets_by_wake", "budgets", ["wake_at_us"], schema=SCHEMA)
    keeper = op.create_table(
        "budget_keeper",
        sa.Column("only", sa.Boolean, primary_key=True),
        sa.Column("rev", sa.BigInteger, nullable=False),
        sa.Column("last_audit_id", sa.BigInteger, nullable=False),
        sa.CheckConstraint('"only"', name="budget_keeper_one_row"),
        schema=SCHEMA,
    )
    op.bulk_insert(keeper, [{"only": True, "rev": 0, "last_audit_id": 0}])
    op.create_table(
        "budget_marks",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("topic_id", sa.Text, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.Column("rev", sa.BigInteger, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "spend_buckets",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("agent_id", sa.Text, primary_key=True),
        sa.Column("openclaw_agent_id", sa.Text, primary_key=True),
        sa.Column("bucket_us", sa.BigInteger, primary_key=True),
        sa.Column("cost_usd", sa.Numeric(24, 12), nullable=False),
        sa.Column("num_tokens", sa.BigInteger, nullable=False),
        sa.Column("num_spends", sa.BigInteger, nullable=False),
        schema=SCHEMA,
    )
    op.create_index("spend_buckets_by_age", "spend_buckets", ["bucket_us"], schema=SCHEMA)
    op.create_table(
        "budget_outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("headers", sa.JSON),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        schema=SCHEMA,
    )
    op.create_index(
        "budget_outbox_unsent",
        "budget_outbox",
        ["id"],
        schema=SCHEMA,
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.create_table(
        "guard_audit",
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
        sa.CheckConstraint(TENANT, name="guard_audit_tenant_id_alphabet"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drop the tables, and every budget with them."""
    tables = ("guard_audit", "budget_outbox", "spend_buckets", "budget_marks", "budget_keeper", "budgets")
    for name in tables:
        op.drop_table(name, schema=SCHEMA)
