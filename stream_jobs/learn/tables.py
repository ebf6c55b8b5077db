"""The tables of the learner, in schema ``control``.

Upstream: migration 0013.
Downstream: ``memory``, ``given``.
Guarantee: says what the migration made, nothing else.
"""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from infra.runtime.database import metadata
from stream_jobs.marks import marks_table
from stream_jobs.outbox import outbox_table

learner: Final = sa.Table(
    "learner",
    metadata,
    sa.Column("only", sa.Boolean, primary_key=True),
    sa.Column("rev", sa.BigInteger, nullable=False),
)

marks: Final = marks_table("learner_marks")

runs: Final = sa.Table(
    "learned_runs",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("agent_id", sa.Text, primary_key=True),
    sa.Column("trace_id", sa.Text, primary_key=True),
    sa.Column("task_id", sa.Text, nullable=False),
    sa.Column("started_at_us", sa.BigInteger, nullable=False),
    sa.Column("rev", sa.BigInteger, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("cost_usd", sa.Numeric(24, 12)),
    sa.Column("num_model_calls", sa.BigInteger, nullable=False),
    sa.Column("num_tool_calls", sa.BigInteger, nullable=False),
    sa.Column("num_failed_steps", sa.BigInteger, nullable=False),
    sa.Column("duration_ms", sa.BigInteger, nullable=False),
    sa.Column("labels", JSONB, nullable=False),
    sa.Column("rubric_version", sa.Text, nullable=False),
    sa.Column("rubric_place", sa.BigInteger, nullable=False),
    sa.Column("score", sa.Float(53)),
    sa.Column("scores_digest", sa.Text, nullable=False),
    sa.Column("learned_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
)

alerts: Final = sa.Table(
    "learner_alerts",
    metadata,
    sa.Column("alert_id", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("agent_id", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("labels", JSONB, nullable=False),
    sa.Column("evidence", JSONB, nullable=False),
    sa.Column("told_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
)

given: Final = sa.Table(
    "given_scores",
    metadata,
    sa.Column("score_id", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("agent_id", sa.Text, nullable=False),
    sa.Column("trace_id", sa.Text, nullable=False),
    sa.Column("value", sa.LargeBinary, nullable=False),
    sa.Column("given_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
)

outbox: Final = outbox_table("learner_outbox")
