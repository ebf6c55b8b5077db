"""A sink that was stopped and comes back finds another one at work."""

import random
import signal

import pytest

from tests.integration.lakehouse.lake import Lake, wait_until
from tests.integration.lakehouse.test_exactly_once import Ledger


@pytest.mark.slow
def test_sink_that_wakes_up_is_refused_and_stands_by(lake: Lake) -> None:
    ledger = Ledger(lake, random.Random(4))
    first = lake.start_sink()
    ledger.send(60)
    wait_until(lambda: lake.num_rows("events") > 0, "the first sink commits")
    # Records arrive that it has in its buffer, or in its client's, when it is stopped.
    ledger.send(60)
    first.send(signal.SIGSTOP)
    second = lake.start_sink()
    wait_until(ledger.is_drained, "the second sink stores everything")
    ledger.send(40)
    wait_until(ledger.is_drained, "the second sink goes on")
    first.send(signal.SIGCONT)
    ledger.send(40)
    wait_until(lambda: "overtaken" in first.log() or "overtaken" in second.log(), "one of them notices")
    wait_until(ledger.is_drained, "all tables have their rows")
    ledger.check()
    # Whoever stands by goes on when the other is gone.
    loser, winner = (first, second) if "overtaken" in first.log() else (second, first)
    winner.end(signal.SIGKILL)
    ledger.send(20)
    wait_until(ledger.is_drained, "the one that stood by goes on")
    ledger.check()
    assert loser.process.poll() is None
