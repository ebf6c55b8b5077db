"""What is under way: one source record between being taken up and being written, and one partition's place.

Upstream: ``stitcher`` takes records up.
Downstream: ``preparation`` fills in what a record leads to; ``stitcher`` sends and writes it.
Guarantee: plain values; all decisions are elsewhere.
"""

from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from typing import Any

from stream_jobs.processors.dead_letter import Headers
from stream_jobs.processors.due import DueIndex
from stream_jobs.processors.journal import Change, core_key, journal_writes
from stream_jobs.processors.shell import SourceRecord, Stitched
from stream_jobs.processors.state import PartitionState


@dataclass(slots=True)
class Work:
    """What one source record leads to: first the sends, in order, then the changes, in order."""

    record: SourceRecord
    received_at_us: int | None = None
    sends: list[tuple[str, int, bytes | None, bytes, Headers | None]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    plan_number: int = 0
    acknowledgements: list[Awaitable[Any]] = field(default_factory=list)


@dataclass(slots=True)
class Partition:
    """How far one partition is, in this assignment."""

    state: PartitionState
    next_offset: int | None = None
    rewinds: int = 0
    rewound_at: float = 0.0
    written_offset: int | None = None
    done_rev: dict[bytes, int] = field(default_factory=dict)
    # Made at the first tick.
    due: DueIndex | None = None


def writes_of(agent_key: bytes, rev: int, result: Stitched) -> Iterator[Change]:
    """Yield what is written for an agent: payloads, then the journal, then the changes.

    Payloads are written once, and nothing refers to them before the journal is there.
    """
    for key, value in result.payloads.items():
        yield core_key(key), value
    changes = {core_key(key): value for key, value in result.changes.items()}
    if result.due is not None:
        key, value = DueIndex.record(agent_key, result.due)
        changes[key] = value
    yield from journal_writes(agent_key, rev, changes)
    yield from changes.items()
