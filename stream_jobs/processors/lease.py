"""How long a process may write: as long as the group surely counts it as a member.

Upstream: heartbeats of the consumer, from its own thread.
Downstream: the producer asks before each request that it sends (``faust_fixes``).
Guarantee: a process that was stopped or cut off for longer than its session, and whose partitions may be another's by
now, sends nothing that it had ready before; without this an old value of the state would lie over a newer one.
"""

import asyncio
import time
from typing import Final

_LOOK_EVERY_S: Final = 0.05


class LeaseLost(Exception):
    """The group has given the partitions to others, or may have: what is ready to be sent must not be."""


def now_s() -> float:
    """Seconds on a clock that goes on while the process, or the machine, is stopped."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """Membership, as far as it is proven. Written by one thread, read by another."""

    def __init__(self, session_s: float) -> None:
        self._session_s = session_s
        # Before the first assignment there is nothing to write.
        self._proven_at_s: float | None = None
        self._assignment = 0

    def begin(self) -> None:
        """A new assignment: what was ready under an earlier one must not be sent any more."""
        self._assignment += 1
        self._proven_at_s = now_s()

    def prove(self, sent_at_s: float) -> None:
        """The group answered a heartbeat that was sent at that instant; its patience began then, or later."""
        if self._proven_at_s is not None:
            self._proven_at_s = max(self._proven_at_s, sent_at_s)

    def lose(self) -> None:
        """The group does not know this member any more."""
        self._assignment += 1
        self._proven_at_s = now_s() - self._session_s

    @property
    def is_held(self) -> bool:
        """Whether nobody else can have the partitions yet."""
        return self._proven_at_s is None or now_s() < self._proven_at_s + self._session_s

    async def wait_held(self) -> None:
        """Return at once while the lease is held, else when a heartbeat proves that it always was.

        Raises:
            LeaseLost: it is lost, or there is another assignment by now.
        """
        if self.is_held:
            return
        assignment = self._assignment
        while self._assignment == assignment:
            if self.is_held:
                return
            await asyncio.sleep(_LOOK_EVERY_S)
        raise LeaseLost("the group gave this process up while it was stopped or cut off")
