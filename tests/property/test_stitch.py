"""Whatever happens to events on their way, the same spans and traces come out."""

import random
from functools import cache
from typing import TypeVar

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producers.contracts.event import Event
from stream_jobs.contracts.span import Span
from stream_jobs.contracts.trace import Trace
from stream_jobs.core.intervals import add_seq, is_gapless
from tests.captures import AGENT_EVENT_FILES, SCENARIOS
from tests.unit.stream_jobs.core.stitching import Replay, events_of, lines_of

CASES = [(scenario, False) for scenario in SCENARIOS] + [(scenario, True) for scenario in sorted(AGENT_EVENT_FILES)]

bounded = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

Sent = TypeVar("Sent", Span, Trace)


@cache
def case(number: int) -> tuple[list[Event], Replay]:
    scenario, merged = CASES[number]
    events = events_of(lines_of(scenario, with_agent_events=merged))
    return events, Replay().feed_each(events, len(events))


# What rules mark depends on the order in which things come: which of two calls was the second.
OWN_FLAGS = frozenset({"orphan", "payload_cut"})


def without_revs(sent: dict[str, Sent]) -> dict[str, Sent]:
    return {
        key: msgspec.structs.replace(it, rev=0, link_rev=0, flags=[flag for flag in it.flags if flag in OWN_FLAGS])
        if isinstance(it, Span)
        else msgspec.structs.replace(it, rev=0)
        for key, it in sent.items()
    }


def assert_same(left: Replay, right: Replay) -> None:
    assert without_revs(left.spans) == without_revs(right.spans)
    assert without_revs(left.traces) == without_revs(right.traces)
    assert left.rejects == right.rejects


def feed_in_pieces(events: list[Event], rng: random.Random) -> Replay:
    stitched = Replay()
    start = 0
    while start < len(events):
        size = rng.choice((1, 2, 5, 20, 100))
        stitched.feed(events[start : start + size])
        start += size
    return stitched


@bounded
@given(number=st.integers(0, len(CASES) - 1), seed=st.integers(0, 2**32))
def test_any_split_gives_the_same(number: int, seed: int) -> None:
    events, whole = case(number)
    assert_same(feed_in_pieces(events, random.Random(seed)), whole)


@bounded
@given(number=st.integers(0, len(CASES) - 1), seed=st.integers(0, 2**32))
def test_any_duplication_gives_the_same(number: int, seed: int) -> None:
    events, whole = case(number)
    rng = random.Random(seed)
    sent = [event for event in events for _ in range(rng.choice((1, 1, 2, 3)))]
    for _ in range(5):
        start = rng.randrange(len(events))
        sent[start:start] = events[: rng.randrange(len(events))][-30:] if rng.random() < 0.5 else []
    assert_same(feed_in_pieces(sent, rng), whole)


@bounded
@given(number=st.integers(0, len(CASES) - 1), seed=st.integers(0, 2**32))
def test_any_order_gives_the_same(number: int, seed: int) -> None:
    events, whole = case(number)
    rng = random.Random(seed)
    sent = list(events)
    if rng.random() < 0.5:
        rng.shuffle(sent)
    else:
        places = {event.seq: place + 20 * rng.random() for place, event in enumerate(sent)}
        sent.sort(key=lambda event: places[event.seq])
    assert_same(feed_in_pieces(sent, rng), whole)


@bounded
@given(number=st.integers(0, len(CASES) - 1), seed=st.integers(0, 2**32))
def test_silence_in_between_changes_nothing_in_the_end(number: int, seed: int) -> None:
    """Hours pass between any two events, in any order, so all that is open is closed and opened again."""
    events, whole = case(number)
    rng = random.Random(seed)
    sent = list(events)
    if rng.random() < 0.5:
        rng.shuffle(sent)
    stitched = Replay()
    for event in sent:
        stitched.feed([event])
        if rng.random() < 0.3:
            stitched.tick(stitched.now_us + rng.choice((10, 1_000, 100_000)) * 1_000_000)
    assert_same(stitched, whole)
    stitched.tick(stitched.now_us + 86_400_000_000)
    assert_same(stitched, whole)


@bounded
@given(number=st.integers(0, len(CASES) - 1), seed=st.integers(0, 2**32))
def test_what_comes_a_day_late_finds_its_place(number: int, seed: int) -> None:
    events, whole = case(number)
    rng = random.Random(seed)
    late = set(rng.sample(range(len(events)), rng.randrange(1, len(events) + 1)))
    stitched = Replay()
    stitched.feed([event for place, event in enumerate(events) if place not in late])
    for hour in range(1, 25):
        stitched.tick(hour * 3_600_000_000)
    assert not any(span.status == "running" for span in stitched.spans.values())
    stitched.feed([event for place, event in enumerate(events) if place in late])
    assert_same(stitched, whole)


@settings(max_examples=200, deadline=None)
@given(seqs=st.lists(st.integers(0, 40)), first=st.integers(0, 40), length=st.integers(0, 5))
def test_intervals_are_a_set(seqs: list[int], first: int, length: int) -> None:
    ranges: list[int] = []
    seen: set[int] = set()
    for seq in seqs:
        assert add_seq(ranges, seq) == (seq not in seen)
        seen.add(seq)
    assert ranges == sorted(ranges)
    assert is_gapless(ranges, first, first + length) == all(it in seen for it in range(first, first + length + 1))
