"""Buffers: what makes a commit due, and what only rides along with one."""

from lakehouse.contracts.tables import EVENTS
from lakehouse.sink.buffer import TableBuffer
from lakehouse.sink.feeds import FEEDS, Record, SeenState
from lakehouse.sink.progress import TableProgress
from producers.contracts.event import encode_event_batch, make_tick
from producers.contracts.topics import EVENTS as EVENTS_TOPIC
from tests.unit.lakehouse import records as make

FEED = next(feed for feed in FEEDS if feed.topic == EVENTS_TOPIC.name)


def empty_buffer() -> TableBuffer:
    return TableBuffer(EVENTS, TableProgress(), {EVENTS_TOPIC.name: "topic-1"})


def is_due(buffer: TableBuffer) -> bool:
    return buffer.is_due(every_s=0, gather_s=0, mark_s=0)


def test_ticks_alone_lead_to_no_commit_and_their_offsets_ride_along() -> None:
    buffer = empty_buffer()
    for offset in range(3):
        buffer.skip(Record(EVENTS_TOPIC.name, 0, offset, encode_event_batch(make_tick(offset))))
    assert not buffer.has_rows
    assert not is_due(buffer)
    assert buffer.next_offset(EVENTS_TOPIC.name, 0) == 3
    value = make.event_record("spool-1", 0, 2)
    record = Record(EVENTS_TOPIC.name, 0, 3, value)
    batch = FEED.decode(value)
    buffer.take(record, None, FEED.tables["events"](batch, 3, SeenState.refreshed_every(60)), len(value))
    assert is_due(buffer)
    assert buffer.following().sources[EVENTS_TOPIC.name].next_offset == {0: 4}


def test_a_tick_read_again_takes_nothing_back() -> None:
    buffer = empty_buffer()
    for offset in (0, 1, 0):
        buffer.skip(Record(EVENTS_TOPIC.name, 0, offset, b""))
    assert buffer.next_offset(EVENTS_TOPIC.name, 0) == 2


def test_progress_without_rows_is_due_after_its_time() -> None:
    buffer = empty_buffer()
    buffer.pass_over(Record(EVENTS_TOPIC.name, 0, 0, b""), None)
    assert is_due(buffer)
    assert not buffer.is_due(every_s=0, gather_s=0, mark_s=60)


def test_a_tick_is_told_from_a_batch() -> None:
    assert FEED.decode(encode_event_batch(make_tick(7))).is_tick
    assert not FEED.decode(make.event_record("spool-1", 0, 1)).is_tick
