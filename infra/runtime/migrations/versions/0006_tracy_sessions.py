"""Create control.tracy_sessions and control.tracy_turns: what was asked of Tracy, and what she answered.

Upstream: 0005. Downstream: ``api.tracy.sessions``.
Guarantee: a turn has a session of the same tenant, and goes with it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "tracy_sessions",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("session_id", sa.Text, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("tenant_id ~ '^[a-z0-9]{6,32}$'", name="tracy_sessions_tenant_id_alphabet"),
        schema="control",
    )
    op.create_index("tracy_sessions_newest", "tracy_sessions", ["tenant_id", "updated_at"], schema="control")
    op.create_table(
        "tracy_turns",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("session_id", sa.Text, primary_key=True),
        sa.Column("turn", sa.Integer, primary_key=True),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("page", JSONB, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("events", JSONB, nullable=False),
        sa.Column("failed", sa.Text, nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["control.tracy_sessions.tenant_id", "control.tracy_sessions.session_id"],
            ondelete="CASCADE",
            name="tracy_turns_of_session",
        ),
        schema="control",
    )


def downgrade() -> None:
    """Drop the tables, and every conversation with them."""
    op.drop_table("tracy_turns", schema="control")
    op.drop_table("tracy_sessions", schema="control")
