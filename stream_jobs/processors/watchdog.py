"""Tells when the stitcher stands still although there is work.

Upstream: committed offsets, ends of the partitions, progress of a rebuild.
Downstream: the process gives up, and its supervisor starts it again.
Guarantee: standing still under lag lasts no longer than the limit, whatever the framework got stuck in.
"""

from collections.abc import Callable
from typing import Final

CHECK_EVERY_S: Final = 2.0


class Watchdog:
    """Remembers when progress was last seen."""

    def __init__(self, limit_s: float, clock: Callable[[], float]) -> None:
        self._limit_s, self._clock = limit_s, clock
        self._progress: object = None
        self._moved_at = clock()

    def stalled_s(self, progress: object, *, work_waits: bool) -> float:
        """Take a look; return for how long nothing moved, 0 when all is well.

        ``progress`` is any value that changes when something moves. ``work_waits`` is also true when it cannot be
        told whether work waits.
        """
        now = self._clock()
        if progress != self._progress or not work_waits:
            self._progress, self._moved_at = progress, now
        return now - self._moved_at

    def is_over(self, stalled_s: float) -> bool:
        """Whether that is too long."""
        return stalled_s >= self._limit_s
