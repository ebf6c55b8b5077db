"""Create control.reprice_jobs: history being priced again, and how far it is.

Upstream: 0009. Downstream: ``api.repositories.reprices``.
Guarantee: of one tenant at most one job runs; a job whose process died is seen by the age of its last word.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = "control"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "reprice_jobs",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="running"),
        sa.Column("since", sa.Date, nullable=False),
        sa.Column("until", sa.Date, nullable=False),
        sa.Column("agent_id", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("started_by", sa.Text, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("progress", JSONB, nullable=False),
        sa.Column("error", sa.Text, nullable=False, server_default=""),
        sa.CheckConstraint("kind IN ('dry_run', 'apply')", name="reprice_jobs_kind_known"),
        sa.CheckConstraint("state IN ('running', 'done', 'failed')", name="reprice_jobs_state_known"),
        schema=SCHEMA,
    )
    op.create_index("reprice_jobs_by_tenant", "reprice_jobs", ["tenant_id", "started_at"], schema=SCHEMA)
    op.create_index(
        "reprice_jobs_one_runs",
        "reprice_jobs",
        ["tenant_id"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'running'"),
    )


def downgrade() -> None:
    """Drop the table; what was priced again stays."""
    op.drop_table("reprice_jobs", schema=SCHEMA)
