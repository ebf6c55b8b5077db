"""Kill the stitcher in the middle of a stream, again and again; what comes out must be what one quiet run gives."""

import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.integration.stream_jobs.harness import Install, as_a_reader_sees, wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

NUM_RECORDS = 1_500
NUM_KILLS = 3


@pytest.mark.parametrize("seed", [11, 23])
def test_kill_9_loses_nothing_and_doubles_nothing(install: Callable[[str], Install], seed: int) -> None:
    quiet, killed = install("quiet"), install("killed")
    for one in (quiet, killed):
        one.produce_batches(seed, NUM_RECORDS)
    chooser = random.Random(seed)
    quiet.start()
    for round_number in range(NUM_KILLS):
        before = sum(killed.end_offsets(killed.topology.traces).values())
        killed.start()
        goal = before + chooser.randrange(1, NUM_RECORDS // (NUM_KILLS + 1))
        wait_until(
            lambda goal=goal: sum(killed.end_offsets(killed.topology.traces).values()) >= goal,  # type: ignore[misc]
            f"round {round_number}: output to kill in the middle of",
            log=killed.log_tail,
        )
        time.sleep(chooser.random() * 0.1)  # where in its routine the process dies is left to chance
        killed.stop(signal.SIGKILL)
    assert killed.committed() != killed.end_offsets(killed.topology.events), "the kills came too late to mean anything"
    killed.start()
    quiet.wait_all_committed()
    killed.wait_all_committed()
    assert quiet.stop() == 0
    assert killed.stop() == 0
    once, many = quiet.outputs(), killed.outputs()
    expected = as_a_reader_sees(once)
    assert len(once) == len(expected), "a quiet run repeats nothing"
    assert as_a_reader_sees(many) == expected
    assert killed.state() == quiet.state()
