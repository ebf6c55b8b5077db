"""Kill the stitcher at each of its named places, one after another; what comes out is what one quiet run gives."""

import signal
from collections.abc import Callable

import pytest

from infra.runtime.fail_points import POINTS
from tests.integration.stream_jobs.harness import DEADLINE_S, Install, as_a_reader_sees

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SEED = 31
RECORDS_A_LIFE = 60
# Amid the records of a life; commits come once a second only.
PASSES = {"stitcher.before_commit": 1, "stitcher.after_commit": 1}
DEFAULT_PASS = 17
PLACES = [point for point in POINTS if point.startswith("stitcher.")]


def test_killed_at_every_place_it_loses_nothing_and_doubles_nothing(install: Callable[[str], Install]) -> None:
    quiet, killed = install("quiet"), install("killed")
    num_records = RECORDS_A_LIFE * (len(PLACES) + 1)
    quiet.produce_batches(SEED, num_records)
    quiet.start()
    for number, place in enumerate(PLACES):
        killed.produce_batches(SEED, num_records, since=number * RECORDS_A_LIFE, until=(number + 1) * RECORDS_A_LIFE)
        life = killed.another(f"life{number}", CLAWTRACE_FAIL_POINT=f"{place}:{PASSES.get(place, DEFAULT_PASS)}")
        # One folder for all lives: each finds what the one before left behind.
        life.home = killed.home
        life.start()
        process = life.process
        assert process is not None
        assert process.wait(DEADLINE_S) == -signal.SIGKILL, f"{place}: {life.log_tail()}"
        assert f'"point": "{place}"' in life.log_tail()
        life.check_files()
        life.process = None
    killed.produce_batches(SEED, num_records, since=len(PLACES) * RECORDS_A_LIFE)
    killed.start()
    quiet.wait_all_committed()
    killed.wait_all_committed()
    assert quiet.stop() == 0
    assert killed.stop() == 0
    assert as_a_reader_sees(killed.outputs()) == as_a_reader_sees(quiet.outputs())
    assert killed.state() == quiet.state()
