"""From a source record to what it leads to: outputs to send, then changes to write.

Upstream: ``stitcher`` gives records in the order of their partition.
Downstream: ``Work``, which the stitcher sends and writes.
Guarantee: the same record on the same state gives the same bytes. A record that cannot be understood becomes a dead
letter; an agent on which a tick fails is left as it is, and the tick goes on with the others.
"""

import asyncio
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import structlog

from producers.contracts.event import EventBatch, decode_event_batch, encode_event_batch, record_key
from stream_jobs import metrics
from stream_jobs.processors.dead_letter import DeadLetterLimit, dead_letter_headers
from stream_jobs.processors.due import DUE_PREFIX, TICK_KEY, DueIndex, Visit
from stream_jobs.processors.journal import JOURNAL_PREFIX, agent_of_head, read_journal
from stream_jobs.processors.outputs import output_records
from stream_jobs.processors.shell import Core
from stream_jobs.processors.topology import Topology
from stream_jobs.processors.work import Partition, Work, writes_of

_log = structlog.get_logger(__name__)

DEAD_LETTER_PARTITION: Final = 0
# After so many agents others get their turn: heartbeats, acknowledgements.
_BREATHE_AFTER: Final = 50


class Preparation:
    """Steps 1 to 4 of the routine."""

    def __init__(self, core: Core, topology: Topology, rev_base: int, owns: Callable[[int], bool]) -> None:
        self._core, self._topology, self._rev_base, self._owns = core, topology, rev_base, owns
        self._limit = DeadLetterLimit()

    async def prepare(self, work: Work, partition: Partition) -> None:
        """Fill in what the record leads to.

        Raises:
            TooManyDeadLetters: the fault is not that of single records.
        """
        record = work.record
        try:
            batch = decode_event_batch(record.value)
        except Exception as error:
            self._refuse(work, error)
            return
        rev = self._rev_base | record.offset
        if isinstance(batch.tick_at_us, int):
            await self._tick(work, partition, batch, batch.tick_at_us, rev)
            return
        agent_key = record_key(batch.tenant_id, batch.agent_id)
        if rev <= await self._done_rev(partition, agent_key):
            metrics.RECORDS.labels("duplicate").inc()
            return
        try:
            self._stitch(work, partition, batch, agent_key, rev)
        except Exception as error:
            _log.exception("core_failed", partition=record.partition, offset=record.offset)
            work.sends.clear()
            self._refuse(work, error)
            return
        work.received_at_us = batch.received_at_us
        self._limit.good()
        metrics.RECORDS.labels("stitched").inc()
        metrics.EVENTS.inc(len(batch.events))

    def _stitch(self, work: Work, partition: Partition, batch: EventBatch, agent_key: bytes, rev: int) -> None:
        started = time.perf_counter()
        result = self._core.stitch(partition.state, batch, rev)
        metrics.CORE_SECONDS.observe(time.perf_counter() - started)
        for name, topic, value in output_records(self._topology, batch, rev, result):
            work.sends.append((topic, work.record.partition, agent_key, value, None))
            metrics.OUTPUTS.labels(name).inc()
        if result.rejects:
            self._reject_events(work, batch, dict(result.rejects))
        changes = list(writes_of(agent_key, rev, result)) if result.changes or result.payloads or work.sends else []
        # Nothing below can fail: from here on the record counts.
        work.changes = changes
        work.plan_number = partition.state.plan(changes)
        partition.done_rev[agent_key] = rev
        if result.due is not None and partition.due is not None:
            partition.due.note(agent_key, result.due)
        _count(result.counts)

    async def _tick(self, work: Work, partition: Partition, batch: EventBatch, at_us: int, rev: int) -> None:
        """Let time pass for the agents of the partition that have something due.

        That this tick is done is written last, after all agents. Cut off in between, it is read again: agents whose
        journal has its revision are left out, the others are visited as they were.
        """
        before_us = int(partition.state.get_raw(TICK_KEY) or 0)
        if at_us <= before_us:
            metrics.RECORDS.labels("old_tick").inc()
            return
        if partition.due is None:
            await self._redo_journals(work, partition)
            partition.due = DueIndex(partition.state.scan_raw(DUE_PREFIX))
        for number, visit in enumerate(list(partition.due.visits(before_us, at_us)), start=1):
            if rev > await self._done_rev(partition, visit.agent_key):
                self._visit(work, partition, batch, visit, at_us, rev)
            if number % _BREATHE_AFTER == 0:
                await asyncio.sleep(0)
                if not self._owns(work.record.assignment):
                    return
        work.changes.append((TICK_KEY, str(at_us).encode()))
        work.plan_number = partition.state.plan(work.changes)
        metrics.RECORDS.labels("tick").inc()

    def _visit(self, work: Work, partition: Partition, batch: EventBatch, visit: Visit, at_us: int, rev: int) -> None:
        tenant_id, _, agent_id = visit.agent_key.decode().partition("|")
        try:
            result = self._core.tick(partition.state, tenant_id, agent_id, at_us, rev, visit.is_minute)
            if not result.changes:
                return
            source = msgspec.structs.replace(batch, tenant_id=tenant_id, agent_id=agent_id)
            outputs = list(output_records(self._topology, source, rev, result, visit.first_part))
            changes = list(writes_of(visit.agent_key, rev, result))
        except Exception:
            _log.exception("tick_failed", partition=work.record.partition, offset=work.record.offset, agent=agent_id)
            metrics.FAILED_TICKS.inc()
            return
        for name, topic, value in outputs:
            work.sends.append((topic, work.record.partition, visit.agent_key, value, None))
            metrics.OUTPUTS.labels(name).inc()
        work.changes += changes
        partition.done_rev[visit.agent_key] = rev
        if result.due is not None and partition.due is not None:
            partition.due.note(visit.agent_key, result.due)
        _count(result.counts)

    async def _redo_journals(self, work: Work, partition: Partition) -> None:
        """Apply what a crash left in the journals: when an agent is due is among it."""
        for key, _ in list(partition.state.scan_raw(JOURNAL_PREFIX)):
            agent_key = agent_of_head(key)
            if agent_key is not None and self._owns(work.record.assignment):
                await self._done_rev(partition, agent_key)

    async def _done_rev(self, partition: Partition, agent_key: bytes) -> int:
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

    def _refuse(self, work: Work, error: Exception) -> None:
        """Turn a record into a dead letter, byte for byte."""
        record = work.record
        reason = traceback.format_exception_only(error)[-1].strip()
        _log.error("dead_letter", partition=record.partition, offset=record.offset, reason=reason)
        headers = dead_letter_headers(self._topology.events, record.partition, record.offset, reason)
        dead_letter = (self._topology.dead_letter, DEAD_LETTER_PARTITION, record.key, record.value, headers)
        work.sends.append(dead_letter)
        metrics.RECORDS.labels("dead_letter").inc()
        metrics.DEAD_LETTERS.labels("record").inc()
        self._limit.bad()

    def _reject_events(self, work: Work, batch: EventBatch, reasons: Mapping[str, str]) -> None:
        """Keep the events the core refused, as a batch of their own."""
        record = work.record
        refused = msgspec.structs.replace(batch, events=[event for event in batch.events if event.event_id in reasons])
        reason = "; ".join(f"{event_id}: {why}" for event_id, why in reasons.items())
        headers = dead_letter_headers(self._topology.events, record.partition, record.offset, reason)
        value = encode_event_batch(refused)
        work.sends.append((self._topology.dead_letter, DEAD_LETTER_PARTITION, record.key, value, headers))
        metrics.DEAD_LETTERS.labels("event").inc(len(refused.events))


def _count(counts: Mapping[str, int]) -> None:
    for what, count in counts.items():
        metrics.CORE.labels(what).inc(count)
