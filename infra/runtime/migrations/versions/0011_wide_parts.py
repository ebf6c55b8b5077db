"""Widen control.budget_marks.part and control.notifier_marks.part to 64 bits.

Upstream: 0010. Downstream: ``stream_jobs.marks``.
Guarantee: a mark holds the part of any record: those that a tick leads to are numbered far above 32 bits.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SCHEMA = "control"
TABLES = ("budget_marks", "notifier_marks")


def upgrade() -> None:
    """Widen the columns."""
    for table in TABLES:
        op.alter_column(table, "part", type_=sa.BigInteger, existing_nullable=False, schema=SCHEMA)


def downgrade() -> None:
    """Narrow them again; refused by Postgres while a mark is wider."""
    for table in TABLES:
        op.alter_column(table, "part", type_=sa.Integer, existing_nullable=False, schema=SCHEMA)
