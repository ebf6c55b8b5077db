"""The tables of the keeper of budgets, in schema ``control``.

Upstream: migration 0003.
Downstream: ``ledger``, ``admin``.
Guarantee: says what the migration made, nothing else.
"""

from typing import Final

import sqlalchemy as sa

from infra.runtime.database import metadata
from stream_jobs.marks import marks_table
from stream_jobs.outbox import outbox_table

budgets: Final = sa.Table(
    "budgets",
    metadata,
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
    sa.Column("state", sa.Text, nullable=False, server_default=""),
    sa.Column("wake_at_us", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
)

keeper: Final = sa.Table(
    "budget_keeper",
    metadata,
    sa.Column("only", sa.Boolean, primary_key=True),
    sa.Column("rev", sa.BigInteger, nullable=False),
    sa.Column("last_audit_id", sa.BigInteger, nullable=False),
)

marks: Final = marks_table("budget_marks")

spend_buckets: Final = sa.Table(
    "spend_buckets",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("agent_id", sa.Text, primary_key=True),
    sa.Column("openclaw_agent_id", sa.Text, primary_key=True),
    sa.Column("bucket_us", sa.BigInteger, primary_key=True),
    sa.Column("cost_usd", sa.Numeric(24, 12), nullable=False),
    sa.Column("num_tokens", sa.BigInteger, nullable=False),
    sa.Column("num_spends", sa.BigInteger, nullable=False),
)

outbox: Final = outbox_table("budget_outbox")
