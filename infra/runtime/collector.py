"""Makes Python's garbage collector come seldom, for processes that turn records into many small objects.

Upstream: gateway, stitcher and sink call it once, when all is imported.
Downstream: the interpreter.
Guarantee: cycles are still found, only later. Decoded records hold none, so a collection finds nothing to free; with
the default threshold it comes several times a batch and walks every object that waits for the next commit.
"""

import gc
from typing import Final

THRESHOLDS: Final = (50_000, 20, 20)


def collect_seldom() -> None:
    """Leave what is imported out of all later collections, and let these come seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
