"""What the parts of the bench share: pairs, figures, ledgers, and the runs they send."""

import json
from itertools import islice

import pytest

from producers.gateway.batch import decode_batch, normalise_batch
from tests.bench.harness import Check, Figure, Goal, Pairs, Part, percentile, take_turns
from tests.bench.memory import records_of, tool_calls
from tests.bench.wire_runs import RunMaker, WireTemplate
from tests.load import RunTemplate


def test_the_two_take_turns_and_neither_is_always_first() -> None:
    order: list[str] = []

    def ours() -> float:
        order.append("ours")
        return 1.0

    def baseline() -> float:
        order.append("baseline")
        return 2.0

    pairs = take_turns(ours, baseline, num_pairs=4, num_warm_up=1)

    assert order[:2] == ["ours", "baseline"]
    measured = [order[2 + 2 * number : 4 + 2 * number] for number in range(4)]
    assert measured == [["ours", "baseline"], ["baseline", "ours"]] * 2
    assert (pairs.ours, pairs.baseline) == ((1.0,) * 4, (2.0,) * 4)


def test_a_ratio_is_the_median_over_pairs_with_its_spread() -> None:
    figure = Pairs(ours=(1.0, 4.0, 3.0), baseline=(2.0, 4.0, 2.0)).figure("ratio", ("≥", 1.0))

    assert figure.value == 1.0
    assert figure.spread == pytest.approx(1.0)
    assert figure.is_reached
    assert "unsteady" in figure.spread_text


@pytest.mark.parametrize(("goal", "reached"), [(("≥", 2.0), False), (("≤", 2.0), True), (None, None)])
def test_a_goal_has_a_direction(goal: Goal | None, reached: bool | None) -> None:
    assert Figure("x", 1.0, goal=goal).is_reached is reached


def test_a_part_without_a_ledger_is_no_good() -> None:
    assert not Part("x", [Figure("fast", 1e9)]).is_good
    assert Part("x", ledger=[Check("rows", 3, 3)]).is_good
    assert not Part("x", ledger=[Check("rows", 3, 3), Check("events", 3, 2)]).is_good
    assert "DOES NOT BALANCE" in str(Check("events", 3, 2))


def test_percentiles_are_values_that_occurred() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, share) for share in (0.0, 0.5, 1.0)] == [1.0, 3.0, 5.0]


def test_each_copy_of_a_run_is_a_run_of_its_own() -> None:
    template = WireTemplate("multi-tool")
    first, again, other = (template.bodies(name) for name in ("a", "a", "b"))

    assert first == again
    assert sum(body.num_events for body in first) == template.num_events
    traces = set()
    for bodies in (first, other):
        wire = decode_batch(bodies[0].value)
        assert wire is not None
        events, aside = normalise_batch(wire.spool_id, wire.events)
        assert not aside
        assert [event.seq for event in events] == list(range(len(events)))
        traces.add((wire.spool_id, *{event.trace.trace_id for event in events if event.trace}))
    assert len({spool_id for spool_id, *_ in traces}) == len({trace_id for _, trace_id in traces}) == 2


def test_a_copy_says_what_the_capture_says() -> None:
    (body, *_) = WireTemplate("simple").bodies("copy")
    sent = json.loads(body.value)["events"]
    lines = RunTemplate("simple").lines("any")

    assert [event["hook"] for event in sent] == [line["hook"] for line in lines[: len(sent)]]
    assert [event["event"].keys() for event in sent] == [line["event"].keys() for line in lines[: len(sent)]]


def test_bodies_are_made_of_whole_runs() -> None:
    maker = RunMaker("whole", scenarios=("simple", "multi-tool"))
    wanted = sum(body.num_events for run in islice(maker.runs(), 3) for body in run)
    assert sum(body.num_events for body in RunMaker("other", ("simple", "multi-tool")).bodies(wanted)) == wanted


def test_the_large_trace_has_as_many_tool_calls_as_asked() -> None:
    lines = list(tool_calls(120))
    calls = [line["event"]["toolCallId"] for line in lines if line["hook"] == "before_tool_call"]
    assert len(calls) == len(set(calls)) == 120
    assert len(list(records_of(iter(lines)))) == -(-len(lines) // 50)
