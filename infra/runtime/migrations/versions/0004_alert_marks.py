"""Create control.alert_marks: who has seen to which alert, and which are to be quiet for a while.

Upstream: 0002. Downstream: ``api.repositories.alert_marks``.
Guarantee: one row an alert; a mark names who made it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "alert_marks",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("alert_id", sa.Text, primary_key=True),
        sa.Column("acked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acked_by", sa.Text, nullable=True),
        sa.Column("ack_note", sa.Text, nullable=True),
        sa.Column("snoozed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("snoozed_by", sa.Text, nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("tenant_id ~ '^[a-z0-9]{6,32}$'", name="alert_marks_tenant_id_alphabet"),
        sa.CheckConstraint("(acked_at IS NULL) = (acked_by IS NULL)", name="alert_marks_ack_names_who"),
        sa.CheckConstraint("(snoozed_until IS NULL) = (snoozed_by IS NULL)", name="alert_marks_snooze_names_who"),
        schema="control",
    )
    op.create_index("alert_marks_newest", "alert_marks", ["tenant_id", "updated_at"], schema="control")


def downgrade() -> None:
    """Drop the table, and every mark with it."""
    op.drop_table("alert_marks", schema="control")
