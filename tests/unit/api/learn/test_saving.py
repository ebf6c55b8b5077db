"""What is said to be saved is what the run costs less without the calls."""

from dataclasses import replace
from decimal import Decimal

import pytest

from api.learn.costcraft.patches import Patch
from api.learn.costcraft.runs import Task, TaskRun
from api.learn.costcraft.saving import Saving, removed_by, saving_of
from tests.unit.api.learn.making import (
    RunMaker,
    failing,
    frugal,
    preserve,
    prune,
    ref,
    repair,
    task_of,
    three_runs,
    wasteful,
)


def saved_by(task: Task, *patches: Patch) -> Saving:
    return saving_of([removed_by(patch, task) for patch in patches], task)


def usd_between(dear: TaskRun, cheap: TaskRun) -> Decimal:
    assert dear.cost_usd is not None
    assert cheap.cost_usd is not None
    return dear.cost_usd - cheap.cost_usd


def is_near(usd: Decimal | None, wanted: Decimal, percent: int = 2) -> bool:
    return usd is not None and abs(usd - wanted) * 100 <= wanted * percent


@pytest.mark.parametrize("num_polls", [2, 3, 9])
def test_repeats_save_what_a_run_without_them_costs_less(num_polls: int) -> None:
    dear, cheap = wasteful("a", num_polls), wasteful("c", 1)
    saved = saved_by(task_of(dear, frugal("b")), prune(ref("a", 2), 1))
    assert saved.num_tool_calls == saved.num_model_calls == num_polls - 1
    assert is_near(saved.usd, usd_between(dear, cheap))


@pytest.mark.parametrize("result_tokens", [10, 500, 40_000])
def test_a_large_result_is_saved_in_every_later_call(result_tokens: int) -> None:
    def run(trace_id: str, *, with_motd: bool) -> TaskRun:
        made = RunMaker(trace_id).use("read", path="notes.txt")
        if with_motd:
            made.use("read", path="/etc/motd-of-the-day", result_tokens=result_tokens)
        return made.use("exec", command="make").use("write", path="report.md").end()

    dear, cheap = run("a", with_motd=True), run("b", with_motd=False)
    saved = saved_by(task_of(dear, cheap), prune(ref("a", 1), 0, "b"))
    assert (saved.num_tool_calls, saved.num_model_calls, saved.num_affected_runs, saved.num_runs) == (1, 1, 1, 2)
    assert is_near(saved.usd, usd_between(dear, cheap))


def test_a_repair_saves_the_call_that_fails() -> None:
    dear = failing("f")
    cheap = RunMaker("b").use("read", path="docs/notes.txt").use("write", path="report.md").end()
    saved = saved_by(task_of(dear), repair(ref("f", 0), ref("f", 1)))
    assert saved.num_tool_calls == 1
    assert is_near(saved.usd, usd_between(dear, cheap))


def test_all_together_is_as_if_all_had_held() -> None:
    dear, cheap = wasteful("a", 5), frugal("b")
    patches = (prune(ref("a", 1), 0, "b"), prune(ref("a", 2), 1, "b"))
    task = task_of(dear, cheap)
    together, alone = saved_by(task, *patches), [saved_by(task, patch) for patch in patches]
    assert together.num_tool_calls == sum(it.num_tool_calls for it in alone) == 5
    assert is_near(together.usd, usd_between(dear, cheap))
    # The same patch twice saves once.
    assert saved_by(task, *patches, *patches) == together


def test_to_keep_something_saves_nothing() -> None:
    saved = saved_by(three_runs(), preserve(ref("a", 0), ref("b", 0)))
    assert saved.usd == 0
    assert (saved.num_tool_calls, saved.num_affected_runs) == (0, 0)


def test_what_a_tool_call_started_goes_with_it() -> None:
    run = RunMaker("a").use("sessions_spawn", task="look around the whole house").use("write", path="x").end()
    inner = RunMaker("sub").use("read", path="deep").end()
    below = frozenset({"a-t0"})
    steps = tuple(replace(step, run_id="sub", ancestors=below) for step in inner.steps)
    calls = tuple(replace(call, run_id="sub", ancestors=below) for call in inner.calls)
    whole = replace(run, steps=run.steps + steps, calls=run.calls + calls)
    without = RunMaker("b").use("write", path="x").end()
    saved = saved_by(task_of(whole, without), prune(ref("a", 0), 0, "b"))
    assert (saved.num_tool_calls, saved.num_model_calls) == (2, 3)
    assert inner.cost_usd is not None
    assert is_near(saved.usd, usd_between(run, without) + inner.cost_usd)


def test_of_a_turn_that_keeps_a_call_only_the_result_is_saved() -> None:
    run = RunMaker("a").use("read", path="notes.txt").use("write", path="report.md").end()
    both = replace(run.steps[0], span_id="a-t9", asked='{"path":"elsewhere/entirely.md"}')
    run = replace(run, steps=(*run.steps, both))
    saved = saving_of([{"a": frozenset({"a-t9"})}], task_of(run))
    assert (saved.num_tool_calls, saved.num_model_calls) == (1, 0)
    # Half of 540 tokens, read from the cache in the two calls that follow.
    assert saved.usd == 2 * 270 * Decimal("0.0000003")


def test_an_unknown_price_is_not_nothing() -> None:
    run = wasteful("a")
    unpriced = replace(run, calls=tuple(replace(call, cost_usd=None, prompt_usd=None) for call in run.calls))
    saved = saved_by(task_of(unpriced, frugal("b")), prune(ref("a", 2), 1))
    assert (saved.usd, saved.usd_per_run, saved.num_tool_calls, saved.num_model_calls) == (None, None, 3, 3)
