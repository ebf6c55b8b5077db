"""The runs of one task, as far as a skill can be learnt from them.

Upstream: api/learn/reading.py, from cards and spans.
Downstream: every other module of this folder.
Guarantee: plain values; money is Decimal dollars, None when no price is known, and instants are UTC microseconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from statistics import median

from stream_jobs.likeness import digest_of, units_of


@dataclass(frozen=True, kw_only=True)
class ToolStep:
    """One tool call of a run.

    ``asked`` are its arguments without what changes by chance, "" when they were not recorded; ``shown`` are they for
    people; ``answered`` is a digest of what came back, "" when that was not recorded. ``ancestors`` are the ids of the
    spans that it lies in.
    """

    span_id: str
    run_id: str
    tool_name: str
    asked: str
    shown: str
    answered: str
    is_failed: bool
    started_at_us: int
    ancestors: frozenset[str] = frozenset()

    @cached_property
    def units(self) -> str:
        """What is compared with other calls."""
        return units_of(self.asked)

    @cached_property
    def key(self) -> str:
        """Eight hex digits that calls of the same tool with the same arguments share."""
        return digest_of(self.tool_name, self.asked)[:8]


@dataclass(frozen=True, kw_only=True)
class ModelCall:
    """One model call: what it cost, and what of that its prompt was.

    ``cached_token_usd`` is the price of one prompt token that is read from the cache.
    """

    span_id: str
    run_id: str
    started_at_us: int
    prompt_tokens: int = 0
    cost_usd: Decimal | None = None
    prompt_usd: Decimal | None = None
    cached_token_usd: Decimal | None = None
    ancestors: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class TaskRun:
    """One finished run. ``is_ok`` when its root ended without error; ``is_whole`` when every step of it is here."""

    trace_id: str
    is_ok: bool
    is_whole: bool = True
    cost_usd: Decimal | None = None
    num_tool_calls: int = 0
    num_model_calls: int = 0
    steps: tuple[ToolStep, ...] = ()
    calls: tuple[ModelCall, ...] = ()

    @cached_property
    def step_of_span(self) -> Mapping[str, ToolStep]:
        """Tool calls by the id of their span."""
        return {step.span_id: step for step in self.steps}

    @cached_property
    def calls_by_text(self) -> Mapping[str, Mapping[str, Sequence[ToolStep]]]:
        """Tool calls by tool and by what they asked: what is asked again is compared once."""
        found: dict[str, dict[str, list[ToolStep]]] = {}
        for step in self.steps:
            found.setdefault(step.tool_name, {}).setdefault(step.asked, []).append(step)
        return found


@dataclass(frozen=True, kw_only=True)
class Task:
    """All runs of one task of one agent that are looked at. ``name`` is what the agent was asked."""

    agent_id: str
    task_id: str
    name: str = ""
    runs: Mapping[str, TaskRun] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """Eight hex digits of the task."""
        return digest_of(self.agent_id, self.task_id)[:8]

    @cached_property
    def good_runs(self) -> tuple[TaskRun, ...]:
        """Runs that ended without error and are here whole, by their ids."""
        return tuple(run for _, run in sorted(self.runs.items()) if run.is_ok and run.is_whole)

    def find(self, trace_id: str, span_id: str) -> ToolStep | None:
        """Return a tool call; None when the run has none of that id, or is none of this task."""
        run = self.runs.get(trace_id)
        return None if run is None else run.step_of_span.get(span_id)


def middle_usd(runs: tuple[TaskRun, ...]) -> Decimal | None:
    """Return the median cost of runs whose cost is known; None when there is none."""
    costs = [run.cost_usd for run in runs if run.cost_usd is not None]
    return median(costs) if costs else None
