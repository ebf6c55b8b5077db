"""Kill the stitcher in the middle of a stream, again and again; what comes out must be what one quiet run gives."""

import random
import signal
import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.integration.stream_jobs.harness import Install, as_a_reader_sees, wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

NUM_RECORDS = 1_500
NUM_KILLS = 3
PIECE_RECORDS = 100


class Stream:
    """The records of one seed, given out piece by piece."""

    def __init__(self, one: Install, seed: int) -> None:
        self._one, self._seed, self._num_given = one, seed, 0

    def give(self, num_records: int) -> None:
        """Put the next records into the topic."""
        until = min(self._num_given + num_records, NUM_RECORDS)
        self._one.produce_batches(self._seed, NUM_RECORDS, since=self._num_given, until=until)
        self._num_given = until

    @property
    def is_over(self) -> bool:
        return self._num_given == NUM_RECORDS


def num_traces(one: Install) -> int:
    return sum(one.end_offsets(one.topology.traces).values())


def has_traces(one: Install, goal: int) -> bool:
    return num_traces(one) >= goal


def kill_at_work(one: Install, stream: Stream, chooser: random.Random) -> None:
    """Kill it when it has sent something and has not committed everything; it stands still while that is looked at."""
    assert one.process is not None
    while True:
        goal = num_traces(one) + chooser.randrange(1, PIECE_RECORDS)
        assert not stream.is_over, "it was always done before it could be killed"
        stream.give(PIECE_RECORDS)
        wait_until(partial(has_traces, one, goal), "at work", log=one.log_tail)
        # Where in its routine the process dies is left to chance.
        time.sleep(chooser.random() * 0.1)
        one.process.send_signal(signal.SIGSTOP)
        if one.committed() != one.end_offsets(one.topology.events):
            one.stop(signal.SIGKILL)
            one.check_files()
            return
        one.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("seed", [11, 23])
def test_kill_9_loses_nothing_and_doubles_nothing(install: Callable[[str], Install], seed: int) -> None:
    quiet, killed = install("quiet"), install("killed")
    quiet.produce_batches(seed, NUM_RECORDS)
    stream, chooser = Stream(killed, seed), random.Random(seed)
    quiet.start()
    for _ in range(NUM_KILLS):
        stream.give(PIECE_RECORDS)
        killed.start()
        kill_at_work(killed, stream, chooser)
    stream.give(NUM_RECORDS)
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
