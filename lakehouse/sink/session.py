"""One stretch of work of the sink: from a look at the tables until something forces another look.

Upstream: lakehouse.sink.source gives records.
Downstream: all silver tables, through lakehouse.sink.committer.
Guarantee: exactly once per table. Each table says for itself where it stands; a topic is read from the lowest
of its tables, and each table skips what it has.
"""

import time
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa
import structlog
from pyiceberg.catalog import Catalog

from infra.runtime.collector import FullCollection
from infra.runtime.fail_points import reach
from infra.runtime.tombstones import Tombstones
from lakehouse import metrics
from lakehouse.contracts.tables import AGENTS, EDGES, TABLES, TENANTS
from lakehouse.settings import SinkSettings
from lakehouse.sink.buffer import TableBuffer
from lakehouse.sink.committer import Outdated, TableCommitter, Wait
from lakehouse.sink.dead_letters import DeadLetters
from lakehouse.sink.erased import ErasedList
from lakehouse.sink.feeds import Feed, Record, SeenState
from lakehouse.sink.progress import TableProgress
from lakehouse.sink.refusals import without_refused
from lakehouse.sink.source import NeedsPerson, PlaceGone, Source
from producers.contracts.event import EventBatch

_log = structlog.get_logger(__name__)

# Nobody watches these live; fewer commits keep them small.
SLOW_TABLES = frozenset({EDGES.name, AGENTS.name, TENANTS.name})
_POLL_S = 0.1
# The metadata of a table refers to itself, and each commit makes it anew.
_COLLECT_EVERY_S = 60.0
# What a row of a table that is not the topic's first costs in memory, roughly.
_SIDE_ROW_BYTES = 200


class TooManyDeadLetters(NeedsPerson):
    """Record after record cannot be read: going on would empty the topic into its dead-letter topic."""


class SinkSession:
    """Reads, buffers, commits. Start anew after any exception: all truth is in the tables."""

    def __init__(self, settings: SinkSettings, catalog: Catalog, wait: Wait, feeds: tuple[Feed, ...]) -> None:
        self._settings = settings
        self._feeds: dict[str, Feed] = {feed.topic: feed for feed in feeds}
        filled = {name for feed in feeds for name in feed.tables}
        self._committers = {
            spec.name: TableCommitter(catalog, (settings.silver_namespace, spec.name), spec, wait)
            for spec in TABLES
            if spec.name in filled
        }
        for committer in self._committers.values():
            committer.check()
        self._source = Source(settings.kafka_bootstrap, settings.sink_group, self._feeds, settings.topic_prefix)
        self._dead_letters = DeadLetters(settings.kafka_bootstrap, settings.topic_prefix)
        self._erased = ErasedList(settings)
        self._seen = SeenState.refreshed_every(settings.sink_agent_refresh_seconds)
        self._num_dead_in_a_row = dict.fromkeys(self._feeds, 0)
        self._facts_checked_at = time.monotonic()
        self._full_collection = FullCollection(_COLLECT_EVERY_S)

    def open(self) -> None:
        """Find out where to go on, and go there.

        Raises:
            KafkaAway: try again later.
            OffsetsBeyondLog: a person must look.
        """
        self._erased.look()
        self._facts = self._source.describe()
        topic_ids = {topic: facts.topic_id for topic, facts in self._facts.items()}
        self._buffers: dict[str, TableBuffer] = {}
        for name, committer in self._committers.items():
            progress = committer.progress()
            for topic, known in progress.sources.items():
                if known.topic_id != topic_ids.get(topic):
                    _log.error("topic_made_anew", topic=topic, table=name, old_id=known.topic_id)
            self._buffers[name] = TableBuffer(committer.spec, progress, topic_ids)
        wanted = self._next_offsets()
        _log.info("reading_from", offsets={f"{topic}/{number}": at for (topic, number), at in wanted.items()})
        self._source.start_at(wanted)

    def step(self) -> None:
        """Poll once, commit what is due."""
        self._check_topics()
        for record in self._source.poll(_POLL_S):
            self._handle(record)
        num_bytes = self._num_buffered_bytes()
        metrics.BUFFERED_BYTES.set(num_bytes)
        # Full: the tables that fill it make room. A commit costs the same for three rows as for thirty thousand, so
        # the small ones wait for their time. At least one table holds its share of the bytes.
        is_full = num_bytes >= self._settings.sink_max_buffer_bytes
        self._commit(self._settings.sink_max_buffer_bytes // len(self._buffers) if is_full else None)

    def commit_all(self) -> None:
        """Commit every table that has rows, in the order of TABLES."""
        self._commit(0)

    def _commit(self, from_bytes: int | None) -> None:
        """Commit the tables that are due, and those with rows of so many bytes, in the order of TABLES."""
        due = [buffer for buffer in self._buffers.values() if self._is_due(buffer, from_bytes)]
        for buffer in due:
            self._commit_table(buffer)
        if due:
            reach("sink.tables_committed")
            self._source.report(self._next_offsets(committed=True))
            # Now few rows wait, so there is little to look through.
            self._full_collection.offer()

    def close(self) -> None:
        """Let go of the broker; what is buffered is forgotten and read again next time."""
        self._source.close()
        self._erased.close()

    def _handle(self, record: Record) -> None:
        feed = self._feeds[record.topic]
        try:
            batch: Any = feed.decode(record.value)
        # msgspec says bad JSON and bad UTF-8 differently, and a hostile depth by RecursionError.
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            self._bury(record, [self._buffers[name] for name in feed.tables], f"undecodable: {error}")
            return
        self._num_dead_in_a_row[record.topic] = 0
        if isinstance(batch, EventBatch) and batch.is_tick:
            for name in feed.tables:
                self._buffers[name].skip(record)
            return
        mark = feed.mark(batch)
        for number, (name, extract) in enumerate(feed.tables.items()):
            buffer = self._buffers[name]
            if buffer.wants(record, mark):
                columns = extract(batch, record.offset, self._seen)
                num_rows = len(columns["tenant_id"])
                num_bytes = num_rows * _SIDE_ROW_BYTES if number else len(record.value)
                buffer.take(record, mark, columns, num_bytes)

    def _bury(self, record: Record, takers: list[TableBuffer], reason: str) -> None:
        if all(record.offset < taker.next_offset(record.topic, record.partition) for taker in takers):
            return
        self._num_dead_in_a_row[record.topic] += 1
        if self._num_dead_in_a_row[record.topic] > self._settings.sink_max_consecutive_dead:
            raise TooManyDeadLetters(
                f"{self._num_dead_in_a_row[record.topic]} records of {record.topic} in a row cannot be read, the "
                f"last at partition {record.partition} offset {record.offset}: {reason}"
            )
        self._dead_letters.send(record, reason)
        for taker in takers:
            taker.pass_over(record, None)

    def _is_due(self, buffer: TableBuffer, from_bytes: int | None) -> bool:
        settings = self._settings
        slow = buffer.spec.name in SLOW_TABLES
        every_s = settings.sink_slow_commit_seconds if slow else settings.sink_commit_seconds
        if buffer.has_rows and from_bytes is not None and buffer.num_bytes >= from_bytes:
            return True
        return buffer.is_due(every_s, settings.sink_gather_seconds, settings.sink_mark_seconds)

    def _commit_table(self, buffer: TableBuffer) -> None:
        following = buffer.following()
        started = time.monotonic()
        rows, unfit = buffer.build(following.epoch)
        if len(unfit) > self._settings.sink_max_consecutive_dead:
            raise TooManyDeadLetters(f"{len(unfit)} records do not fit {buffer.spec.name}, the last: {unfit[-1][1]}")
        for record, reason in unfit:
            self._dead_letters.send(record, reason)
        self._dead_letters.flush()
        num_rows = self._store(buffer, rows, following, started)
        _observe_freshness(buffer)
        buffer.mark_committed(following)
        metrics.ROWS.labels(table=buffer.spec.name).inc(num_rows)
        _log.debug("committed", table=buffer.spec.name, epoch=following.epoch, num_rows=num_rows)

    def _store(self, buffer: TableBuffer, rows: pa.Table | None, following: TableProgress, started: float) -> int:
        """Commit rows and progress, without what was erased by now; return the number of rows."""
        committer = self._committers[buffer.spec.name]
        while True:
            stones = self._erased.known
            kept = without_refused(buffer.spec, rows, stones) if rows is not None else None
            files = committer.write(kept) if kept is not None and kept.num_rows else []
            metrics.WRITE_SECONDS.labels(table=buffer.spec.name).observe(time.monotonic() - started)
            try:
                committer.commit(files, following, partial(self._is_known, stones))
            except Outdated:
                started = time.monotonic()
                continue
            num_rows = kept.num_rows if kept is not None else 0
            if rows is not None and num_rows < rows.num_rows:
                metrics.REFUSED_ROWS.labels(table=buffer.spec.name).inc(rows.num_rows - num_rows)
            return num_rows

    def _is_known(self, stones: Tombstones) -> bool:
        return self._erased.look() is stones

    def _next_offsets(self, *, committed: bool = False) -> dict[tuple[str, int], int]:
        offsets = {}
        for topic, facts in self._facts.items():
            for partition in facts.partitions:
                offsets[topic, partition] = min(
                    self._committed_offset(name, topic, partition)
                    if committed
                    else self._buffers[name].next_offset(topic, partition)
                    for name in self._feeds[topic].tables
                )
        return offsets

    def _committed_offset(self, table: str, topic: str, partition: int) -> int:
        source = self._buffers[table].committed.sources.get(topic)
        return source.next_offset.get(partition, 0) if source else 0

    def _num_buffered_bytes(self) -> int:
        return sum(buffer.num_bytes for buffer in self._buffers.values())

    def _check_topics(self) -> None:
        """Notice now and then that a topic was made anew, or got partitions."""
        now = time.monotonic()
        if now - self._facts_checked_at < self._settings.sink_mark_seconds:
            return
        self._facts_checked_at = now
        if self._source.describe() != self._facts:
            raise PlaceGone("topics are no longer what they were")


def _observe_freshness(buffer: TableBuffer) -> None:
    observe = metrics.FRESHNESS_SECONDS.labels(table=buffer.spec.name).observe
    now_ms = time.time_ns() // 1_000_000
    for written_at_ms in buffer.written_at_ms:
        observe(max(now_ms - written_at_ms, 0) / 1000)
