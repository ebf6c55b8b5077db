"""What surrounds a stitcher that runs by itself, without Faust: all partitions are its own, from their start.

Upstream: ``tests.bench.memory``, ``tests.faults.big_traces``, which add a store and look at what is sent.
Downstream: ``stream_jobs.processors.stitcher``.
Guarantee: a hole in the records, or an error of the stitcher, ends the run.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any


def acknowledged() -> Awaitable[Any]:
    """What a record that was sent leaves to wait for: nothing."""
    done = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


class LoneShell:
    """Everything that a rebalance could change, and none ever comes."""

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
