"""The shipped routine over records that were worked on before: on a store of its own, without Faust and a broker.

Upstream: ``stream_jobs.restitch``.
Downstream: whoever wants to know what the stitcher must have sent.
Guarantee: the steps of ``preparation`` and the order of ``stitcher``, one record after another and nothing in flight;
so the same records lead to the same bytes as in the process, revision for revision, as long as prices and rules are the
same.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

from stream_jobs.processors.journal import Change
from stream_jobs.processors.preparation import Preparation
from stream_jobs.processors.shell import Core, SourceRecord
from stream_jobs.processors.state import PartitionState, PartitionStore
from stream_jobs.processors.stitcher import GENERATION_SHIFT
from stream_jobs.processors.topology import Topology
from stream_jobs.processors.work import Partition, Work

_ASSIGNMENT = 1


class MemoryStore:
    """The state of one partition, in memory."""

    def __init__(self) -> None:
        self._kept: dict[bytes, bytes] = {}

    def get(self, key: bytes, /) -> bytes | None:
        """Return a value or None."""
        return self._kept.get(key)

    def scan(self, prefix: bytes, /) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys that begin so, in their order."""
        yield from sorted((key, value) for key, value in self._kept.items() if key.startswith(prefix))

    async def write(self, changes: Sequence[Change], stored: Callable[[], None], /) -> None:
        """Set values in order; None deletes."""
        for key, value in changes:
            if value is None:
                self._kept.pop(key, None)
            else:
                self._kept[key] = value
        stored()


class Again:
    """Works on records of any partitions, each partition in its order. Close it, or use it in a ``with`` block."""

    def __init__(
        self,
        core: Core,
        topology: Topology,
        log_generation: int,
        make_store: Callable[[], PartitionStore] = MemoryStore,
    ) -> None:
        self._preparation = Preparation(core, topology, log_generation << GENERATION_SHIFT, lambda assignment: True)
        self._make_store = make_store
        self._partitions: dict[int, Partition] = {}
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.close()

    def work_on(self, partition: int, offset: int, value: bytes) -> Iterable[tuple[str, bytes]]:
        """Work on a record; return (topic, value) of what it leads to, in the order of sending.

        Raises:
            TooManyDeadLetters: record after record cannot be read.
        """
        return self._runner.run(self._work_on(partition, offset, value))

    def next_visit_us(self, partition: int, after_us: int) -> int | None:
        """Return from when on, after an instant, a tick visits an agent of a partition; None when none will.

        The earliest possible instant while no tick has come yet: only then it is read which agents are due.
        """
        found = self._partitions.get(partition)
        if found is None:
            return None
        return after_us if found.due is None else found.due.next_visit_us(after_us)

    async def _work_on(self, number: int, offset: int, value: bytes) -> list[tuple[str, bytes]]:
        partition = self._partitions.get(number)
        if partition is None:
            partition = self._partitions[number] = Partition(PartitionState(self._make_store()))
        work = Work(SourceRecord(number, offset, None, value, _ASSIGNMENT))
        await self._preparation.prepare(work, partition)
        if work.changes:
            await partition.state.write(work.plan_number, work.changes)
        return [(topic, sent) for topic, _, _, sent, _ in work.sends]
