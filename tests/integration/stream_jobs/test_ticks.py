"""The clock over a real broker: the gateway's thread writes it, the shipped stitcher lives by it."""

import sys
import time
from collections.abc import Callable

import msgspec
import pytest

from producers.contracts.event import encode_event_batch, record_key
from producers.gateway.ticker import Ticker
from producers.settings import GatewaySettings
from stream_jobs.contracts.span import Span, SpanBatch
from stream_jobs.processors.due import TICK_KEY
from tests.integration.stream_jobs.harness import Install, wait_until
from tests.integration.stream_jobs.test_real_core import TENANT, batches

pytestmark = pytest.mark.kafka

# Longer than a tool may run and a run may be silent after it, together.
TWO_HOURS_US = 7_200_000_000


def newest_spans(one: Install) -> dict[str, Span]:
    found: dict[str, Span] = {}
    for out in one.read(one.topology.spans):
        batch = msgspec.json.decode(out.value or b"", type=SpanBatch)
        found |= {span.span_id: span for span in batch.spans}
    return found


def statuses(one: Install) -> set[str]:
    return {span.status for span in newest_spans(one).values()}


def test_the_clock_reaches_every_partition_and_closes_what_is_silent(install: Callable[[str], Install]) -> None:
    one = install("ticks")
    one.command = [sys.executable, "-m", "api.cli", "stitcher", "run"]
    one.start()
    first_half = batches("multi-tool")[:4]
    for batch in first_half:
        value = encode_event_batch(msgspec.structs.replace(batch, received_at_us=time.time_ns() // 1_000))
        one.produce(2, value, record_key(TENANT, "multi-tool"))
    one.flush()
    settings = GatewaySettings(
        home=one.home, kafka_bootstrap=one.bootstrap, gateway_events_topic=one.topology.events, gateway_tick_s=0.5
    )
    # Its state has a topic that it makes itself: before that has leaders nobody can read it.
    one.wait_ready()
    ticker = Ticker(settings)
    ticker.start()
    try:
        wait_until(
            lambda: {partition for partition, key in one.state() if key == TICK_KEY} == {0, 1, 2, 3},
            "a tick in every partition",
            log=one.log_tail,
        )
    finally:
        ticker.close()
    wait_until(lambda: "running" in statuses(one), "its spans are running", log=one.log_tail)
    one.produce_tick(time.time_ns() // 1_000 + TWO_HOURS_US)
    one.flush()
    # What one tick leads to comes in several records.
    wait_until(lambda: "incomplete" in statuses(one), "the run closed", log=one.log_tail)
    wait_until(lambda: "running" not in statuses(one), "nothing is open", log=one.log_tail)
    for batch in batches("multi-tool")[4:]:
        one.produce(2, encode_event_batch(batch), record_key(TENANT, "multi-tool"))
    one.flush()
    one.wait_all_committed()
    assert one.stop() == 0
    assert statuses(one) == {"ok"}
    assert one.end_offsets(one.topology.dead_letter) == {0: 0}
