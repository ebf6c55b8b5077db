"""A batch is taken apart event by event: bad ones are set aside, neighbours stay unharmed."""

import json

import msgspec
import pytest

from infra.runtime.topics import MAX_RECORD_BYTES
from producers.contracts.event import EventBatch, Source, decode_event_batch
from producers.contracts.wire import MAX_EVENT_BYTES, MAX_EVENTS, WireBatch
from producers.gateway.batch import (
    UnreadableBatch,
    decode_batch,
    encode_records,
    normalise_batch,
    salvage_batch,
    split_events,
)

SPOOL_ID = "0b0e9f1a-6a60-5b53-8a55-0d7c5ad1a002"
HEAD = b'{"schema_version":1,"source":{"name":"test"},"spool_id":"' + SPOOL_ID.encode() + b'","events":['
GOOD = b'{"seq":%d,"at_us":1,"hook":"llm_input","event":{"runId":"r"},"ctx":{}}'


def read(body: bytes) -> WireBatch:
    return decode_batch(body) or salvage_batch(body)


HOSTILE = {
    "bad UTF-8": b'{"seq":1,"at_us":1,"hook":"x","event":{"a":"\xff\xfe"},"ctx":{}}',
    "bad UTF-8 in an id": b'{"seq":1,"at_us":1,"hook":"x","event":{"runId":"\xff"},"ctx":{}}',
    "bad UTF-8 in the hook": b'{"seq":1,"at_us":1,"hook":"\xff","event":{},"ctx":{}}',
    "no object": b"17",
    "null": b"null",
    "text seq": b'{"seq":"1","at_us":1,"hook":"x","event":{},"ctx":{}}',
    "negative seq": b'{"seq":-1,"at_us":1,"hook":"x","event":{},"ctx":{}}',
    "fraction": b'{"seq":1,"at_us":1.5,"hook":"x","event":{},"ctx":{}}',
    "huge number": b'{"seq":1e309,"at_us":1,"hook":"x","event":{},"ctx":{}}',
    "too many digits": b'{"seq":1' + b"0" * 400 + b',"at_us":1,"hook":"x","event":{},"ctx":{}}',
    "no hook": b'{"seq":1,"at_us":1,"event":{},"ctx":{}}',
    "odd hook": b'{"seq":1,"at_us":1,"hook":"../etc","event":{},"ctx":{}}',
    "event is a list": b'{"seq":1,"at_us":1,"hook":"x","event":[],"ctx":{}}',
    "ctx is text": b'{"seq":1,"at_us":1,"hook":"x","event":{},"ctx":"c"}',
    "null byte in an id": b'{"seq":1,"at_us":1,"hook":"x","event":{"runId":"a\\u0000"},"ctx":{}}',
    "raw null byte": b'{"seq":1,"at_us":1,"hook":"x","event":{"runId":"a\x00"},"ctx":{}}',
    "NaN": b'{"seq":1,"at_us":1,"hook":"x","event":{"a":NaN},"ctx":{}}',
    "trailing comma": b'{"seq":1,"at_us":1,"hook":"x","event":{},"ctx":{},}',
    "deep": b'{"seq":1,"at_us":1,"hook":"x","event":{"a":' + b"[" * 10_000 + b"]" * 10_000 + b'},"ctx":{}}',
    "deep and unread": b'{"seq":1,"at_us":1,"hook":"x","zzz":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "depth 100": b'{"seq":1,"at_us":1,"hook":"x","event":{"a":' + b"[" * 100 + b"]" * 100 + b'},"ctx":{}}',
    "long id": b'{"seq":1,"at_us":1,"hook":"x","event":{"runId":"' + b"r" * 600 + b'"},"ctx":{}}',
    "too large": b'{"seq":1,"at_us":1,"hook":"x","event":{"a":"' + b"a" * MAX_EVENT_BYTES + b'"},"ctx":{}}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_neighbours_of_a_hostile_event_are_unharmed(name: str) -> None:
    hostile = HOSTILE[name]
    batch = read(HEAD + b", ".join([GOOD % 0, hostile, GOOD % 2]) + b"]}")
    events, aside = normalise_batch(SPOOL_ID, batch.events)
    assert [event.seq for event in events] == [0, 2]
    assert [(item.rejection.index, item.raw) for item in aside] == [(1, hostile)]
    assert 0 < len(aside[0].rejection.error) <= 300


def test_reasons_name_the_field() -> None:
    batch = read(HEAD + HOSTILE["text seq"] + b"," + HOSTILE["no hook"] + b"]}")
    _, aside = normalise_batch(SPOOL_ID, batch.events)
    assert "seq" in aside[0].rejection.error
    assert "hook" in aside[1].rejection.error


def test_half_an_emoji_is_repaired_and_taken() -> None:
    event = b'{"seq":1,"at_us":1,"hook":"x","event":{"runId":"r","text":"cut \\ud83d"},"ctx":{}}'
    events, aside = normalise_batch(SPOOL_ID, read(HEAD + event + b"]}").events)
    assert not aside
    assert msgspec.json.decode(events[0].payload)["event"]["text"] == "cut \ufffd"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"not json", "body"),
        (b"[]", "body"),
        (b'{"schema_version":1', "body"),
        (HEAD + GOOD % 0, "body"),
        (HEAD + GOOD % 0 + b"]} trailing", "body"),
        (HEAD + b'{"seq":1,"at_us":1,"hook":"x","event":{"a":"never closed}]}', "body"),
        (b"[" * 100_000, "body"),
        (
            b'{"schema_version":2,"source":{"name":"t"},"spool_id":"' + SPOOL_ID.encode() + b'","events":[1]}',
            "schema_version",
        ),
        (b'{"source":{"name":"t"},"spool_id":"' + SPOOL_ID.encode() + b'","events":[1]}', "schema_version"),
        (b'{"schema_version":1,"source":{},"spool_id":"' + SPOOL_ID.encode() + b'","events":[1]}', "source.name"),
        (b'{"schema_version":1,"source":{"name":"t"},"spool_id":"1","events":[1]}', "spool_id"),
        (HEAD + b"]}", "events"),
        (HEAD[:-1] + b'"text"}', "events"),
        (HEAD + b",".join([b"1"] * (MAX_EVENTS + 1)) + b"]}", "events"),
    ],
)  # fmt: skip
def test_a_broken_head_names_its_field(body: bytes, field: str) -> None:
    with pytest.raises(UnreadableBatch) as caught:
        read(body)
    assert caught.value.field == field
    assert str(caught.value)


def test_events_are_found_behind_traps() -> None:
    body = b'{"x":{"events":[9]},"y":"\\"events\\":[8]","z":"events", "events" : [ {"a":"],["} , [1,[2]] ] ,"q":1}'
    assert split_events(body) == (
        body[: body.index(b'[ {"a"') + 1],
        [b'{"a":"],["}', b"[1,[2]]"],
        b'] ,"q":1}',
    )


def batch_of(num_events: int, payload_bytes: int) -> EventBatch:
    event = {"runId": "r", "text": "x" * payload_bytes}
    wire = [
        msgspec.Raw(json.dumps({"seq": seq, "at_us": 1, "hook": "x", "event": event, "ctx": {}}).encode())
        for seq in range(num_events)
    ]
    events, aside = normalise_batch(SPOOL_ID, wire)
    assert not aside
    return EventBatch(
        tenant_id="tenant1",
        agent_id="a",
        source=Source(name="t"),
        spool_id=SPOOL_ID,
        received_at_us=1,
        events=events,
    )


@pytest.mark.parametrize(
    ("num_events", "payload_bytes"), [(1, 10), (50, 1_000), (3, 400_000), (9, 450_000), (4000, 900)]
)
def test_records_are_small_enough_and_keep_every_event_in_order(num_events: int, payload_bytes: int) -> None:
    batch = batch_of(num_events, payload_bytes)
    records = encode_records(batch)
    assert max(map(len, records)) <= MAX_RECORD_BYTES
    decoded = [decode_event_batch(record) for record in records]
    assert [event.seq for part in decoded for event in part.events] == list(range(num_events))
    assert {(part.tenant_id, part.spool_id, part.received_at_us) for part in decoded} == {("tenant1", SPOOL_ID, 1)}
    total = sum(map(len, records))
    assert len(records) <= total // MAX_RECORD_BYTES * 2 + 1
