"""How far topics were read, kept in a table beside what came of them.

Upstream: ``batch_reader``, inside transactions of the keeper of budgets, the notifier and the learner.
Downstream: a table of marks of each, in schema ``control``.
Guarantee: one row per partition; (rev, part) is that of the last record that counted, so a reader knows a repeat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from infra.runtime.database import metadata

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one partition was counted: next offset, and (rev, part) of the last record."""

    topic_id: str
    next_offset: int
    rev: int
    part: int


NO_MARK = Mark("", 0, -1, 0)


def marks_table(name: str) -> sa.Table:
    """Describe a table of marks; a migration makes it."""
    return sa.Table(
        name,
        metadata,
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("topic_id", sa.Text, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.Column("rev", sa.BigInteger, nullable=False),
        sa.Column("part", sa.BigInteger, nullable=False),
    )


def read_marks(connection: Connection, table: sa.Table, topics: Sequence[str]) -> dict[Place, Mark]:
    """Return how far each partition of these topics was counted."""
    rows = connection.execute(table.select().where(table.c.topic.in_(topics)))
    return {(row.topic, row.partition): Mark(row.topic_id, row.next_offset, row.rev, row.part) for row in rows}


def write_marks(connection: Connection, table: sa.Table, changed: Mapping[Place, Mark]) -> None:
    """Store how far partitions were counted."""
    rows = [
        {
            "topic": topic,
            "partition": partition,
            "topic_id": mark.topic_id,
            "next_offset": mark.next_offset,
            "rev": mark.rev,
            "part": mark.part,
        }
        for (topic, partition), mark in sorted(changed.items())
    ]
    if rows:
        statement = insert(table).values(rows)
        new = {name: statement.excluded[name] for name in ("topic_id", "next_offset", "rev", "part")}
        connection.execute(statement.on_conflict_do_update(index_elements=["topic", "partition"], set_=new))
