"""Create control.tenants, control.members and control.audit_log; let keys have the scope operate.

Upstream: 0004. Downstream: ``infra.runtime.access_keys``, ``api.repositories``.
Guarantee: a role that nobody knows is refused by the table; an audit row says who, what and when.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ALPHABET = "tenant_id ~ '^[a-z0-9]{6,32}$'"
_SCOPE_CHECK = "access_keys_scope_known"


def upgrade() -> None:
    """Create the tables."""
    op.drop_constraint(_SCOPE_CHECK, "access_keys", schema="control")
    op.create_check_constraint(
        _SCOPE_CHECK, "access_keys", "scope IN ('ingest', 'read', 'operate', 'admin')", schema="control"
    )
    op.create_table(
        "tenants",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint(_ALPHABET, name="tenants_tenant_id_alphabet"),
        schema="control",
    )
    op.create_table(
        "members",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        # The e-mail address or subject by which a person logs in, in small letters.
        sa.Column("member_id", sa.Text, primary_key=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint(_ALPHABET, name="members_tenant_id_alphabet"),
        sa.CheckConstraint("role IN ('viewer', 'operator', 'admin')", name="members_role_known"),
        schema="control",
    )
    op.create_index("members_by_id", "members", ["member_id"], schema="control")
    op.create_table(
        "audit_log",
        sa.Column("entry_id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("details", JSONB, nullable=False),
        sa.CheckConstraint(_ALPHABET, name="audit_log_tenant_id_alphabet"),
        schema="control",
    )
    op.create_index("audit_log_newest", "audit_log", ["tenant_id", "entry_id"], schema="control")


def downgrade() -> None:
    """Drop the tables; keys with the scope operate go, because the table of before cannot hold them."""
    for table in ("audit_log", "members", "tenants"):
        op.drop_table(table, schema="control")
    op.execute("DELETE FROM control.access_keys WHERE scope = 'operate'")
    op.drop_constraint(_SCOPE_CHECK, "access_keys", schema="control")
    op.create_check_constraint(_SCOPE_CHECK, "access_keys", "scope IN ('ingest', 'read', 'admin')", schema="control")
