"""Two stitchers share the partitions: one joins in the middle, one leaves, one dies; the outcome is that of one."""

import signal
from collections.abc import Callable

import pytest

from tests.integration.stream_jobs.harness import Install, as_a_reader_sees, wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

NUM_RECORDS = 1_000


def num_traces(one: Install) -> int:
    return sum(one.end_offsets(one.topology.traces).values())


def num_partitions(one: Install) -> int:
    return int(one.metric("clawtrace_stitcher_owned_partitions"))


def num_stitched(one: Install) -> float:
    return one.metric('clawtrace_stitcher_records_total{outcome="stitched"}')


def test_partitions_that_move_lose_and_double_nothing(install: Callable[[str], Install]) -> None:
    alone, shared = install("alone"), install("shared")
    alone.produce_batches(5, NUM_RECORDS)
    alone.start()
    second = shared.another("second", CLAWTRACE_STITCHER_INSTANCE="1")
    shared.produce_batches(5, NUM_RECORDS, until=400)
    shared.start()
    wait_until(lambda: num_traces(shared) >= 100, "the first is at work")
    second.start()
    # While partitions move.
    shared.produce_batches(5, NUM_RECORDS, since=400, until=550)
    second.wait_ready()
    wait_until(lambda: sorted(num_partitions(one) for one in (shared, second)) == [2, 2], "two partitions each")
    shared.produce_batches(5, NUM_RECORDS, since=550, until=700)
    shared.wait_all_committed()
    # Really both: each has partitions, together all of them, and each has stitched records.
    assert all(num_stitched(one) > 0 for one in (shared, second))
    assert shared.stop() == 0  # leaves; its partitions go over when its session has ended
    shared.produce_batches(5, NUM_RECORDS, since=700)
    shared.wait_all_committed()
    second.stop(signal.SIGKILL)
    shared.start()
    shared.wait_ready()
    alone.wait_all_committed()
    shared.wait_all_committed()
    assert alone.stop() == 0
    assert shared.stop() == 0
    assert as_a_reader_sees(shared.outputs()) == as_a_reader_sees(alone.outputs())
    assert shared.state() == alone.state()
