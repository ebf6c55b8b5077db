"""Records that are sent again, topics that are made anew, offsets that the log does not have, records nobody reads."""

import random

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from infra.runtime.kafka import missing_topics, provision_topics
from lakehouse.contracts.tables import TABLES
from lakehouse.sink.progress import PROPERTY, TableProgress
from producers.contracts.topics import EVENTS
from stream_jobs.contracts.topics import SPANS
from tests.integration.lakehouse.lake import DEADLINE_S, KAFKA_TIMEOUT_S, Lake, wait_until
from tests.unit.lakehouse import records as make


def _span_record(rev: int, part: int = 0) -> bytes:
    return make.encode(make.span_batch(rev, [make.span("t1", f"s{rev}-{part}", rev)], part))


def test_records_at_or_below_the_mark_are_dropped(lake: Lake) -> None:
    for rev, part in ((5, 0), (5, 1), (6, 0)):
        lake.produce(SPANS.name, _span_record(rev, part))
    lake.flush()
    sink = lake.start_sink()
    wait_until(lambda: lake.num_rows("spans") == 3, "three spans")
    for rev, part in ((5, 0), (5, 1), (6, 0), (7, 0)):
        lake.produce(SPANS.name, _span_record(rev, part))
    # Another partition has a mark of its own.
    lake.produce(SPANS.name, _span_record(2), partition=1)
    lake.flush()
    wait_until(lambda: lake.num_rows("spans") == 5, "two more")
    wait_until(lambda: sink.metric('clawtrace_sink_dropped_duplicates_total{table="spans"}') == 3, "and three dropped")
    wait_until(lambda: lake.progress("edges").sources[SPANS.name].next_offset == {0: 7, 1: 1}, "edges follow")
    assert lake.progress("spans").sources[SPANS.name].next_mark == {0: (7, 1), 1: (2, 1)}


def test_topic_made_anew_is_read_from_its_start(lake: Lake) -> None:
    rng = random.Random(1)
    first, second = make.spool_of(rng), make.spool_of(rng)
    for seq in range(3):
        lake.produce(EVENTS.name, make.event_record(first, seq, 1))
    lake.flush()
    sink = lake.start_sink()
    wait_until(lambda: lake.num_rows("events") == 3, "three events")
    sink.end(9)
    topic = f"{lake.name}.{EVENTS.name}"
    admin = AdminClient({"bootstrap.servers": lake.stack.kafka_bootstrap})
    admin.delete_topics([topic])[topic].result(KAFKA_TIMEOUT_S)
    wait_until(lambda: missing_topics(lake.stack.kafka_bootstrap, [topic]) == [topic], "the topic is gone")
    provision_topics(lake.stack.kafka_bootstrap, lake.topics())
    for seq in range(2):
        lake.produce(EVENTS.name, make.event_record(second, seq, 1))
    lake.flush()
    again = lake.start_sink()
    wait_until(lambda: lake.num_rows("events") == 5, "two more events")
    assert "topic_made_anew" in again.log()


def test_offsets_beyond_the_log_stop_the_sink_with_words(lake: Lake) -> None:
    spool = make.spool_of(random.Random(2))
    lake.produce(EVENTS.name, make.event_record(spool, 0, 1))
    lake.flush()
    sink = lake.start_sink()
    wait_until(lambda: lake.num_rows("events") == 1, "one event")
    sink.end(15)
    progress = lake.progress("events")
    progress.sources[EVENTS.name].next_offset[0] = 1000
    with lake.table("events").transaction() as transaction:
        transaction.set_properties({PROPERTY: progress.to_json()})
    stopped = lake.start_sink()
    assert stopped.process.wait(DEADLINE_S) == 1
    assert "the log ends at 1" in stopped.log()
    assert lake.num_rows("events") == 1


def test_unreadable_records_go_to_the_dead_letters_as_they_were(lake: Lake) -> None:
    spool = make.spool_of(random.Random(3))
    fine = make.event_record(spool, 0, 2)
    bad = [b"", b"{", b"\xff\xfe", b'{"schema_version":1}', b"[" * 5000]
    # Right by contract, but no column holds such a number.
    too_big = make.encode(make.span_batch(1, [make.span("t1", "s1", 1, input_tokens=2**63)]))
    for value in [*bad, fine]:
        lake.produce(EVENTS.name, value)
    lake.produce(SPANS.name, too_big)
    lake.produce(SPANS.name, _span_record(2))
    lake.flush()
    lake.start_sink()
    wait_until(lambda: lake.num_rows("events") == 2 and lake.num_rows("spans") == 1, "what is fine is stored")
    letters = _read_all(lake, f"{EVENTS.name}.dlq", len(bad))
    assert [value for value, _ in letters] == bad
    assert letters[1][1]["original_topic"] == f"{lake.name}.{EVENTS.name}"
    assert [headers["original_offset"] for _, headers in letters] == ["0", "1", "2", "3", "4"]
    assert {headers["stage"] for _, headers in letters} == {"sink"}
    (letter,) = _read_all(lake, f"{SPANS.name}.dlq", 1)
    assert letter[0] == too_big
    assert "spans.input_tokens" in letter[1]["reason"]


def test_too_many_unreadable_records_stop_the_sink(lake: Lake) -> None:
    for _ in range(5):
        lake.produce(EVENTS.name, b"{")
    lake.flush()
    sink = lake.start_sink(CLAWTRACE_SINK_MAX_CONSECUTIVE_DEAD="3")
    assert sink.process.wait(DEADLINE_S) == 1
    assert "cannot be read" in sink.log()
    assert all(lake.progress(spec.name) == TableProgress() for spec in TABLES)


def test_too_many_records_that_fit_no_column_stop_the_sink(lake: Lake) -> None:
    for rev in range(1, 6):
        lake.produce(
            SPANS.name, make.encode(make.span_batch(rev, [make.span("t1", f"s{rev}", rev, input_tokens=2**63)]))
        )
    lake.flush()
    sink = lake.start_sink(CLAWTRACE_SINK_MAX_CONSECUTIVE_DEAD="3")
    assert sink.process.wait(DEADLINE_S) == 1
    assert "5 records do not fit spans" in sink.log()
    assert lake.progress("spans") == TableProgress()


def _read_all(lake: Lake, topic: str, num_records: int) -> list[tuple[bytes, dict[str, str]]]:
    consumer = Consumer(
        {
            "bootstrap.servers": lake.stack.kafka_bootstrap,
            "group.id": f"{lake.name}.letters",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    found: list[tuple[bytes, dict[str, str]]] = []

    def poll() -> bool:
        for message in consumer.consume(10, timeout=0.5):
            if message.error() is not None:
                continue
            headers = {name: bytes(value or b"").decode() for name, value in message.headers() or []}
            found.append((message.value() or b"", headers))
        return len(found) >= num_records

    try:
        consumer.subscribe([f"{lake.name}.{topic}"])
        wait_until(poll, f"{num_records} dead letters")
    finally:
        consumer.close()
    return found
