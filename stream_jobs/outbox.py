"""Records to be sent, kept in a table beside what led to them.

Upstream: the keeper of budgets and the learner, inside their transactions.
Downstream: a table of records of each, in schema ``control``; ``outbox_sender``.
Guarantee: what a transaction has written is sent, in its order, whatever happens after the commit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from infra.runtime.database import metadata
from producers.contracts.event import record_key

MAX_UNSENT_ROWS: Final = 1_000
KEEP_SENT: Final = "1 day"

_encoder = msgspec.json.Encoder()


class OfAgent(Protocol):
    """What is told of one install."""

    @property
    def tenant_id(self) -> str:
        """Whose."""

    @property
    def agent_id(self) -> str:
        """Which install."""


T = TypeVar("T", bound=OfAgent)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One record to be sent; ``topic`` is the contract's name."""

    topic: str
    key: bytes
    value: bytes
    headers: Mapping[str, str] | None = None
    id: int = 0


def batch_rows(
    topic: str, told: Iterable[T], max_per_record: int, batch_of: Callable[[str, str, int, list[T]], msgspec.Struct]
) -> list[OutboxRow]:
    """Make the records of what one transaction tells on one topic.

    ``batch_of`` takes tenant, install, the record's part (its place among these records) and what it holds.
    """
    grouped: dict[tuple[str, str], list[T]] = {}
    for it in told:
        grouped.setdefault((it.tenant_id, it.agent_id), []).append(it)
    rows: list[OutboxRow] = []
    for (tenant_id, agent_id), found in grouped.items():
        for start in range(0, len(found), max_per_record):
            batch = batch_of(tenant_id, agent_id, len(rows), found[start : start + max_per_record])
            rows.append(OutboxRow(topic, record_key(tenant_id, agent_id), _encoder.encode(batch)))
    return rows


def outbox_table(name: str) -> sa.Table:
    """Describe a table of records; a migration makes it."""
    return sa.Table(
        name,
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("headers", sa.JSON),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
    )


def put(connection: Connection, table: sa.Table, rows: Sequence[OutboxRow]) -> None:
    """Write records to be sent, in this order, once the transaction is done."""
    if rows:
        values = [
            {"topic": it.topic, "key": it.key, "value": it.value, "headers": dict(it.headers) if it.headers else None}
            for it in rows
        ]
        connection.execute(table.insert(), values)


def unsent(connection: Connection, table: sa.Table) -> list[OutboxRow]:
    """Return the oldest records that nobody has marked as sent."""
    rows = connection.execute(
        table.select().where(table.c.sent_at.is_(None)).order_by(table.c.id).limit(MAX_UNSENT_ROWS)
    )
    return [OutboxRow(row.topic, row.key, row.value, row.headers, row.id) for row in rows]


def mark_sent(connection: Connection, table: sa.Table, rows: Sequence[OutboxRow]) -> None:
    """Note that the broker has these records; a crash that forgets it only has them sent again."""
    connection.execute(sa.text("SET LOCAL synchronous_commit = off"))
    numbers = [row.id for row in rows]
    connection.execute(table.update().where(table.c.id.in_(numbers)).values(sent_at=sa.func.clock_timestamp()))


def drop_sent(connection: Connection, table: sa.Table) -> None:
    """Drop records that were sent long ago."""
    connection.execute(table.delete().where(table.c.sent_at < sa.func.now() - sa.cast(KEEP_SENT, sa.Interval)))
