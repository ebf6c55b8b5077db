"""The re-read bill, breaks of the cache, and what a dearer run is blamed on."""

import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_jobs.core.learn.cache_breaks import LIFE_US, LONG_LIFE_US, cache_breaks
from stream_jobs.core.learn.reread_bill import reread_bill
from stream_jobs.core.learn.run_diff import RunDiff, explain
from stream_jobs.core.learn.steps import RunSteps, Step, e12_of
from tests.captures import SCENARIOS
from tests.unit.stream_jobs.core.stitching import Replay, events_of, lines_of
from tests.unit.stream_jobs.learn.steps import BOOK, call, root, run_of, steps_of, tool, usd


def stitched(scenario: str) -> Replay:
    return Replay(pricer=BOOK).feed_each(events_of(lines_of(scenario)), 7)


def test_the_bill_of_every_capture_is_that_of_its_card() -> None:
    num_results = 0
    for scenario in SCENARIOS:
        replay = stitched(scenario)
        for trace_id, card in replay.cards.items():
            bill = reread_bill(steps_of(replay, trace_id))
            assert bill.cost_usd == card.reread_cost_usd, scenario
            listed = {(it.span_id, it.num_tokens, it.num_calls, it.cost_usd) for it in bill.results}
            assert {(it.span_id, it.num_tokens, it.num_calls, it.cost_usd) for it in card.reread_bill} <= listed
            num_results += len(card.reread_bill)
    assert num_results > 5


def test_what_is_paid_again_is_told_apart_from_the_first_reading() -> None:
    # 4,000 bytes are 1,000 tokens: fresh once for 0.003 dollars, then read from the cache twice for 0.0003 each.
    result = tool(2, result_bytes=4_000)
    calls = [call(1, input=500), call(3, input=1_000), call(4, read=1_000, input=10), call(5, read=1_000, input=10)]
    bill = reread_bill(run_of(root(), result, *calls))
    (one,) = bill.results
    assert (one.num_tokens, one.num_calls, one.cost_usd, one.again_usd) == (1_000, 3, usd("0.0036"), usd("0.0006"))
    assert (bill.cost_usd, bill.again_usd) == (one.cost_usd, one.again_usd)


def reasons(*steps: Step, earlier: Step | None = None) -> list[tuple[str, str, int]]:
    before = {} if earlier is None else {earlier.session_key: earlier}
    return [(it.span_id, it.reason, it.lost_tokens) for it in cache_breaks(run_of(root(), *steps), before)]


WARM = {"read": 10_000, "write": 2_000}


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"write": 14_000}, ("call-2", "prefix_changed", 12_000)),
        ({"read": 5_000, "write": 9_000}, ("call-2", "prefix_changed", 7_000)),
        ({"write": 14_000, "at_us": 1_000_000 + LIFE_US + 1}, ("call-2", "pause", 12_000)),
        ({"write": 14_000, "at_us": 1_000_000 + LIFE_US}, ("call-2", "prefix_changed", 12_000)),
        ({"write": 14_000, "model": "sim-2"}, ("call-2", "model_changed", 12_000)),
        ({"write": 9_000}, ("call-2", "compaction", 9_000)),
        ({"read": 12_000, "write": 2_000}, None),
        ({"read": 11_000, "write": 3_000}, None),
    ],
)
def test_a_break_has_its_reason(second: dict[str, Any], reason: tuple[str, str, int] | None) -> None:
    warm = call(1, **WARM)
    assert reasons(call(2, **second), earlier=warm) == ([] if reason is None else [reason])
    # In one trace the same, behind the cold start.
    assert reasons(warm, call(2, **second))[1:] == ([] if reason is None else [reason])


def test_an_hour_is_a_longer_life_and_a_cold_start_is_no_fall() -> None:
    kept = call(1, write=12_000, write_1h=12_000)
    assert reasons(kept) == [("call-1", "first_call", 12_000)]
    assert reasons(call(2, write=14_000, at_us=LONG_LIFE_US), earlier=kept) == [("call-2", "prefix_changed", 12_000)]
    late = call(2, write=14_000, at_us=LONG_LIFE_US + 1_000_001)
    assert reasons(late, earlier=kept) == [("call-2", "pause", 12_000)]
    # A provider that tells of no writes and no reads tells of no cache.
    assert reasons(call(1, input=9_000), call(2, input=12_000)) == []


def test_sessions_and_the_hosts_own_work_have_prompts_of_their_own() -> None:
    flush = Step(
        span_id="flush", kind="run", name="invoke_agent main (memory flush)", status="ok", started_at_us=2, run_id="f"
    )
    warm = call(1, **WARM)
    found = reasons(
        warm,
        flush,
        call(2, write=3_000, run_id="f"),
        call(3, session_key="agent:main:subagent:1", write=3_000),
        call(4, read=12_000, write=100),
    )
    assert found == [("call-1", "first_call", 2_000), ("call-3", "first_call", 3_000)]
    compaction = Step(
        span_id="c",
        kind="compaction",
        name="compaction",
        status="ok",
        started_at_us=1_500_000,
        session_key=warm.session_key,
    )
    assert reasons(compaction, call(2, write=13_000), earlier=warm) == [("call-2", "compaction", 12_000)]


def test_a_break_costs_what_its_tokens_cost_more_than_a_read() -> None:
    (found,) = cache_breaks(run_of(call(2, write=14_000)), {"agent:main:main": call(1, **WARM)})
    # Written at 3.75, where a read is 0.3 a million.
    assert found.cost_usd == usd("0.0414")
    (unpriced,) = cache_breaks(run_of(call(2, write=14_000, model="none")), {"agent:main:main": call(1, **WARM)})
    assert (unpriced.reason, unpriced.cost_usd) == ("model_changed", None)


def why(before: RunSteps, after: RunSteps) -> RunDiff:
    return explain(before, after, cache_breaks(before), cache_breaks(after))


def test_each_difference_is_blamed_on_what_made_it() -> None:
    usual = run_of(root(), call(1, input=1_000, output=100), tool(2), call(3, input=2_000, output=100))
    for after, reason, amount in (
        ([call(1, input=1_000, output=100), tool(2), call(3, input=3_000, output=100)], "larger_prompt", "0.003"),
        ([call(1, input=1_000, output=100), tool(2), call(3, input=2_000, output=300)], "longer_output", "0.003"),
        (
            [
                *(call(1, input=1_000, output=100), tool(2), call(3, input=2_000, output=100)),
                *(tool(4), call(5, input=1_000)),
            ],
            "more_calls",
            "0.003",
        ),
        (
            [
                *(call(1, input=1_000, output=100), tool(2), call(3, input=2_000, output=100)),
                *(call(4, input=1_000), tool(5, flags=("redundant",))),
            ],
            "repeats",
            "0.003",
        ),
        (
            [
                *(call(1, input=1_000, output=100), tool(2)),
                call(3, input=2_000, output=100, model="sim-2", name="chat sim-2"),
            ],
            "dearer_model",
            "-0.005",
        ),
        (
            [
                *(call(1, input=1_000, output=100), tool(2)),
                call(3, input=2_000, output=100, model="none", name="chat none"),
            ],
            "unpriced",
            "-0.0075",
        ),
    ):
        found = why(usual, run_of(root(), *after))
        assert found.reasons == {reason: e12_of(usd(amount))}, reason
    cold = run_of(root(), call(1, read=10_000, write=2_000), call(2, write=12_000))
    warm = run_of(root(), call(1, read=10_000, write=2_000), call(2, read=12_000))
    assert why(warm, cold).reasons == {"cache_break": e12_of(usd("0.0414"))}
    assert why(usual, usual).items == []


def random_run(chooser: random.Random) -> RunSteps:
    steps = [root()]
    for number in range(1, chooser.randrange(1, 12)):
        if chooser.random() < 0.4:
            flags = ("redundant",) if chooser.random() < 0.3 else ()
            steps.append(tool(number, name=chooser.choice(["execute_tool read", "execute_tool exec"]), flags=flags))
            continue
        buckets = {
            it: chooser.randrange(20_000) for it in ("input", "read", "write", "output") if chooser.random() < 0.7
        }
        model = chooser.choice(["sim-1", "sim-1", "sim-2", "none"])
        changes: dict[str, Any] = {}
        if chooser.random() < 0.2 and model != "none":
            # A price of another day.
            changes["cost_usd"] = Decimal(chooser.randrange(10**9)).scaleb(-12)
        attempt = chooser.choice([1, 1, 2])
        steps.append(call(number, model=model, name=f"chat {model}", attempt=attempt, **buckets, **changes))
    return run_of(*steps)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_parts_add_up_to_the_difference_exactly(seed: int) -> None:
    chooser = random.Random(seed)
    before, after = random_run(chooser), random_run(chooser)
    found = why(before, after)
    whole = sum((it.cost_usd or Decimal(0) for it in after.steps), Decimal(0)) - sum(
        (it.cost_usd or Decimal(0) for it in before.steps), Decimal(0)
    )
    assert sum(it.amount for it in found.items) == found.cost_after - found.cost_before == e12_of(whole)
    assert sum(found.reasons.values()) == found.cost_after - found.cost_before
    back = why(after, before)
    assert back.cost_after - back.cost_before == -(found.cost_after - found.cost_before)


def test_captures_compared_with_each_other_add_up_too() -> None:
    runs = {}
    for scenario in ("runaway", "simple", "subagent", "two-turns", "tool-error"):
        replay = stitched(scenario)
        dearest = max(replay.traces.values(), key=lambda it: it.cost_usd or Decimal(0))
        runs[scenario] = steps_of(replay, dearest.trace_id), dearest.cost_usd or Decimal(0)
    for before, cost_before in runs.values():
        for after, cost_after in runs.values():
            found = why(before, after)
            assert sum(it.amount for it in found.items) == e12_of(cost_after - cost_before)
