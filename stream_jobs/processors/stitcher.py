"""The routine for one source record: effectively once, without transactions.

Upstream: topic ``clawtrace.events.v1``, one ``EventBatch`` a record.
Downstream: topics of spans, traces, alerts and dead letters; the state, through its changelog.
Guarantee: state at revision N implies that all outputs up to N are acknowledged. A crash in between repeats a record
on the same state, so the same bytes are sent again, and readers drop them by revision and part. Outputs lie in the
partition of their source record, in its order.

A record passes these steps. Up to ``in_flight`` records may wait at step 5; steps 6 and 7 keep the source order.
1. decode; what cannot be decoded becomes a dead letter.
2. at the first record of an agent since the partition was taken: apply the agent's journal again (``journal``).
3. drop it when the journal says it is done: its outputs were acknowledged before that was written.
4. run the core over the state, seeing the planned changes of records still in flight.
5. send the outputs and wait for their acknowledgement.
6. write payloads, then the journal, then the changes.
7. count the offset as written; the next commit takes it.
"""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog

from producers.contracts.event import EventBatch, decode_event_batch, encode_event_batch, record_key
from stream_jobs import metrics
from stream_jobs.processors.dead_letter import DeadLetterLimit, Headers, dead_letter_headers
from stream_jobs.processors.journal import Change, core_key, journal_writes, read_journal
from stream_jobs.processors.outputs import output_records
from stream_jobs.processors.shell import Core, Shell, SourceRecord, Stitched
from stream_jobs.processors.state import PartitionState
from stream_jobs.processors.topology import Topology

_log = structlog.get_logger(__name__)

GENERATION_SHIFT = 44
DEAD_LETTER_PARTITION = 0
REWIND_EVERY_S = 1.0
MAX_REWINDS = 5


@dataclass(slots=True)
class _Work:
    record: SourceRecord
    received_at_us: int | None = None
    sends: list[tuple[str, int, bytes | None, bytes, Headers | None]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    plan_number: int = 0
    acknowledgements: list[Awaitable[Any]] = field(default_factory=list)


@dataclass(slots=True)
class _Partition:
    state: PartitionState
    next_offset: int | None = None
    rewinds: int = 0
    rewound_at: float = 0.0
    written_offset: int | None = None
    done_rev: dict[bytes, int] = field(default_factory=dict)


class Stitcher:
    """Runs the routine over the partitions of one process."""

    def __init__(
        self, shell: Shell, core: Core, topology: Topology, *, log_generation: int = 0, in_flight: int = 1
    ) -> None:
        self._shell, self._core, self._topology = shell, core, topology
        self._rev_base = log_generation << GENERATION_SHIFT
        self._assignment = -1
        self._partitions: dict[int, _Partition] = {}
        self._limit = DeadLetterLimit()
        self._queue: asyncio.Queue[_Work] = asyncio.Queue()
        self._slots = asyncio.Semaphore(in_flight)
        self._finisher: asyncio.Task[None] | None = None

    def written_offsets(self) -> dict[int, int]:
        """Next offset of each owned partition whose state has moved; what may be committed."""
        if not self._shell.owns(self._assignment):
            return {}
        return {number: p.written_offset for number, p in self._partitions.items() if p.written_offset is not None}

    async def process(self, record: SourceRecord) -> None:
        """Take up one record; returns when there is room for the next, not when this one is written.

        Raises:
            TooManyDeadLetters: the fault is not that of single records.
            Exception: the broker refused an output, of this record or an earlier one.
        """
        await self._slots.acquire()
        work = None
        try:
            if self._finisher is not None and self._finisher.done():
                self._finisher.result()
            if self._shell.owns(record.assignment) and await self._is_next(record):
                work = await self._prepare(record)
            if work is not None:
                for topic, partition, key, value, headers in work.sends:
                    sent = await self._shell.send_record(topic, partition, key, value, headers)
                    work.acknowledgements.append(sent)
        except BaseException:
            self._slots.release()
            raise
        if work is None:
            self._slots.release()
            return
        metrics.IN_FLIGHT.inc()
        self._queue.put_nowait(work)
        if self._finisher is None:
            self._finisher = asyncio.create_task(self._finish_all(), name="stitcher-finisher")
            self._finisher.add_done_callback(self._on_finisher_done)

    async def drain(self) -> None:
        """Wait until every record taken up is written.

        Raises:
            Exception: the broker refused an output.
        """
        if self._finisher is None:
            return
        joined = asyncio.ensure_future(self._queue.join())
        await asyncio.wait({joined, self._finisher}, return_when=asyncio.FIRST_COMPLETED)
        if self._finisher.done():
            joined.cancel()
            self._finisher.result()

    def close(self) -> None:
        """Stop at once; what is not written is read again by whoever comes next."""
        if self._finisher is not None:
            self._finisher.cancel()

    def _on_finisher_done(self, finisher: "asyncio.Task[None]") -> None:
        if not finisher.cancelled() and (error := finisher.exception()) is not None:
            self._shell.give_up(error)

    async def _finish_all(self) -> None:
        while True:
            work = await self._queue.get()
            for acknowledgement in work.acknowledgements:
                # A failure ends the process. Sending this record again from here would put it behind the records
                # sent after it, and readers would drop it as old; from the commit everything is sent in order.
                await acknowledgement
            await self._finish(work)
            self._queue.task_done()
            self._slots.release()
            metrics.IN_FLIGHT.dec()

    async def _finish(self, work: _Work) -> None:
        record = work.record
        if record.assignment != self._assignment or not self._shell.owns(record.assignment):
            return  # the partition was taken away meanwhile: whoever has it reads the record again
        partition = self._partitions[record.partition]
        if work.changes:
            await partition.state.write(work.plan_number, work.changes)
        partition.written_offset = record.offset + 1
        if work.received_at_us is not None:
            metrics.LATENCY_SECONDS.observe(max(0.0, time.time() - work.received_at_us / 1e6))

    async def _prepare(self, record: SourceRecord) -> _Work:
        """Steps 1 to 4."""
        partition = self._partition_of(record)
        work = _Work(record)
        try:
            batch = decode_event_batch(record.value)
        except Exception as error:
            self._refuse(work, error)
            return work
        work.received_at_us = batch.received_at_us
        agent_key = record_key(batch.tenant_id, batch.agent_id)
        rev = self._rev_base | record.offset
        if rev <= await self._done_rev(partition, agent_key):
            metrics.RECORDS.labels("duplicate").inc()
            work.received_at_us = None
            return work
        try:
            self._stitch(work, partition, batch, agent_key, rev)
        except Exception as error:
            _log.exception("core_failed", partition=record.partition, offset=record.offset)
            work.sends.clear()
            self._refuse(work, error)
            return work
        self._limit.good()
        metrics.RECORDS.labels("stitched").inc()
        metrics.EVENTS.inc(len(batch.events))
        return work

    def _stitch(self, work: _Work, partition: _Partition, batch: EventBatch, agent_key: bytes, rev: int) -> None:
        started = time.perf_counter()
        result = self._core(partition.state, batch, rev)
        metrics.CORE_SECONDS.observe(time.perf_counter() - started)
        source = work.record
        for name, topic, value in output_records(self._topology, batch, rev, result):
            work.sends.append((topic, source.partition, agent_key, value, None))
            metrics.OUTPUTS.labels(name).inc()
        if result.rejects:
            self._reject_events(work, batch, dict(result.rejects))
        changes = list(self._writes(agent_key, rev, result)) if result.changes or result.payloads or work.sends else []
        # Nothing below can fail: from here on the record counts.
        work.changes = changes
        work.plan_number = partition.state.plan(changes)
        partition.done_rev[agent_key] = rev
        for what, count in result.counts.items():
            metrics.CORE.labels(what).inc(count)

    @staticmethod
    def _writes(agent_key: bytes, rev: int, result: Stitched) -> Iterator[Change]:
        """Step 6 in its order. Payloads are written once, and nothing refers to them before the journal is there."""
        for key, value in result.payloads.items():
            yield core_key(key), value
        changes = {core_key(key): value for key, value in result.changes.items()}
        yield from journal_writes(agent_key, rev, changes)
        yield from changes.items()

    def _partition_of(self, record: SourceRecord) -> _Partition:
        if record.assignment != self._assignment:
            # Another assignment, even of the same partitions: all is read again from the commit, and what was
            # planned but not written never happened.
            self._partitions.clear()
            self._assignment = record.assignment
        partition = self._partitions.get(record.partition)
        if partition is None:
            state = PartitionState(self._shell.open_store(record.partition))
            partition = self._partitions[record.partition] = _Partition(state)
        return partition

    async def _is_next(self, record: SourceRecord) -> bool:
        """Whether a record is the next of its partition; one that leaves others out must not pass.

        The framework may deliver records it read before it was told where to start. They are ignored, and reading
        goes back to the one that is due. Only what stays missing after several tries is missing in the topic itself.
        """
        partition = self._partition_of(record)
        due = partition.next_offset
        if due is None:
            due = self._shell.reading_start(record.partition)
        if due is None or record.offset < due:
            return False
        if record.offset > due:
            now = time.monotonic()
            if now - partition.rewound_at < REWIND_EVERY_S:
                return False
            if partition.rewinds < MAX_REWINDS:
                partition.rewinds += 1
                partition.rewound_at = now
                _log.info("rewound", partition=record.partition, due=due, offset=record.offset)
                await self._shell.rewind(record.partition, due)
                return False
            _log.error("records_missing", partition=record.partition, due=due, offset=record.offset)
            metrics.LOST_RECORDS.inc(record.offset - due)
        partition.rewinds, partition.rewound_at = 0, 0.0
        partition.next_offset = record.offset + 1
        return True

    async def _done_rev(self, partition: _Partition, agent_key: bytes) -> int:
        """Newest revision of an agent that is done; at its first record, apply its journal again."""
        done = partition.done_rev.get(agent_key)
        if done is not None:
            return done
        journal = read_journal(partition.state.get_raw, agent_key)
        if journal is None:
            done = -1
        else:
            done = journal.rev
            missing = [(key, value) for key, value in journal.changes if partition.state.get_raw(key) != value]
            if missing:
                await partition.state.write(partition.state.plan(missing), missing)
                metrics.REDONE_JOURNALS.inc()
        partition.done_rev[agent_key] = done
        return done

    def _refuse(self, work: _Work, error: Exception) -> None:
        """Turn a record into a dead letter, byte for byte."""
        record = work.record
        reason = traceback.format_exception_only(error)[-1].strip()
        _log.error("dead_letter", partition=record.partition, offset=record.offset, reason=reason)
        headers = dead_letter_headers(self._topology.events, record.partition, record.offset, reason)
        dead_letter = (self._topology.dead_letter, DEAD_LETTER_PARTITION, record.key, record.value, headers)
        work.sends.append(dead_letter)
        work.received_at_us = None
        metrics.RECORDS.labels("dead_letter").inc()
        metrics.DEAD_LETTERS.labels("record").inc()
        self._limit.bad()

    def _reject_events(self, work: _Work, batch: EventBatch, reasons: Mapping[str, str]) -> None:
        """Keep the events the core refused, as a batch of their own."""
        record = work.record
        refused = msgspec.structs.replace(batch, events=[event for event in batch.events if event.event_id in reasons])
        reason = "; ".join(f"{event_id}: {why}" for event_id, why in reasons.items())
        headers = dead_letter_headers(self._topology.events, record.partition, record.offset, reason)
        value = encode_event_batch(refused)
        work.sends.append((self._topology.dead_letter, DEAD_LETTER_PARTITION, record.key, value, headers))
        metrics.DEAD_LETTERS.labels("event").inc(len(refused.events))
