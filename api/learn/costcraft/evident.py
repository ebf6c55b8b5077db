"""Patches that the runs show by themselves, without asking a model.

Upstream: the runs of a task.
Downstream: api/learn/costcraft/craft.py, which checks these like any others.
Guarantee: the same runs give the same patches. What all good runs did is kept; what a cheaper good run did without, or
less often, is pruned by its example; what was asked again and answered the same is limited; a call that failed is
replaced by a like one that worked later in the same run. Calls that write are never pruned: what they make may be what
the run was for.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

from api.learn.costcraft.likeness import (
    calls_of_step,
    is_reading_a_skill,
    is_same_call,
    is_same_step,
    most_calls_of_step,
    steps_among,
    wasted_repeats,
)
from api.learn.costcraft.patches import MAX_CALLS, MAX_EVIDENCE, MAX_PATCHES, Patch, Preserve, Prune, Repair, SpanRef
from api.learn.costcraft.runs import Task, TaskRun, ToolStep

_WRITING_TOOLS: Final = frozenset({"write", "edit", "apply_patch", "write_file", "create_file"})
_MAX_OF_A_KIND: Final = MAX_PATCHES // 3
# Of each run so many steps are looked at, those first that it did most often.
_MAX_STEPS: Final = 30
# So many calls later it is no longer the answer to a failure.
_MAX_WAY: Final = 20
# Less like than a repeat: a path corrected in the middle of a command is still the same thing, done right.
_REPAIR_PERCENT: Final = 50


def evident_patches(task: Task) -> list[Patch]:
    """Return what the runs show."""
    repairs = _repairs(task)
    failing = [step for patch in repairs if (step := task.find(patch.step.trace_id, patch.step.span_id)) is not None]
    return [
        *repairs[:_MAX_OF_A_KIND],
        *_first(_prunes(task, failing), _MAX_OF_A_KIND),
        *_first(_preserves(task), _MAX_OF_A_KIND),
    ]


def _first(patches: Iterator[Patch], limit: int) -> list[Patch]:
    return [patch for patch, _ in zip(patches, range(limit), strict=False)]


def _repairs(task: Task) -> list[Repair]:
    found: list[tuple[ToolStep, Repair]] = []
    for run in task.good_runs:
        steps = sorted(run.steps, key=lambda it: (it.started_at_us, it.span_id))
        for place, step in enumerate(steps):
            if not step.is_failed or not step.asked or any(is_same_call(step, known) for known, _ in found):
                continue
            fix = next((it for it in steps[place + 1 : place + 1 + _MAX_WAY] if _mends(it, step)), None)
            if fix is not None:
                why = "It failed, and the call after it worked."
                patch = Repair(kind="repair", step=_ref(run, step), fix=_ref(run, fix), why=why)
                found.append((step, patch))
    return [patch for _, patch in found]


def _mends(fix: ToolStep, step: ToolStep) -> bool:
    return not fix.is_failed and is_same_step(fix, step, _REPAIR_PERCENT) and not is_same_call(fix, step)


def _prunes(task: Task, failing: list[ToolStep]) -> Iterator[Patch]:
    """Yield what can go, the dearest runs first."""
    seen: list[ToolStep] = []
    for run in _by_cost(task.runs.values()):
        for step in steps_among(_often_called(run), _MAX_STEPS):
            if step.tool_name in _WRITING_TOOLS or is_reading_a_skill(step):
                continue
            if any(is_same_step(step, other) for other in seen):
                continue
            if any(is_same_call(step, other) for other in failing):
                continue
            patch = _prune(task, run, step)
            if patch is not None:
                seen.append(step)
                yield patch


def _prune(task: Task, run: TaskRun, step: ToolStep) -> Prune | None:
    calls = calls_of_step(run, step)
    examples = [
        (most_calls_of_step(other, step), other.cost_usd or Decimal(0), other.trace_id)
        for other in task.good_runs
        if _is_cheaper(other, run)
    ]
    num_calls, _, example = min(examples, default=(len(calls), Decimal(0), ""))
    if num_calls < len(calls) and num_calls <= MAX_CALLS:
        why = "A run that ended well and cost no more did it less often."
        return Prune(
            kind="prune",
            step=_ref(run, step),
            max_calls=num_calls,
            counterfactual_trace_id=example,
            why=why,
        )
    num_needed = len(calls) - len(wasted_repeats(calls))
    if 0 < num_needed < len(calls) and num_needed <= MAX_CALLS:
        why = "Asked again, it answered the same."
        return Prune(kind="prune", step=_ref(run, step), max_calls=num_needed, why=why)
    return None


def _preserves(task: Task) -> Iterator[Patch]:
    good = task.good_runs
    if not good:
        return
    first, *others = good
    for step in steps_among(first.steps, _MAX_STEPS):
        same = [next((it for it in calls_of_step(run, step) if not it.is_failed), None) for run in others]
        if step.is_failed or is_reading_a_skill(step) or any(it is None for it in same):
            continue
        evidence = [_ref(run, it) for run, it in zip(others, same, strict=True) if it is not None]
        yield Preserve(
            kind="preserve",
            step=_ref(first, step),
            evidence=evidence[:MAX_EVIDENCE],
            section="artifact_checklist" if step.tool_name in _WRITING_TOOLS else "workflow",
            why="Every run that ended well did it.",
        )


def _often_called(run: TaskRun) -> list[ToolStep]:
    """Return the calls that were made most often, exactly alike, and as many of the others as make the number full."""
    groups = [calls for by_text in run.calls_by_text.values() for text, calls in by_text.items() if text]
    groups.sort(key=lambda calls: (-len(calls), calls[0].started_at_us, calls[0].span_id))
    return [call for calls in groups[: 4 * _MAX_STEPS] for call in calls]


def _by_cost(runs: Iterable[TaskRun]) -> list[TaskRun]:
    return sorted(runs, key=lambda it: (-(it.cost_usd or Decimal(0)), it.trace_id))


def _is_cheaper(other: TaskRun, run: TaskRun) -> bool:
    """Whether a run can be the example for another one."""
    if other.trace_id == run.trace_id or other.cost_usd is None or run.cost_usd is None:
        return False
    return other.cost_usd <= run.cost_usd


def _ref(run: TaskRun, step: ToolStep) -> SpanRef:
    return SpanRef(trace_id=run.trace_id, span_id=step.span_id)
