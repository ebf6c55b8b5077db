"""Checks a patch against the runs: is it true what it rests on?

Upstream: patches, whoever made them; the runs of the task.
Downstream: api/learn/costcraft/craft.py.
Guarantee: what passes names calls that there are. A step is left out only where a real run of the same task, here
whole, ended without error, did not do it and was not dearer; repeats are left out only where the run that did them got
the same answer again. Each refusal says which of these is not so.
"""

from api.learn.costcraft.likeness import (
    calls_of_step,
    is_reading_a_skill,
    is_same_call,
    is_same_step,
    most_calls_of_step,
    wasted_repeats,
)
from api.learn.costcraft.patches import Patch, Preserve, Prune, Refused, Repair, SpanRef, describe
from api.learn.costcraft.runs import Task, TaskRun, ToolStep

_MIN_RUNS = 2


class _Fault(Exception):
    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def check(patch: Patch, task: Task) -> Refused | None:
    """Return why a patch is refused; None when it holds."""
    try:
        match patch:
            case Preserve():
                _check_preserve(patch, task)
            case Prune():
                _check_prune(patch, task)
            case Repair():
                _check_repair(patch, task)
    except _Fault as fault:
        return Refused(describe(patch), fault.code, str(fault))
    return None


def _check_preserve(patch: Preserve, task: Task) -> None:
    step = _found(task, patch.step, "step")
    seen = set[str]()
    for number, ref in enumerate([patch.step, *patch.evidence]):
        name = f"evidence.{number - 1}" if number else "step"
        found = _found(task, ref, name)
        if not task.runs[ref.trace_id].is_ok:
            raise _Fault("run_failed", f"{name}: the run {ref.trace_id} did not end well")
        if found.is_failed:
            raise _Fault("step_failed", f"{name}: the call {ref.span_id} failed")
        if not is_same_step(found, step):
            raise _Fault("other_step", f"{name}: the call {ref.span_id} is another step")
        seen.add(ref.trace_id)
    needed = min(_MIN_RUNS, sum(run.is_ok for run in task.runs.values()))
    if len(seen) < needed:
        raise _Fault("too_little_evidence", f"evidence: name the step in {needed} runs that ended well")


def _check_prune(patch: Prune, task: Task) -> None:
    step = _found(task, patch.step, "step")
    run = task.runs[patch.step.trace_id]
    if is_reading_a_skill(step):
        raise _Fault("reads_a_skill", "step: this reads a skill, and what is not read is not followed")
    calls = calls_of_step(run, step)
    if len(calls) <= patch.max_calls:
        raise _Fault("nothing_to_prune", f"max_calls: the run has {len(calls)} calls of the step")
    if patch.counterfactual_trace_id is not None:
        _check_counterfactual(patch.counterfactual_trace_id, patch, run, step, task)
    elif patch.max_calls == 0:
        raise _Fault(
            "no_counterfactual",
            "counterfactual_trace_id: name a run that ended well without the step, or keep the step",
        )
    elif len(calls) - len(wasted_repeats(calls)) > patch.max_calls:
        raise _Fault(
            "answers_differ",
            "max_calls: so many calls were not repeated for nothing; without a counterfactual only repeats that got "
            "the same answer can go",
        )


def _check_counterfactual(trace_id: str, patch: Prune, run: TaskRun, step: ToolStep, task: Task) -> None:
    field = "counterfactual_trace_id"
    other = task.runs.get(trace_id)
    if other is None:
        raise _Fault("unknown_run", f"{field}: {trace_id} is no run of this task")
    if other.trace_id == run.trace_id:
        raise _Fault("counterfactual_is_evidence", f"{field}: this is the run that did the step")
    if not other.is_ok:
        raise _Fault("counterfactual_failed", f"{field}: the run {trace_id} did not end well")
    if not other.is_whole:
        raise _Fault("counterfactual_partial", f"{field}: not all of the run {trace_id} is known")
    if other.cost_usd is None or run.cost_usd is None:
        raise _Fault("cost_unknown", f"{field}: the cost of one of the two runs is not known")
    if other.cost_usd > run.cost_usd:
        raise _Fault("counterfactual_dearer", f"{field}: the run {trace_id} was dearer than the one with the step")
    if (num_calls := most_calls_of_step(other, step)) > patch.max_calls:
        raise _Fault("counterfactual_has_step", f"{field}: the run {trace_id} has {num_calls} calls of the step")


def _check_repair(patch: Repair, task: Task) -> None:
    step, fix = _found(task, patch.step, "step"), _found(task, patch.fix, "fix")
    if not step.is_failed:
        raise _Fault("not_failed", f"step: the call {patch.step.span_id} did not fail")
    if fix.is_failed:
        raise _Fault("step_failed", f"fix: the call {patch.fix.span_id} failed too")
    if is_same_call(step, fix):
        raise _Fault("same_call", "fix: the same call was done again; there is nothing to do otherwise")
    if not task.runs[patch.fix.trace_id].is_ok:
        raise _Fault("run_failed", f"fix: the run {patch.fix.trace_id} did not end well")
    if patch.fix.trace_id == patch.step.trace_id and fix.started_at_us < step.started_at_us:
        raise _Fault("fix_before_failure", "fix: this call came before the one that failed")


def _found(task: Task, ref: SpanRef, field: str) -> ToolStep:
    if ref.trace_id not in task.runs:
        raise _Fault("unknown_run", f"{field}: {ref.trace_id} is no run of this task")
    step = task.find(ref.trace_id, ref.span_id)
    if step is None:
        raise _Fault("unknown_span", f"{field}: the run {ref.trace_id} has no tool call {ref.span_id}")
    if not step.asked:
        raise _Fault("arguments_unknown", f"{field}: what the call {ref.span_id} asked was not recorded")
    return step
