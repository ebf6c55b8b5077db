"""The routine for one source record: effectively once, without transactions.

Upstream: topic ``clawtrace.events.v1``, one ``EventBatch`` a record.
Downstream: topics of spans, traces, alerts and dead letters; the state, through its changelog.
Guarantee: state at revision N implies that all outputs up to N are acknowledged. A crash in between repeats a record
on the same state, so the same bytes are sent again, and readers drop them by revision and part. Outputs lie in the
partition of their source record, in its order.

A record passes these steps (1 to 4 are in ``preparation``). Up to ``in_flight`` records may wait at step 5; steps 6
and 7 keep the source order. A tick does the same for each agent that it visits.
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

import structlog

from infra.runtime.fail_points import reach
from stream_jobs import metrics
from stream_jobs.processors.preparation import Preparation
from stream_jobs.processors.shell import Core, Shell, SourceRecord
from stream_jobs.processors.state import PartitionState
from stream_jobs.processors.topology import Topology
from stream_jobs.processors.work import Partition, Work

_log = structlog.get_logger(__name__)

GENERATION_SHIFT = 44
REWIND_EVERY_S = 1.0
MAX_REWINDS = 5


class Stitcher:
    """Runs the routine over the partitions of one process."""

    def __init__(
        self, shell: Shell, core: Core, topology: Topology, *, log_generation: int = 0, in_flight: int = 1
    ) -> None:
        self._shell = shell
        self._preparation = Preparation(core, topology, log_generation << GENERATION_SHIFT, shell.owns)
        self._assignment = -1
        self._partitions: dict[int, Partition] = {}
        self._queue: asyncio.Queue[Work] = asyncio.Queue()
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
        # A partition is read from its start before the rebalance is over; what is passed over then, nobody sends again.
        await self._shell.settled(record.partition, record.assignment)
        await self._slots.acquire()
        work: Work | None = None
        try:
            if self._finisher is not None and self._finisher.done():
                self._finisher.result()
            if record.assignment != self._assignment and self._shell.owns(record.assignment):
                # What was written before must not come into the state of this assignment later, unseen.
                await self._shell.flushed()
            partition = await self._partition_of(record) if self._shell.owns(record.assignment) else None
            if partition is not None and await self._is_next(record, partition):
                work = Work(record)
                await self._preparation.prepare(work, partition)
            # A tick takes its time.
            if work is not None and self._shell.owns(record.assignment):
                for topic, to_partition, key, value, headers in work.sends:
                    sent = await self._shell.send_record(topic, to_partition, key, value, headers)
                    work.acknowledgements.append(sent)
                if work.sends:
                    reach("stitcher.outputs_sent")
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
            if work.acknowledgements:
                reach("stitcher.outputs_acknowledged")
            await self._finish(work)
            self._queue.task_done()
            self._slots.release()
            metrics.IN_FLIGHT.dec()

    async def _finish(self, work: Work) -> None:
        record = work.record
        if record.assignment != self._assignment or not self._shell.owns(record.assignment):
            return  # the partition was taken away meanwhile: whoever has it reads the record again
        partition = self._partitions[record.partition]
        if work.changes:
            await partition.state.write(work.plan_number, work.changes)
        partition.written_offset = record.offset + 1
        if work.received_at_us is not None:
            metrics.LATENCY_SECONDS.observe(max(0.0, time.time() - work.received_at_us / 1e6))

    async def _partition_of(self, record: SourceRecord) -> Partition | None:
        if record.assignment != self._assignment:
            # Another assignment, even of the same partitions: all is read again from the commit, and what was
            # planned but not written never happened.
            self._partitions.clear()
            self._assignment = record.assignment
        partition = self._partitions.get(record.partition)
        if partition is None:
            store = await self._shell.open_store(record.partition)
            if store is None or not self._shell.owns(record.assignment):
                return None
            partition = self._partitions[record.partition] = Partition(PartitionState(store))
        return partition

    async def _is_next(self, record: SourceRecord, partition: Partition) -> bool:
        """Whether a record is the next of its partition; one that leaves others out must not pass.

        The framework may deliver records it read before it was told where to start. They are ignored, and reading
        goes back to the one that is due. Only what stays missing after several tries is missing in the topic itself.
        """
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
