"""Create control.sessions: people who signed in.

Upstream: 0006. Downstream: ``api.access.session_store``.
Guarantee: the token itself is never stored; a session belongs to a key or to a member, never to both or neither.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "sessions",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        # What the audit log calls it; nobody gets in with it.
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=True),
        sa.Column("member_id", sa.Text, nullable=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("tenant_id ~ '^[a-z0-9]{6,32}$'", name="sessions_tenant_id_alphabet"),
        sa.CheckConstraint("role IN ('viewer', 'operator', 'admin')", name="sessions_role_known"),
        sa.CheckConstraint("(key_id IS NULL) <> (member_id IS NULL)", name="sessions_have_one_owner"),
        sa.CheckConstraint("octet_length(hash) = 32", name="sessions_hash_is_sha256"),
        schema="control",
    )
    op.create_index("sessions_by_expiry", "sessions", ["expires_at"], schema="control")


def downgrade() -> None:
    """Drop the table; everybody is signed out."""
    op.drop_table("sessions", schema="control")
