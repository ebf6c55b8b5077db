"""A sink whose buffer is full: the tables that fill it are committed, the others wait for their time."""

import random

from lakehouse import metrics
from lakehouse.sink.feeds import FEEDS
from lakehouse.sink.session import SinkSession
from producers.contracts.topics import EVENTS
from stream_jobs.contracts.topics import SPANS
from tests.integration.lakehouse.lake import Lake, wait_until
from tests.unit.lakehouse import records as make

LIMIT_BYTES = 90_000


def _num_read(topic: str) -> float:
    (family,) = metrics.RECORDS.collect()
    return sum(it.value for it in family.samples if it.name.endswith("_total") and it.labels["topic"] == topic)


def test_only_the_tables_that_fill_the_buffer_are_committed(lake: Lake) -> None:
    never = {"sink_commit_seconds": 3600, "sink_slow_commit_seconds": 3600, "sink_mark_seconds": 3600}
    settings = lake.settings(sink_max_buffer_bytes=LIMIT_BYTES, **never)
    session = SinkSession(settings, lake.catalog, lambda seconds: False, FEEDS)
    before = _num_read(SPANS.name)
    try:
        session.open()
        lake.produce(SPANS.name, make.encode(make.span_batch(1, [make.span("t1", "s1", 1)])))
        lake.flush()

        def has_read_span() -> bool:
            session.step()
            return _num_read(SPANS.name) > before

        wait_until(has_read_span, "the span is read")
        assert lake.num_rows("spans") == 0

        spool, num_bytes, seq = make.spool_of(random.Random(1)), 0, 0
        while num_bytes < 2 * LIMIT_BYTES:
            record = make.event_record(spool, seq, 1)
            lake.produce(EVENTS.name, record)
            num_bytes, seq = num_bytes + len(record), seq + 1
        lake.flush()

        def has_committed() -> bool:
            session.step()
            return lake.num_rows("events") > 0

        wait_until(has_committed, "events make room")
        assert lake.num_rows("spans") == 0, "a commit for one row"

        session.commit_all()
        assert lake.num_rows("spans") == 1
    finally:
        session.close()
