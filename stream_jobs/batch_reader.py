"""Batches of some topics, each once, for a process that keeps its place in Postgres.

Upstream: ``log_source``; the process's own table of marks.
Downstream: the keeper of budgets, the notifier, the learner.
Guarantee: what a stitcher that was killed sends again is left out. A record that cannot be read is told and passed
over; too many of them in a row are an error: the fault is then ours, and going on would lose what they hold.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy import Connection

from stream_jobs.log_source import LogSource, NeedsPerson, Record
from stream_jobs.marks import NO_MARK, Mark, Place, read_marks, write_marks

_log = structlog.get_logger(__name__)

POLL_S: Final = 0.2
# A transaction costs about the same for one record as for twenty, so while many come there are forty a second.
PAUSE_S: Final = 0.025
MAX_REASON_CHARS: Final = 500


class NumberedBatch(Protocol):
    """What every output of the stitcher carries: together the two only grow within a partition."""

    @property
    def rev(self) -> int:
        """Number of the change that led to it."""

    @property
    def part(self) -> int:
        """Its place among the records of that change."""


B = TypeVar("B", bound=NumberedBatch)


@dataclass(frozen=True, slots=True)
class Reading(Generic[B]):
    """What one look at the topics has brought.

    ``after`` says how far each partition is read with it; ``batches`` come with the microsecond in which they were
    written; ``unreadable`` are records with what is wrong with them.
    """

    after: dict[Place, Mark] = field(default_factory=dict)
    batches: list[tuple[B, int]] = field(default_factory=list)
    unreadable: list[tuple[Record, str]] = field(default_factory=list)
    num_repeated: int = 0


class BatchReader(Generic[B]):
    """Reads on from what was counted; begin anew after any exception."""

    def __init__(
        self, source: LogSource, marks: sa.Table, decode: Callable[[bytes], B], *, max_unreadable_in_a_row: int
    ) -> None:
        self._source, self._table, self._decode = source, marks, decode
        self._max_unreadable_in_a_row, self._num_unreadable_in_a_row = max_unreadable_in_a_row, 0
        self._marks: dict[Place, Mark] = {}
        self._rests_until_s = 0.0

    def find_place(self, connection: Connection) -> None:
        """Look up, in a transaction of the caller, where to go on."""
        self._marks = read_marks(connection, self._table, self._source.topics)

    def open(self) -> None:
        """Go there.

        Raises:
            KafkaAway: try again later.
            NeedsPerson: more was counted than the log has.
        """
        self._source.open(self._marks)

    def read(self) -> Reading[B]:
        """Wait a little for records, decode them and leave out repeats.

        Raises:
            PlaceGone: the log was cut or the topic made anew below us.
            NeedsPerson: record after record cannot be read.
        """
        time.sleep(max(self._rests_until_s - time.monotonic(), 0.0))
        records = self._source.poll(POLL_S)
        if records:
            self._rests_until_s = time.monotonic() + PAUSE_S
        return self._reading(records)

    def write(self, connection: Connection, reading: Reading[B]) -> None:
        """Store how far this reading came, in the transaction that stores what came of it."""
        write_marks(connection, self._table, reading.after)

    def advance(self, reading: Reading[B]) -> None:
        """Go on behind this reading. Only after the commit: otherwise all is read from Postgres again."""
        self._marks |= reading.after

    def lag(self) -> int:
        """Records not counted yet, by the last fetch."""
        return self._source.lag(self._marks)

    def close(self) -> None:
        """Let go of the broker."""
        self._source.close()

    def _reading(self, records: Sequence[Record]) -> Reading[B]:
        after: dict[Place, Mark] = {}
        batches: list[tuple[B, int]] = []
        unreadable: list[tuple[Record, str]] = []
        num_repeated = 0
        for record in records:
            before = after.get(record.place) or self._marks.get(record.place) or NO_MARK
            rev, part = before.rev, before.part
            try:
                batch = self._decode(record.value)
            # msgspec says bad JSON and bad UTF-8 differently, and a hostile depth by RecursionError.
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                unreadable.append((record, self._pass_over(record, error)))
            else:
                self._num_unreadable_in_a_row = 0
                # A stitcher that was killed sends again, under other offsets, what it had sent.
                if (batch.rev, batch.part) > (rev, part):
                    batches.append((batch, record.written_at_ms * 1000))
                    rev, part = batch.rev, batch.part
                else:
                    num_repeated += 1
            after[record.place] = Mark(self._source.topic_ids[record.topic], record.offset + 1, rev, part)
        return Reading(after, batches, unreadable, num_repeated)

    def _pass_over(self, record: Record, error: Exception) -> str:
        self._num_unreadable_in_a_row += 1
        if self._num_unreadable_in_a_row > self._max_unreadable_in_a_row:
            raise NeedsPerson(
                f"{self._num_unreadable_in_a_row} records of {record.topic} in a row cannot be read, the last at "
                f"partition {record.partition} offset {record.offset}: {error}"
            )
        reason = str(error)[:MAX_REASON_CHARS]
        _log.warning("unreadable", topic=record.topic, partition=record.partition, offset=record.offset, reason=reason)
        return reason
