"""The disk under the stitcher's state is full: the process ends, and the next one with room loses nothing."""

import resource
from collections.abc import Callable

import pytest

from tests.integration.stream_jobs.harness import Install, as_a_reader_sees, wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

NUM_RECORDS = 300
# Less than RocksDB's log of writes has by then.
NO_ROOM_BYTES = 4_096


def test_stitcher_without_room_ends_and_the_next_goes_on(install: Callable[[str], Install]) -> None:
    quiet, full = install("quiet"), install("full")
    quiet.produce_batches(7, NUM_RECORDS)
    quiet.start()
    full.produce_batches(7, NUM_RECORDS, until=100)
    full.start()
    full.wait_all_committed()
    process = full.process
    assert process is not None
    room = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (NO_ROOM_BYTES, room[1]))
    full.produce_batches(7, NUM_RECORDS, since=100)
    wait_until(lambda: process.poll() is not None, "it gives up", log=full.log_tail)
    assert process.returncode == 1
    full.process = None
    full.start()
    quiet.wait_all_committed()
    full.wait_all_committed()
    assert quiet.stop() == 0
    assert full.stop() == 0
    assert as_a_reader_sees(full.outputs()) == as_a_reader_sees(quiet.outputs())
    assert full.state() == quiet.state()
