"""What the routine needs around it: a core that thinks, and a framework that reads, sends and stores.

Upstream: nothing.
Downstream: ``stitcher`` is written against these; ``app`` and tests provide them.
Guarantee: no Faust in here, so the routine runs in tests on a broker and a store in memory.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from producers.contracts.event import EventBatch
from producers.contracts.guard import Verdict
from stream_jobs.contracts.alert import Alert
from stream_jobs.contracts.card import Card
from stream_jobs.contracts.span import Span
from stream_jobs.contracts.spend import Spend
from stream_jobs.contracts.trace import Trace
from stream_jobs.core.stitch import AgentDue
from stream_jobs.processors.dead_letter import Headers
from stream_jobs.processors.state import PartitionState, PartitionStore


class Stitched(Protocol):
    """What the core returns."""

    @property
    def changes(self) -> Mapping[bytes, bytes | None]: ...
    @property
    def payloads(self) -> Mapping[bytes, bytes]: ...
    @property
    def spans(self) -> Sequence[Span]: ...
    @property
    def traces(self) -> Sequence[Trace]: ...
    @property
    def alerts(self) -> Sequence[Alert]: ...
    @property
    def verdicts(self) -> Sequence[Verdict]: ...
    @property
    def cards(self) -> Sequence[Card]: ...
    @property
    def spends(self) -> Sequence[Spend]: ...
    @property
    def counts(self) -> Mapping[str, int]: ...
    @property
    def rejects(self) -> Sequence[tuple[str, str]]: ...
    @property
    def due(self) -> AgentDue | None: ...


class Core(Protocol):
    """Pure: what comes out depends on state and arguments alone."""

    def stitch(self, state: PartitionState, batch: EventBatch, rev: int, /) -> Stitched:
        """Apply a batch of events."""
        ...

    def tick(
        self, state: PartitionState, tenant_id: str, agent_id: str, at_us: int, rev: int, is_minute: bool, /
    ) -> Stitched:
        """Let time pass for one agent; rules are told once a minute."""
        ...


class Shell(Protocol):
    """What the routine needs from the framework around it."""

    async def open_store(self, partition: int, /) -> PartitionStore | None:
        """Return the state of a partition once it is restored; None when the partition was taken away meanwhile."""
        ...

    async def send_record(
        self, topic: str, partition: int, key: bytes | None, value: bytes, headers: Headers | None, /
    ) -> Awaitable[Any]:
        """Hand a record to the producer; the result is done when the broker has acknowledged it."""
        ...

    def owns(self, assignment: int, /) -> bool:
        """Whether the partitions of this assignment may still be written to."""
        ...

    async def settled(self, partition: int, assignment: int, /) -> None:
        """Return when nothing keeps a partition, which is read by now, from being owned: its rebalance is over."""
        ...

    async def flushed(self) -> None:
        """Return when all that was written is acknowledged, and in the state of its partition.

        Raises:
            Exception: some of it could not be delivered.
        """
        ...

    def reading_start(self, partition: int, /) -> int | None:
        """Offset from which a partition is read in this assignment, None while that is not settled."""
        ...

    async def rewind(self, partition: int, offset: int, /) -> None:
        """Read a partition again from an offset."""
        ...

    def give_up(self, error: BaseException, /) -> None:
        """End the process: a restart from the commit is the only way on."""
        ...


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One record of the events topic; ``assignment`` numbers the ownership it was read under."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    assignment: int
