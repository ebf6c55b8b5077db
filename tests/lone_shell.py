"""What surrounds a stitcher that runs by itself, without Faust: all partitions are its own, from their start.

Upstream: ``tests.bench.memory``, ``tests.faults.big_traces``, which give a store and look at what is sent.
Downstream: ``stream_jobs.processors.stitcher``.
Guarantee: a hole in the records, or an error of the stitcher, ends the run. The largest output and the largest change
of state are known afterwards.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_jobs.processors.dead_letter import Headers
from stream_jobs.processors.journal import Change
from stream_jobs.processors.local_files import open_files
from stream_jobs.processors.state import FileStore, PartitionStore


def open_state(folder: Path) -> FileStore:
    """RocksDB as the stitcher opens it for one partition, so that what lies on disk takes no memory."""
    return FileStore(open_files(folder / "state"))


def peak_rss_bytes() -> int:
    """The most memory this process ever had; ``getrusage`` begins with that of the process that started it."""
    status = Path("/proc/self/status").read_text().splitlines()
    (peak,) = [line.split()[1] for line in status if line.startswith("VmHWM:")]
    return int(peak) * 1024


@dataclass
class LoneShell:
    """Everything that a rebalance could change, and none ever comes; ``look`` is told topic and value of an output."""

    store: PartitionStore
    look: Callable[[str, bytes], object]
    largest_output_bytes: int = 0
    largest_change_bytes: int = 0
    largest_change_key: str = ""

    async def open_store(self, partition: int, /) -> "LoneShell":
        """The one store, by way of what measures its changes."""
        return self

    def get(self, key: bytes, /) -> bytes | None:
        """Return a value or None."""
        return self.store.get(key)

    def scan(self, prefix: bytes, /) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys that begin so."""
        return self.store.scan(prefix)

    async def write(self, changes: Sequence[Change], stored: Callable[[], None], /) -> None:
        """Write changes in their order."""
        for key, value in changes:
            if value is not None and len(value) > self.largest_change_bytes:
                self.largest_change_bytes, self.largest_change_key = len(value), repr(key)
        await self.store.write(changes, stored)

    async def send_record(
        self, topic: str, partition: int, key: bytes | None, value: bytes, headers: Headers | None, /
    ) -> Awaitable[Any]:
        """Acknowledged at once."""
        self.largest_output_bytes = max(self.largest_output_bytes, len(value))
        self.look(topic, value)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def settled(self, partition: int, assignment: int, /) -> None:
        """At once."""
        return

    async def flushed(self) -> None:
        """At once."""
        return

    def owns(self, assignment: int, /) -> bool:
        """Always."""
        return True

    def reading_start(self, partition: int, /) -> int | None:
        """The first record."""
        return 0

    async def rewind(self, partition: int, offset: int, /) -> None:
        """There is nothing to read again."""
        raise AssertionError(f"offset {offset} is missing")

    def give_up(self, error: BaseException, /) -> None:
        """The run ends with the error."""
        raise error
