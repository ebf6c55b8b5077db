"""The tables of the notifier, in schema ``control``.

Upstream: migration 0008.
Downstream: ``store``, ``queue``, ``admin``.
Guarantee: says what the migration made, nothing else.
"""

from typing import Final

import sqlalchemy as sa

from infra.runtime.database import metadata
from stream_jobs.marks import marks_table

channels: Final = sa.Table(
    "channels",
    metadata,
    sa.Column("channel_id", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("filters", sa.JSON, nullable=False),
    sa.Column("renotify_minutes", sa.Integer, nullable=False),
    sa.Column("repeat_seconds", sa.Integer, nullable=False),
    sa.Column("is_grouped", sa.Boolean, nullable=False),
    sa.Column("shown", sa.JSON, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
)

channel_alerts: Final = sa.Table(
    "channel_alerts",
    metadata,
    sa.Column("channel_id", sa.Text, primary_key=True),
    sa.Column("alert_id", sa.Text, primary_key=True),
    sa.Column("opened", sa.Text, nullable=False),
    sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
    sa.Column("next_repeat_at", sa.DateTime(timezone=True)),
    sa.Column("num_repeats", sa.Integer, nullable=False, server_default="0"),
    sa.Column("acked_at", sa.DateTime(timezone=True)),
)

messages: Final = sa.Table(
    "channel_messages",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("message_id", sa.Text, nullable=False),
    sa.Column("channel_id", sa.Text, nullable=False),
    sa.Column("group_key", sa.Text, nullable=False),
    sa.Column("made_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
    sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("num_tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("state", sa.Text, nullable=False, server_default="waiting"),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("done_at", sa.DateTime(timezone=True)),
)

deliveries: Final = sa.Table(
    "channel_deliveries",
    metadata,
    sa.Column("channel_id", sa.Text, primary_key=True),
    sa.Column("alert_id", sa.Text, primary_key=True),
    sa.Column("rev", sa.BigInteger, primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("told_as", sa.Text, primary_key=True),
    sa.Column("num_repeat", sa.Integer, primary_key=True),
    sa.Column("message", sa.BigInteger, nullable=False),
    sa.Column("told", sa.Text, nullable=False),
)

marks: Final = marks_table("notifier_marks")

# Made and written by the API; an install without it has nothing acknowledged. Not in our metadata: not our table.
alert_marks: Final = sa.table(
    "alert_marks",
    sa.column("tenant_id", sa.Text),
    sa.column("alert_id", sa.Text),
    sa.column("acked_at", sa.DateTime(timezone=True)),
    sa.column("acked_by", sa.Text),
    sa.column("snoozed_until", sa.DateTime(timezone=True)),
    schema="control",
)
