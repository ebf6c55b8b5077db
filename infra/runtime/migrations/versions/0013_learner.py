"""Create the tables of the learner: runs by task, alerts it has told, scores that people gave, records to be sent.

Upstream: 0012. Downstream: ``stream_jobs.learn``.
Guarantee: one row per trace, and one per alert; all of it is written under the lock of the one row of ``learner``.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SCHEMA = "control"
TENANT = "tenant_id ~ '^[a-z0-9]{6,32}$'"


def upgrade() -> None:
    """Create the tables."""
    learner = op.create_table(
        "learner",
        sa.Column("only", sa.Boolean, primary_key=True),
        sa.Column("rev", sa.BigInteger, nullable=False),
        sa.CheckConstraint('"only"', name="learner_one_row"),
        schema=SCHEMA,
    )
    op.bulk_insert(learner, [{"only": True, "rev": 0}])
    op.create_table(
        "learner_marks",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("topic_id", sa.Text, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.Column("rev", sa.BigInteger, nullable=False),
        sa.Column("part", sa.BigInteger, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "learned_runs",
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
        # The how manieth run of the agent this version of the rubric has scored.
        sa.Column("rubric_place", sa.BigInteger, nullable=False),
        sa.Column("score", sa.Float(53)),
        # Of what was sent as scores, so that a card that changes none of them sends nothing.
        sa.Column("scores_digest", sa.Text, nullable=False),
        sa.Column("learned_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint(TENANT, name="learned_runs_tenant_id_alphabet"),
        schema=SCHEMA,
    )
    op.create_index(
        "learned_runs_by_task",
        "learned_runs",
        ["tenant_id", "agent_id", "task_id", "started_at_us", "trace_id"],
        schema=SCHEMA,
    )
    op.create_index(
        "learned_runs_by_rubric",
        "learned_runs",
        ["tenant_id", "agent_id", "rubric_version", "rubric_place"],
        schema=SCHEMA,
    )
    op.create_index("learned_runs_by_age", "learned_runs", ["learned_at"], schema=SCHEMA)
    op.create_table(
        "learner_alerts",
        sa.Column("alert_id", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("agent_id", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("about", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("labels", JSONB, nullable=False),
        sa.Column("evidence", JSONB, nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        schema=SCHEMA,
    )
    op.create_index(
        "learner_alerts_open",
        "learner_alerts",
        ["tenant_id", "agent_id", "rule"],
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'alert'"),
    )
    op.create_table(
        "given_scores",
        sa.Column("score_id", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("agent_id", sa.Text, nullable=False),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint(TENANT, name="given_scores_tenant_id_alphabet"),
        schema=SCHEMA,
    )
    op.create_index("given_scores_by_trace", "given_scores", ["tenant_id", "trace_id"], schema=SCHEMA)
    op.create_table(
        "learner_outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("headers", sa.JSON),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        schema=SCHEMA,
    )
    op.create_index(
        "learner_outbox_unsent",
        "learner_outbox",
        ["id"],
        schema=SCHEMA,
        postgresql_where=sa.text("sent_at IS NULL"),
    )


def downgrade() -> None:
    """Drop the tables; what was learned of runs is lost, scores in the tables of the lake stay."""
    for name in ("learner_outbox", "given_scores", "learner_alerts", "learned_runs", "learner_marks", "learner"):
        op.drop_table(name, schema=SCHEMA)
