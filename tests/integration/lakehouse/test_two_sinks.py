"""Two sinks: one that was stopped and finds another at work, and two that share the tables."""

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


def test_two_sinks_share_the_tables(lake: Lake) -> None:
    ledger = Ledger(lake, random.Random(7))
    raw = lake.start_sink(CLAWTRACE_SINK_TABLES="events")
    rest = lake.start_sink(CLAWTRACE_SINK_TABLES="spans,edges,traces,agents,tenants,alerts,cards,verdicts")
    for _ in range(3):
        ledger.send(30)
        wait_until(ledger.is_drained, "all tables have their rows")
    ledger.check()
    rows = "clawtrace_sink_rows_total"
    assert raw.metric(f'{rows}{{table="events"}}') == len(ledger.event_ids)
    assert rest.metric(f'{rows}{{table="spans"}}') == len(ledger.spans)
    assert raw.metric(f'{rows}{{table="spans"}}') == rest.metric(f'{rows}{{table="events"}}') == 0
    # Each read its own topics only, and neither was in the way of the other.
    assert raw.metric('clawtrace_sink_records_total{topic="clawtrace.spans.v1"}') == 0
    assert rest.metric('clawtrace_sink_records_total{topic="clawtrace.events.v1"}') == 0
    for sink in (raw, rest):
        assert "overtaken" not in sink.log()
        assert sink.end(signal.SIGTERM) == 0
