"""Where an agent's records lay, and where ticks were: what silver.events does not say."""

from datetime import UTC, datetime

import msgspec
import pytest

from lakehouse.rebuild.sources import _batches, _murmur2, _ticks, partition_of
from producers.contracts.event import decode_event_batch


@pytest.mark.parametrize(
    ("key", "hashed"),
    # From the tests of Kafka's own client, as signed numbers.
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)],
)
def test_keys_are_hashed_as_kafka_does(key: bytes, hashed: int) -> None:
    assert _murmur2(key) == hashed % 2**32
    assert partition_of("acme01", "laptop", 1) == 0


def test_ticks_fill_the_gap_evenly() -> None:
    ticks = list(_ticks(3, (10, 1_000), (14, 5_000)))
    assert [(it.partition, it.offset) for it in ticks] == [(3, 11), (3, 12), (3, 13)]
    assert [decode_event_batch(it.value).tick_at_us for it in ticks] == [2_000, 3_000, 4_000]
    assert list(_ticks(3, (10, 1_000), (11, 5_000))) == []


def test_rows_of_one_record_are_one_batch_again() -> None:
    def row(rev: int, agent_id: str, seq: int) -> dict[str, object]:
        names = ("run_id", "session_key", "session_id", "openclaw_agent_id", "tool_call_id", "call_id", "payload_ref")
        return dict.fromkeys((*names, "parent_span_id", "source_version", "source_host_version")) | {
            "rev": rev,
            "tenant_id": "acme01",
            "agent_id": agent_id,
            "spool_id": "spool",
            "received_at": datetime(2026, 3, 4, 5, 6, 7, 123_457, UTC),
            "source_name": "test",
            "seq": seq,
            "event_id": f"e{seq}",
            "hook": "llm_output",
            "at_us": 5,
            "payload": '{"event":{},"ctx":{}}',
            "trace_id": "t",
            "span_id": "s",
        }

    found = list(_batches([row(1, "a", 1), row(1, "a", 2), row(1, "b", 3), row(2, "a", 4)], 4))
    assert [(rev, batch.agent_id, [event.seq for event in batch.events]) for _, rev, batch in found] == [
        (1, "a", [1, 2]),
        (1, "b", [3]),
        (2, "a", [4]),
    ]
    first = found[0][2]
    assert first.received_at_us == 1_772_600_767_123_457
    assert first.events[0].payload == msgspec.Raw(b'{"event":{},"ctx":{}}')
    assert first.events[0].trace is not None
    assert first.events[0].trace.trace_id == "t"
