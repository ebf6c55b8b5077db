"""What a comparison of two versions says, and what it leaves unsaid."""

import random
from decimal import Decimal

import pytest

from stream_jobs.core.learn.comparison import Comparison, MeasureComparison, compare
from stream_jobs.core.learn.runs import Run
from tests.unit.stream_jobs.learn.runs_made import run, runs


def measure(found: Comparison, name: str) -> MeasureComparison:
    return next(it for it in found.measures if it.measure == name)


def varied(prefix: str, usd: float, num: int, seed: int, **more: object) -> list[Run]:
    rng = random.Random(seed)
    return runs(prefix, [usd * (0.8 + 0.4 * rng.random()) for _ in range(num)], **more)


def test_a_cheaper_version_is_better_with_bounds_below_nothing() -> None:
    found = compare(varied("a", 0.30, 12, 1, num_tool_calls=9), varied("b", 0.12, 9, 2, num_tool_calls=4))
    cost = measure(found, "cost_usd")
    assert (found.verdict, cost.verdict, found.num_old, found.num_new) == ("better", "better", 12, 9)
    assert cost.low is not None
    assert cost.high is not None
    assert cost.low < Decimal("-0.17") < cost.high < 0
    assert cost.percent is not None
    assert -65 < cost.percent < -55
    calls = measure(found, "num_tool_calls")
    assert (calls.difference, calls.low, calls.high, calls.method) == (-5, -5, -5, "no-spread")
    assert found.sentence.startswith("The new one is better: a run costs")
    assert compare(varied("b", 0.12, 9, 2), varied("a", 0.30, 12, 1)).verdict == "worse"


def test_the_same_runs_give_the_same_answer() -> None:
    old, new = varied("a", 0.30, 12, 1), varied("b", 0.29, 9, 2)
    assert compare(old, new) == compare(old, new)
    assert compare(old, new).verdict == "no_difference"


@pytest.mark.parametrize(("num_old", "num_new"), [(0, 0), (4, 30), (30, 4), (1, 9), (0, 9)])
def test_few_runs_prove_nothing_however_far_apart(num_old: int, num_new: int) -> None:
    found = compare(varied("a", 9.0, num_old, 1), varied("b", 0.1, num_new, 2))
    assert found.verdict == "not_enough_runs"
    assert {it.verdict for it in found.measures} == {"not_enough_runs"}
    assert found.sentence.startswith("Not enough runs")


def test_a_version_that_got_the_harder_task_is_not_blamed_for_it() -> None:
    hard, easy = {"task_id": "hard"}, {"task_id": "easy"}
    old = [*varied("a", 0.1, 20, 1, **easy), *varied("b", 1.0, 6, 2, **hard)]
    new = [*varied("c", 0.08, 6, 3, **easy), *varied("d", 0.6, 20, 4, **hard)]
    found = compare(old, new)
    cost = measure(found, "cost_usd")
    # Taken together the new runs cost half as much again; task by task they cost less.
    assert cost.new.mean is not None
    assert cost.old.mean is not None
    assert cost.new.mean > Decimal("1.4") * cost.old.mean
    assert (found.verdict, found.tasks) == ("better", ("easy", "hard"))
    alone = compare([*old, *varied("e", 5.0, 9, 5, task_id="only before")], new)
    assert (alone.num_left_out, alone.verdict) == (9, "better")


def test_failing_more_is_worse_whatever_it_saves() -> None:
    old = varied("a", 0.3, 20, 1)
    new = [*varied("b", 0.1, 8, 2), *varied("c", 0.1, 12, 3, status="error")]
    found = compare(old, new)
    assert measure(found, "cost_usd").verdict == "better"
    assert (found.failures.old.num_failed, found.failures.new.num_failed) == (0, 12)
    assert found.failures.low > 0
    assert found.verdict == "worse"
    assert "runs fail 0 % of the time before, 60 % after" in found.sentence


def test_without_prices_tool_calls_decide() -> None:
    old = [run(f"a{n}", None, num_tool_calls=10 + n % 3) for n in range(8)]
    new = [run(f"b{n}", None, num_tool_calls=4 + n % 3) for n in range(8)]
    found = compare(old, new)
    assert (measure(found, "cost_usd").verdict, found.verdict) == ("not_enough_runs", "better")
    # A few unpriced runs are left out of the costs, and only there.
    mixed = compare([*varied("a", 0.3, 7, 1), *old], [*varied("b", 0.1, 7, 2), *new])
    assert (measure(mixed, "cost_usd").old.num_runs, measure(mixed, "num_tool_calls").old.num_runs) == (7, 15)


def test_of_many_runs_the_newest_count() -> None:
    long_ago, lately = varied("a", 9.0, 500, 1), varied("b", 0.1, 400, 2)
    assert compare([*long_ago, *lately], varied("c", 0.1, 400, 3)).verdict == "no_difference"
