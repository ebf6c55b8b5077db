"""Makes Python's garbage collector come seldom, for processes that turn records into many small objects.

Upstream: gateway, stitcher and sink call it once, when all is imported; the sink collects all now and then.
Downstream: the interpreter.
Guarantee: cycles are still found, only later. Decoded records hold none, so a collection finds nothing to free; with
the default threshold it comes several times a batch and walks every object that waits for the next commit.
"""

import gc
import time
from typing import Final

THRESHOLDS: Final = (50_000, 20, 20)


def collect_seldom() -> None:
    """Leave what is imported out of all later collections, and let these come seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


class FullCollection:
    """Looks through everything, at most once in so many seconds, when its caller has little in hand.

    By itself that comes after twenty million new objects: an hour, in which libraries whose objects refer to each other
    fill memory with what they have replaced.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s, self._at_s = every_s, time.monotonic()

    def offer(self) -> None:
        """Collect if it is time."""
        now_s = time.monotonic()
        if now_s - self._at_s >= self._every_s:
            gc.collect()
            self._at_s = now_s
