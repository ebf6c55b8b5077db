"""Create control.guard_policies: what each agent may spend, and what happens then.

Upstream: 0001. Downstream: ``producers.gateway.guard_policies``.
Guarantee: one policy an agent; an amount, an action or a posture that nobody knows is refused by the table too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    amount = sa.Numeric(18, 6)
    op.create_table(
        "guard_policies",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("agent_id", sa.Text, primary_key=True),
        sa.Column("posture", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("run_limit_usd", amount, nullable=True),
        sa.Column("session_limit_usd", amount, nullable=True),
        sa.Column("agent_day_limit_usd", amount, nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("tenant_id ~ '^[a-z0-9]{6,32}$'", name="guard_policies_tenant_id_alphabet"),
        sa.CheckConstraint("agent_id ~ '^[a-z0-9][a-z0-9_-]{0,63}$'", name="guard_policies_agent_id_alphabet"),
        sa.CheckConstraint("posture IN ('last', 'open', 'closed')", name="guard_policies_posture_known"),
        sa.CheckConstraint("action IN ('note', 'block', 'ask', 'abort')", name="guard_policies_action_known"),
        sa.CheckConstraint(
            "least(run_limit_usd, session_limit_usd, agent_day_limit_usd) > 0", name="guard_policies_limits_positive"
        ),
        schema="control",
    )
    # The gateway asks once a second what has changed.
    op.create_index("guard_policies_by_change", "guard_policies", ["updated_at"], schema="control")


def downgrade() -> None:
    """Drop the table, and every policy with it."""
    op.drop_table("guard_policies", schema="control")
