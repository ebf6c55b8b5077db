"""A stitcher process with the counting core, for tests that kill it.

``STITCHER_TEST_FAIL_AT=n`` lets the acknowledgement of the n-th change fail, as a broker does that refuses a record.
"""

import asyncio
import os
import sys
from typing import Any

from infra.runtime.logging import configure_logging
from stream_jobs.processors import faust_fixes
from stream_jobs.processors.runner import exit_code_of, run_stitcher
from stream_jobs.settings import StitcherSettings
from tests.integration.stream_jobs.standin import counting_core


def fail_at(number: int) -> None:
    """Replace the acknowledgement of one change by an error."""
    stock = faust_fixes.DurableBuffer._on_done
    counted = 0

    def on_done(self: faust_fixes.DurableBuffer, sent: "asyncio.Future[Any]") -> None:
        nonlocal counted
        counted += 1
        if counted == number:
            failed = asyncio.get_running_loop().create_future()
            failed.set_exception(OSError("injected"))
            self._unacknowledged.discard(sent)
            sent = failed
        stock(self, sent)

    buffer: Any = faust_fixes.DurableBuffer
    buffer._on_done = on_done


if __name__ == "__main__":
    configure_logging("stitcher-test")
    if wanted := os.environ.get("STITCHER_TEST_FAIL_AT"):
        fail_at(int(wanted))
    sys.exit(exit_code_of(lambda: run_stitcher(StitcherSettings(), counting_core)))
