"""Create control.access_keys.

Upstream: nothing. Downstream: ``infra.runtime.access_keys``.
Guarantee: the secret itself is never stored; what a tenant or agent may be called is checked by the table too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "access_keys",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("agent_id", sa.Text, nullable=True),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("tenant_id ~ '^[a-z0-9]{6,32}$'", name="access_keys_tenant_id_alphabet"),
        sa.CheckConstraint("agent_id ~ '^[a-z0-9][a-z0-9_-]{0,63}$'", name="access_keys_agent_id_alphabet"),
        sa.CheckConstraint("scope IN ('ingest', 'read', 'admin')", name="access_keys_scope_known"),
        sa.CheckConstraint("scope <> 'ingest' OR agent_id IS NOT NULL", name="access_keys_ingest_names_agent"),
        sa.CheckConstraint("octet_length(hash) = 32", name="access_keys_hash_is_sha256"),
        schema="control",
    )
    op.create_index("access_keys_by_tenant", "access_keys", ["tenant_id"], schema="control")


def downgrade() -> None:
    """Drop the table, and every key with it."""
    op.drop_table("access_keys", schema="control")
