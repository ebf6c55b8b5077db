"""What the window keeps, what it puts out, and what it says about that."""

from typing import Any

import msgspec

from api.live.hub import Arrival, LiveHub, RepeatFilter
from api.live.position import Layout, is_behind, place_value
from api.live.records import Decoded, decode_record
from api.live.window import Entry, LiveWindow
from tests.integration.api.live_topics import spans_of, traces_of, verdict_of

MINUTE_US = 60_000_000
encode = msgspec.json.encode


def entry_of(tenant_id: str, offset: int, at_us: int, *span_ids: str, trace_id: str = "t", place: int = 0) -> Entry:
    decoded = decode_record(0, encode(spans_of(tenant_id, offset, *span_ids, trace_id=trace_id)))
    position = [0, 0]
    position[place] = place_value(offset + 1)
    return Entry(tenant_id, place, offset, at_us, decoded.items, tuple(position))


def window_of(**limits: Any) -> LiveWindow:
    given = {"max_age_us": 15 * MINUTE_US, "tenant_bytes": 10**6, "total_bytes": 10**7, **limits}
    return LiveWindow((0, 0), **given)


def test_old_entries_go_and_the_floor_says_so() -> None:
    window = window_of()
    for number in range(20):
        window.add(entry_of("tenant1", number, number * MINUTE_US, f"s{number}"))
    log = window.log("tenant1")
    assert [entry.offset for entry in log.read(0, 100)] == list(range(4, 20))
    assert window.floor("tenant1") == (place_value(4), 0)
    assert window.floor("tenant2") == (0, 0)
    assert (log.first, log.next, log.num_items_before(log.first)) == (4, 20, 4)


def test_one_tenant_does_not_push_out_another() -> None:
    window = window_of(tenant_bytes=20_000)
    window.add(entry_of("small", 0, 1, "s"))
    for number in range(1, 200):
        window.add(entry_of("large", number, 1, f"s{number}"))
    assert len(window.log("small").read(0, 10)) == 1
    assert window.log("large").num_bytes <= 20_000
    assert window.log("large").next == 199


def test_all_tenants_together_stay_within_their_bytes() -> None:
    window = window_of(total_bytes=50_000)
    for number in range(300):
        window.add(entry_of(f"tenant{number % 7}", number, 1, f"s{number}"))
    assert window.num_bytes <= 50_000
    assert window.num_bytes == sum(window.log(f"tenant{number}").num_bytes for number in range(7))


def test_a_trace_has_its_newest_revisions_until_they_go() -> None:
    window = window_of()
    window.add(entry_of("tenant1", 0, 0, "s1", "s2"))
    window.add(entry_of("tenant1", 1, 10 * MINUTE_US, "s1"))
    trace = window.log("tenant1").traces["t"]["agent"]
    assert {span.span_id: span.rev for span in trace.span_values()} == {"s1": 1, "s2": 0}
    window.forget_before(5 * MINUTE_US)
    assert {span.span_id: span.rev for span in trace.span_values()} == {"s1": 1}
    window.forget_before(11 * MINUTE_US)
    assert window.log("tenant1").traces == {}
    assert window.num_bytes == 0


def arrival_of(place: int, offset: int, decoded: Decoded | None) -> Arrival:
    return Arrival(place, offset, 1, decoded)


def hub_of() -> LiveHub:
    layout = Layout((2,))
    return LiveHub(layout, (0, 0), (place_value(5), 0), max_age_us=MINUTE_US, tenant_bytes=10**6, total_bytes=10**6)


def test_each_entry_knows_where_its_reader_is() -> None:
    hub = hub_of()
    spans = [decode_record(0, encode(spans_of("tenant1", rev, f"s{rev}"))) for rev in (1, 2, 3)]
    foreign = decode_record(0, encode(spans_of("tenant2", 4, "x")))
    hub.accept(
        [arrival_of(0, 0, spans[0]), arrival_of(1, 0, foreign), arrival_of(0, 1, None), arrival_of(0, 2, spans[1])]
    )
    hub.accept([arrival_of(1, 1, decode_record(0, encode(spans_of("tenant1", 5, "s5"))))])
    positions = [entry.position for entry in hub.window.log("tenant1").read(0, 9)]
    assert positions == [
        (place_value(1), 0),
        (place_value(3), place_value(1)),
        (place_value(3), place_value(2)),
    ]
    assert not is_behind(hub.read_until, positions[-1])
    # A stream that begins now does not begin before the topics' end at the start.
    assert hub.now == (place_value(5), place_value(2))


def test_repeats_are_told_per_partition_and_part() -> None:
    repeats = RepeatFilter()
    first = decode_record(0, encode(spans_of("tenant1", 7, "s")))
    part = decode_record(0, encode(spans_of("tenant1", 7, "s", part=1)))
    assert [repeats.is_new(0, one) for one in (first, first, part, part, first)] == [True, False, True, False, False]
    assert repeats.is_new(1, first)


def test_verdicts_are_told_apart_by_their_ids() -> None:
    repeats = RepeatFilter()
    one, other = (decode_record(3, encode(verdict_of("tenant1", 7, name))) for name in ("v1", "v2"))
    assert [repeats.is_new(0, it) for it in (one, other, one)] == [True, True, False]


def test_payloads_do_not_come_in() -> None:
    decoded = decode_record(0, encode(spans_of("tenant1", 1, "s", input="secret", output="secret")))
    assert b"secret" not in decoded.items[0].packed
    assert decode_record(1, encode(traces_of("tenant1", 1, "t"))).items[0].trace_id == "t"
