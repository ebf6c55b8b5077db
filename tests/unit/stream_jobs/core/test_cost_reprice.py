"""Pricing again: the named calls change, and their run and trace by the same amount; nothing else, and only once."""

import random
from decimal import Decimal

import msgspec
import pytest

from producers.contracts.event import Event
from producers.contracts.reprice import MAX_SPANS
from stream_jobs.contracts.span import Span
from stream_jobs.core.cost import PriceBook
from tests.unit.stream_jobs.core.stitching import PRICES, Replay, events_of, lines_of, make_event

SCENARIO = "subagent"
NOW_MS = 1_795_500_000_000
NEW = PriceBook.from_toml(
    "".join(
        f'[[price]]\nprovider = "fake"\nmodel = "{model}"\ninput_usd_per_mtok = "4"\noutput_usd_per_mtok = "20"\n'
        for model in ("sim-1", "sim-small", "sim-2")
    )
)


def stitched(pricer: PriceBook = PRICES) -> tuple[Replay, int]:
    events = events_of(lines_of(SCENARIO))
    return Replay(pricer=pricer).feed_each(events, 7), len(events)


def ask(seq: int, calls: list[Span], pricer: PriceBook) -> Event:
    spans = []
    for call in calls:
        price = pricer.find_price("acme01", call.provider or "", call.model or "", call.started_at_us)
        spans.append({"span_id": call.span_id, "price_id": price.price_id if price else ""})
    return make_event(seq, "reprice", NOW_MS, {"spans": spans, "reason": "test"}, {})


def test_only_the_named_call_and_those_above_it_change() -> None:
    replay, seq = stitched()
    before_spans, before_traces = dict(replay.spans), dict(replay.traces)
    call = replay.of_kind("model_call")[1]
    replay.pricer = NEW
    result = replay.feed([ask(seq, [call], NEW)])
    after = replay.spans[call.span_id]
    assert after.cost_usd is not None
    assert call.cost_usd is not None
    difference = after.cost_usd - call.cost_usd
    assert difference != 0
    assert after.cost_usd == (
        4 * Decimal(call.input_tokens + call.cache_read_tokens + call.cache_write_tokens) + 20 * call.output_tokens
    ) / Decimal(1_000_000)
    changed = {key for key, span in replay.spans.items() if without_rev(span) != without_rev(before_spans[key])}
    (run,) = (it for it in replay.spans.values() if it.kind == "run" and it.run_id == call.run_id)
    assert changed == {call.span_id, run.span_id}
    assert run.run_cost_usd - before_spans[run.span_id].run_cost_usd == difference
    (trace,) = result.traces
    assert trace.cost_usd - before_traces[trace.trace_id].cost_usd == difference
    assert sum(it.cost_usd for it in result.spends) == difference
    assert sum(it.num_tokens for it in result.spends) == 0
    assert {it.at_us for it in result.spends} == {call.started_at_us}


def test_twice_changes_nothing() -> None:
    replay, seq = stitched()
    calls = replay.of_kind("model_call")
    replay.pricer = NEW
    replay.feed([ask(seq, calls, NEW)])
    result = replay.feed([ask(seq + 1, calls, NEW)])
    assert (result.spans, result.traces, result.spends) == ([], [], [])
    assert replay.counts["repriced_calls"] == len(calls)
    assert replay.feed([ask(seq + 1, calls, NEW)]).counts == {"duplicates": 1}


@pytest.mark.parametrize("seed", range(5))
def test_any_order_and_split_comes_to_what_the_new_prices_say(seed: int) -> None:
    rng = random.Random(seed)
    expected, _ = stitched(NEW)
    replay, seq = stitched()
    asked = [ask(seq + number, [call], NEW) for number, call in enumerate(replay.of_kind("model_call"))]
    rng.shuffle(asked)
    replay.pricer = NEW
    for event in [*asked, *asked[:2]]:
        replay.feed([event])
    assert {key: without_rev(it) for key, it in replay.spans.items()} == {
        key: without_rev(it) for key, it in expected.spans.items()
    }
    assert {key: msgspec.structs.replace(it, rev=0) for key, it in replay.traces.items()} == {
        key: msgspec.structs.replace(it, rev=0) for key, it in expected.traces.items()
    }


def test_before_its_call_it_says_nothing() -> None:
    whole, seq = stitched(NEW)
    replay = Replay(pricer=NEW)
    replay.feed([ask(seq, whole.of_kind("model_call"), NEW)])
    assert replay.counts["reprice_unknown_calls"] == len(whole.of_kind("model_call"))
    replay.feed_each(events_of(lines_of(SCENARIO)), 7)
    assert {key: it.cost_usd for key, it in replay.spans.items()} == {
        key: it.cost_usd for key, it in whole.spans.items()
    }


def test_another_price_than_expected_changes_nothing() -> None:
    replay, seq = stitched()
    result = replay.feed([ask(seq, replay.of_kind("model_call"), NEW)])
    assert result.spans == []
    assert result.counts["reprice_mismatches"] == len(replay.of_kind("model_call"))


def test_a_price_that_is_gone_makes_the_cost_unknown() -> None:
    nothing = PriceBook.from_toml("")
    replay, seq = stitched()
    calls = replay.of_kind("model_call")
    replay.pricer = nothing
    replay.feed([ask(seq, calls, nothing)])
    assert {it.cost_usd for it in replay.of_kind("model_call")} == {None}
    assert {it.run_cost_usd for it in replay.of_kind("run")} == {None}
    assert sum(it.num_unpriced_calls for it in replay.traces.values()) == len(calls)


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({}, "spans"),
        ({"spans": []}, "spans"),
        ({"spans": [{"span_id": "a"}]}, "price_id"),
        ({"spans": [{"span_id": "a", "price_id": ""}] * (MAX_SPANS + 1)}, "spans"),
        ({"spans": [{"span_id": "", "price_id": ""}]}, "span_id"),
    ],
)
def test_what_is_no_request_is_refused_at_the_door(event: dict[str, object], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        make_event(0, "reprice", NOW_MS, event, {})


def without_rev(span: Span) -> Span:
    return msgspec.structs.replace(span, rev=0, link_rev=0)
