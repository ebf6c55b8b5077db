"""Which tool calls are the same step of a task.

Upstream: the runs.
Downstream: checks, savings, precedence.
Guarantee: the notion of rule ``redundant_tool_calls``: the same tool, and normalised arguments that are at least 80 %
similar. Calls whose arguments were not recorded are the same as nothing, and prove no absence either.
"""

from collections.abc import Iterable

from api.learn.costcraft.runs import TaskRun, ToolStep
from stream_jobs.likeness import DEFAULT_MIN_PERCENT, is_similar


def is_same_step(one: ToolStep, other: ToolStep, min_percent: int = DEFAULT_MIN_PERCENT) -> bool:
    """Whether two calls are the same step."""
    if one.tool_name != other.tool_name or not one.asked or not other.asked:
        return False
    return one.asked == other.asked or is_similar(one.units, other.units, min_percent)


def is_same_call(one: ToolStep, other: ToolStep) -> bool:
    """Whether two calls ask exactly the same, but for what changes by chance."""
    return one.tool_name == other.tool_name and bool(one.asked) and one.asked == other.asked


def calls_of_step(run: TaskRun, step: ToolStep) -> list[ToolStep]:
    """Return the calls of a step within a run, in the order they began."""
    found: list[ToolStep] = []
    for calls in run.calls_by_text.get(step.tool_name, {}).values():
        if is_same_step(calls[0], step):
            found += calls
    return sorted(found, key=_by_start)


def most_calls_of_step(run: TaskRun, step: ToolStep) -> int:
    """Return how often a run may have done a step: a call of the tool with unknown arguments may have been one."""
    unknown = run.calls_by_text.get(step.tool_name, {}).get("", ())
    return len(calls_of_step(run, step)) + len(unknown)


def wasted_repeats(calls: Iterable[ToolStep]) -> list[ToolStep]:
    """Return the calls that asked exactly what an earlier one did and were answered the same."""
    seen: set[tuple[str, str]] = set()
    wasted = []
    for call in calls:
        what = (call.key, call.answered)
        if call.answered and what in seen:
            wasted.append(call)
        seen.add(what)
    return wasted


def steps_among(calls: Iterable[ToolStep], limit: int) -> list[ToolStep]:
    """Return one call for each step: the first that is no repeat of another, for at most so many steps."""
    found: list[ToolStep] = []
    seen: set[str] = set()
    for call in sorted(calls, key=_by_start):
        if call.asked and call.key not in seen and not any(is_same_step(call, other) for other in found):
            found.append(call)
            if len(found) == limit:
                break
        seen.add(call.key)
    return found


def is_reading_a_skill(step: ToolStep) -> bool:
    """Whether a call reads a SKILL.md: without it nothing of what was learnt is followed."""
    return "skill.md" in step.asked.lower()


def _by_start(step: ToolStep) -> tuple[int, str]:
    return step.started_at_us, step.span_id
