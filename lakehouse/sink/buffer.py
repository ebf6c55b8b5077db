"""What one table has taken since its last commit.

Upstream: records decoded by lakehouse.sink.feeds.
Downstream: lakehouse.sink.cycle commits it.
Guarantee: a record is taken once: not when its offset is in the table already, and not when an output record
of the same mark is.
"""

import time
from dataclasses import dataclass

import pyarrow as pa

from lakehouse import metrics
from lakehouse.contracts.tables import TableSpec
from lakehouse.sink.feeds import Columns, Mark, Record
from lakehouse.sink.progress import SourceProgress, TableProgress
from lakehouse.sink.rows import UnfitRow, build_rows, concat_columns

# Ticks come for ever, also to a server that nobody uses. Without any commit the offsets would one day lie before the
# beginning of the log, and a start would speak of lost records.
_SKIPPED_MARK_S = 86_400.0


@dataclass(frozen=True, slots=True)
class _Part:
    record: Record
    columns: Columns


class TableBuffer:
    """Rows of one table that wait for a commit, and the progress they stand for."""

    def __init__(self, spec: TableSpec, committed: TableProgress, topic_ids: dict[str, str]) -> None:
        self.spec = spec
        self.committed = committed
        # Progress including what waits here. Topics that were made anew start over.
        self._progress = TableProgress(committed.epoch, committed.commit_id)
        for topic in spec.sources:
            known = committed.sources.get(topic)
            is_same = known is not None and known.topic_id == topic_ids[topic]
            self._progress.sources[topic] = (
                known.copy() if known is not None and is_same else SourceProgress(topic_ids[topic])
            )
        self._reset()

    def _reset(self) -> None:
        self._parts: list[_Part] = []
        self.num_bytes = 0
        self.has_progress = False
        self.has_skipped = False
        self.first_row_at: float | None = None
        self.last_commit_at = time.monotonic()

    @property
    def written_at_ms(self) -> list[int]:
        """When the records that wait here were written."""
        return [part.record.written_at_ms for part in self._parts if part.record.written_at_ms > 0]

    @property
    def has_rows(self) -> bool:
        """Whether a commit would add rows."""
        return bool(self._parts)

    def next_offset(self, topic: str, partition: int) -> int:
        """First offset that this table has not taken."""
        return self._progress.sources[topic].next_offset.get(partition, 0)

    def wants(self, record: Record, mark: Mark | None) -> bool:
        """Whether the record is new to this table; a duplicate is passed over and counted."""
        source = self._progress.sources[record.topic]
        if source.has_offset(record.partition, record.offset):
            return False
        if mark is not None and source.has_mark(record.partition, mark):
            metrics.DUPLICATES.labels(table=self.spec.name).inc()
            self.pass_over(record, None)
            return False
        return True

    def take(self, record: Record, mark: Mark | None, columns: Columns, num_bytes: int) -> None:
        """Add the rows of a record that :meth:`wants` let through."""
        self.pass_over(record, mark)
        if columns["tenant_id"]:
            self._parts.append(_Part(record, columns))
            self.num_bytes += num_bytes
            if self.first_row_at is None:
                self.first_row_at = time.monotonic()

    def pass_over(self, record: Record, mark: Mark | None) -> None:
        """Move on without rows."""
        source = self._progress.sources[record.topic]
        if source.has_offset(record.partition, record.offset):
            return
        source.advance(record.partition, record.offset, mark)
        self.has_progress = True

    def skip(self, record: Record) -> None:
        """Move on past a record that never has rows: its offset is stored with the next commit, and asks for none."""
        source = self._progress.sources[record.topic]
        if not source.has_offset(record.partition, record.offset):
            source.advance(record.partition, record.offset, None)
            self.has_skipped = True

    def is_due(self, every_s: float, gather_s: float, mark_s: float) -> bool:
        """Whether it is time for a commit.

        Args:
            every_s: time between two commits with rows.
            gather_s: how long the first row after a pause waits for others.
            mark_s: how long offsets without rows may wait: late enough not to matter, soon enough that a restart need
                not read much twice.
        """
        now = time.monotonic()
        since_commit = now - self.last_commit_at
        if self.has_rows:
            waited = now - (self.first_row_at or now)
            return since_commit >= every_s and waited >= min(gather_s, every_s)
        return (self.has_progress and since_commit >= mark_s) or (self.has_skipped and since_commit >= _SKIPPED_MARK_S)

    def build(self, epoch: int) -> tuple[pa.Table | None, list[tuple[Record, str]]]:
        """Make the rows; records that fit no column come back with the reason instead."""
        if not self._parts:
            return None, []
        try:
            return self._build(self._parts, epoch), []
        except UnfitRow:
            fit, unfit = [], []
            for part in self._parts:
                try:
                    self._build([part], epoch)
                except UnfitRow as error:
                    unfit.append((part.record, str(error)))
                else:
                    fit.append(part)
            return (self._build(fit, epoch) if fit else None), unfit

    def following(self) -> TableProgress:
        """Progress that the next commit has to write."""
        return self._progress.following()

    def mark_committed(self, progress: TableProgress) -> None:
        """Forget the rows: they are in the table."""
        self.committed = progress
        self._progress.epoch, self._progress.commit_id = progress.epoch, progress.commit_id
        self._reset()

    def _build(self, parts: list[_Part], epoch: int) -> pa.Table:
        return build_rows(self.spec, concat_columns([part.columns for part in parts]), epoch)
