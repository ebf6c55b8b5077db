"""Create the tables of alert channels: where tenants are told, what is open there, and the messages on their way.

Upstream: 0007. Downstream: ``stream_jobs.notify``.
Guarantee: one row per channel, alert, change of state and repeat, so that nothing is written for a channel twice; the
target of a channel, with its secrets, is stored encrypted only; a channel's end takes all that belongs to it along.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = "control"
CHANNEL = f"{SCHEMA}.channels.channel_id"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "channels",
        sa.Column("channel_id", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("filters", sa.JSON, nullable=False),
        sa.Column("renotify_minutes", sa.Integer, nullable=False),
        sa.Column("repeat_seconds", sa.Integer, nullable=False),
        sa.Column("is_grouped", sa.Boolean, nullable=False),
        # What anybody of the tenant may read of the target.
        sa.Column("shown", sa.JSON, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.UniqueConstraint("tenant_id", "name", name="channels_name_once"),
        sa.CheckConstraint("tenant_id ~ '^[a-z0-9]{6,32}$'", name="channels_tenant_id_alphabet"),
        sa.CheckConstraint("repeat_seconds >= 0", name="channels_repeat_seconds"),
        schema=SCHEMA,
    )
    op.create_table(
        "channel_alerts",
        sa.Column("channel_id", sa.Text, sa.ForeignKey(CHANNEL, ondelete="CASCADE"), primary_key=True),
        sa.Column("alert_id", sa.Text, primary_key=True),
        sa.Column("opened", sa.Text, nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("next_repeat_at", sa.DateTime(timezone=True)),
        sa.Column("num_repeats", sa.Integer, nullable=False, server_default="0"),
        sa.Column("acked_at", sa.DateTime(timezone=True)),
        schema=SCHEMA,
    )
    op.create_index("channel_alerts_by_repeat", "channel_alerts", ["next_repeat_at"], schema=SCHEMA)
    op.create_table(
        "channel_messages",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("message_id", sa.Text, nullable=False, unique=True),
        sa.Column("channel_id", sa.Text, sa.ForeignKey(CHANNEL, ondelete="CASCADE"), nullable=False),
        sa.Column("group_key", sa.Text, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("num_tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("state", sa.Text, nullable=False, server_default="waiting"),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("done_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'dead')", name="channel_messages_state_known"),
        schema=SCHEMA,
    )
    op.create_index(
        "channel_messages_waiting",
        "channel_messages",
        ["due_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "channel_messages_dead",
        "channel_messages",
        ["channel_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'dead'"),
    )
    op.create_index("channel_messages_by_end", "channel_messages", ["done_at"], schema=SCHEMA)
    op.create_table(
        "channel_deliveries",
        sa.Column("channel_id", sa.Text, sa.ForeignKey(CHANNEL, ondelete="CASCADE"), primary_key=True),
        sa.Column("alert_id", sa.Text, primary_key=True),
        sa.Column("rev", sa.BigInteger, primary_key=True),
        sa.Column("state", sa.Text, primary_key=True),
        sa.Column("told_as", sa.Text, primary_key=True),
        sa.Column("num_repeat", sa.Integer, primary_key=True),
        sa.Column(
            "message",
            sa.BigInteger,
            sa.ForeignKey(f"{SCHEMA}.channel_messages.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("told", sa.Text, nullable=False),
        schema=SCHEMA,
    )
    op.create_index("channel_deliveries_by_message", "channel_deliveries", ["message"], schema=SCHEMA)
    op.create_table(
        "notifier_marks",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("topic_id", sa.Text, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.Column("rev", sa.BigInteger, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drop the tables, and every channel with them."""
    for name in ("notifier_marks", "channel_deliveries", "channel_messages", "channel_alerts", "channels"):
        op.drop_table(name, schema=SCHEMA)
