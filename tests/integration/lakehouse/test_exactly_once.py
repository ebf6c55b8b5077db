"""Whatever happens to the sink, each record's rows are in the tables once."""

import random
import signal
import time
from collections import Counter
from functools import partial

import pytest

from producers.contracts.topics import EVENTS
from stream_jobs.contracts.topics import ALERTS, CARDS, SPANS, TRACES
from tests.integration.lakehouse.lake import Lake, wait_until
from tests.unit.lakehouse import records as make

NUM_PARTITIONS = 2
NUM_ROUNDS = 4
NUM_RECORDS_PER_ROUND = 60
# What the ledger compares, and the topics that it comes from.
READS = {
    "events": (EVENTS.name,),
    "spans": (SPANS.name,),
    "traces": (TRACES.name,),
    "edges": (SPANS.name, TRACES.name),
}


class Ledger:
    """Sends records and remembers what must be in the tables."""

    def __init__(self, lake: Lake, rng: random.Random) -> None:
        self.lake = lake
        self.spools = [make.spool_of(rng) for _ in range(NUM_PARTITIONS)]
        self.next_seq = [0] * NUM_PARTITIONS
        self.event_ids: list[str] = []
        self.spans: list[tuple[str, int]] = []
        self.child_edges: list[tuple[str, int]] = []
        self.traces: list[tuple[str, int]] = []
        self.rng = rng
        # How many records lie in each partition.
        self.num_sent: Counter[tuple[str, int]] = Counter()

    def send(self, num_records: int) -> None:
        """Send that many source records, with what the stitcher would make of them."""
        for _ in range(num_records):
            number = self.rng.randrange(NUM_PARTITIONS)
            self._send_one(number, self.rng.randint(1, 20))
        self.lake.flush()

    def _send_one(self, number: int, num_events: int) -> None:
        first = self.next_seq[number]
        self.next_seq[number] += num_events
        batch = make.event_batch(self.spools[number], first, num_events)
        self._put(EVENTS.name, make.encode(batch), number)
        self.event_ids += [event.event_id for event in batch.events]
        trace_id, rev = f"trace-{number}-{first // 50}", first
        spans = [make.span(trace_id, f"span-{number}-{seq}", rev) for seq in range(first, first + num_events)]
        value = make.encode(make.span_batch(rev, spans))
        self._put(SPANS.name, value, number)
        if self.rng.random() < 0.1:
            # The stitcher crashed and says the same again.
            self._put(SPANS.name, value, number)
        self.spans += [(span.span_id, rev) for span in spans]
        self._put(TRACES.name, make.encode(make.trace_batch(rev, [make.trace(trace_id, rev)])), number)
        self.traces.append((trace_id, rev))

    def _put(self, topic: str, value: bytes, partition: int) -> None:
        self.lake.produce(topic, value, partition)
        self.num_sent[topic, partition] += 1

    def is_drained(self) -> bool:
        """Whether all tables say that they have read to the end of their topics."""
        return all(self._has_read(table, topics) for table, topics in READS.items())

    def _has_read(self, table: str, topics: tuple[str, ...]) -> bool:
        sources = self.lake.progress(table).sources
        return all(
            topic not in topics or (topic in sources and sources[topic].next_offset.get(partition, 0) >= num_records)
            for (topic, partition), num_records in self.num_sent.items()
        )

    def check(self) -> None:
        """Compare the tables, revisions and all, with what was sent."""
        events = self.lake.rows("events")
        assert Counter(events["event_id"].to_pylist()) == Counter(self.event_ids)
        spans = self.lake.rows("spans")
        assert Counter(zip(spans["span_id"].to_pylist(), spans["rev"].to_pylist(), strict=True)) == Counter(self.spans)
        traces = self.lake.rows("traces")
        found = zip(traces["trace_id"].to_pylist(), traces["rev"].to_pylist(), strict=True)
        assert Counter(found) == Counter(self.traces)
        edges = self.lake.rows("edges").to_pylist()
        children = Counter((edge["src_id"], edge["rev"]) for edge in edges if edge["kind"] == "CHILD_OF")
        assert children == Counter(self.spans)
        owned = {edge["dst_id"] for edge in edges if edge["kind"] == "OWNS"}
        assert owned == {trace_id for trace_id, _ in self.traces}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_kill_9_at_any_moment_loses_and_doubles_nothing(lake: Lake, seed: int) -> None:
    rng = random.Random(seed)
    ledger = Ledger(lake, rng)
    for _ in range(NUM_ROUNDS):
        sink = lake.start_sink()
        ledger.send(NUM_RECORDS_PER_ROUND)
        wait_until(partial(sink.has_logged, "reading_from"), "the sink reads")
        # Commits come every 0.2 s, so a moment within the first second is often amid one.
        time.sleep(rng.uniform(0, 1.0))
        sink.end(signal.SIGKILL)
    ledger.send(NUM_RECORDS_PER_ROUND)
    lake.start_sink()
    wait_until(ledger.is_drained, "all tables have their rows")
    ledger.check()


def test_sigterm_commits_what_is_buffered(lake: Lake) -> None:
    ledger = Ledger(lake, random.Random(3))
    sink = lake.start_sink(CLAWTRACE_SINK_COMMIT_SECONDS="600", CLAWTRACE_SINK_SLOW_COMMIT_SECONDS="600")
    ledger.send(20)
    lake.produce(ALERTS.name, make.encode(make.alert_batch(1)))
    lake.produce(CARDS.name, make.encode(make.card_batch(1)))
    lake.flush()
    taken = f'clawtrace_sink_records_total{{topic="{EVENTS.name}"}}'
    wait_until(lambda: sink.metric(taken) > 0, "the sink has events")
    wait_until(lambda: sink.metric("clawtrace_sink_buffered_bytes") > 0, "and keeps them")
    assert lake.num_rows("events") == 0
    assert sink.end(signal.SIGTERM) == 0
    assert lake.num_rows("events") > 0
    lake.start_sink()
    wait_until(ledger.is_drained, "all tables have their rows")
    wait_until(lambda: lake.num_rows("alerts") == lake.num_rows("cards") == 1, "alert and card are stored")
    ledger.check()
