"""What a run would have cost without some of its tool calls.

Upstream: patches that hold; the runs of the task.
Downstream: the figures that stand beside each patch, and the total that a later round can be compared with.
Guarantee: a call is saved once, whatever number of patches takes it out. Dollars are None when the price of a call that
matters is not known, never 0 for that.

A **turn** is a model call with the tool calls that follow it. When all of them go, so does the model call, and the next
one reads the prompt that this one read. Later calls read less by what the turn had added to the prompt, at the price of
cached tokens. Of a turn that loses only some of its calls, the prompt grows less by their share. What a tool call
started (a sub-agent) goes with it.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from api.learn.costcraft.likeness import calls_of_step, is_same_call, wasted_repeats
from api.learn.costcraft.patches import Patch, Prune, Repair
from api.learn.costcraft.runs import ModelCall, Task, TaskRun, ToolStep

# Spans of tool calls by trace.
Removed = Mapping[str, frozenset[str]]

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Saving:
    """Sums over ``num_affected_runs`` of the ``num_runs`` runs looked at."""

    usd: Decimal | None
    num_tool_calls: int
    num_model_calls: int
    num_affected_runs: int
    num_runs: int

    @property
    def usd_per_run(self) -> Decimal | None:
        """Dollars of an average run."""
        return None if self.usd is None or not self.num_runs else self.usd / self.num_runs


class _PriceUnknown(Exception):
    """A call that matters has no price."""


def removed_by(patch: Patch, task: Task) -> Removed:
    """Return the tool calls that each run would not have made, had the patch held."""
    found = {trace_id: frozenset(it.span_id for it in _removed_of(patch, task, run)) for trace_id, run in _runs(task)}
    return {trace_id: span_ids for trace_id, span_ids in found.items() if span_ids}


def saving_of(removed: Iterable[Removed], task: Task) -> Saving:
    """Return what all of them together save, each call counted once."""
    together: dict[str, frozenset[str]] = {}
    for part in removed:
        for trace_id, span_ids in part.items():
            together[trace_id] = together.get(trace_id, frozenset()) | span_ids
    usd: Decimal | None = _ZERO
    num_tools = num_models = 0
    for trace_id, span_ids in sorted(together.items()):
        run = task.runs[trace_id]
        num_tools += sum(_is_gone(step.span_id, step.ancestors, span_ids) for step in run.steps)
        try:
            of_run_usd, num_calls = _save_calls(run, span_ids)
        except _PriceUnknown:
            of_run_usd, num_calls = None, _num_calls_gone(run, span_ids)
        num_models += num_calls
        usd = None if usd is None or of_run_usd is None else usd + of_run_usd
    return Saving(usd, num_tools, num_models, len(together), len(task.runs))


def _runs(task: Task) -> list[tuple[str, TaskRun]]:
    return sorted(task.runs.items())


def _removed_of(patch: Patch, task: Task, run: TaskRun) -> list[ToolStep]:
    step = task.find(patch.step.trace_id, patch.step.span_id)
    assert step is not None, "patches are checked first"
    match patch:
        case Repair():
            return [it for it in run.steps if it.is_failed and is_same_call(it, step)]
        case Prune():
            calls = calls_of_step(run, step)
            if len(calls) <= patch.max_calls:
                return []
            return wasted_repeats(calls) if patch.counterfactual_trace_id is None else calls[patch.max_calls :]
    return []


@dataclass(slots=True)
class _Turn:
    call: ModelCall
    num_tools: int = 0
    num_gone: int = 0

    @property
    def is_gone(self) -> bool:
        return self.num_tools > 0 and self.num_gone == self.num_tools


def _turns(run: TaskRun, removed: frozenset[str]) -> list[list[_Turn]]:
    """Return the turns of each run id that stays: its own, its sub-agents'."""
    turns: dict[str, list[_Turn]] = {}
    for call in sorted(run.calls, key=lambda it: (it.started_at_us, it.span_id)):
        # A call that failed read nothing that was paid for.
        if call.prompt_tokens and not call.ancestors & removed:
            turns.setdefault(call.run_id, []).append(_Turn(call))
    starts = {run_id: [turn.call.started_at_us for turn in of_run] for run_id, of_run in turns.items()}
    for step in run.steps:
        place = bisect_right(starts.get(step.run_id, ()), step.started_at_us) - 1
        if place >= 0:
            turn = turns[step.run_id][place]
            turn.num_tools += 1
            turn.num_gone += _is_gone(step.span_id, step.ancestors, removed)
    return list(turns.values())


def _save_calls(run: TaskRun, removed: frozenset[str]) -> tuple[Decimal, int]:
    """Return dollars and model calls."""
    below = [call for call in run.calls if call.ancestors & removed]
    usd = sum((_known(call.cost_usd) for call in below if call.prompt_tokens), _ZERO)
    num_calls = len(below)
    for turns in _turns(run, removed):
        saved_usd, num_gone = _save_turns(turns)
        usd, num_calls = usd + saved_usd, num_calls + num_gone
    return usd, num_calls


def _save_turns(turns: list[_Turn]) -> tuple[Decimal, int]:
    usd, num_gone = _ZERO, 0
    tokens_less = 0
    first_gone: ModelCall | None = None
    for turn, following in zip(turns, [*turns[1:], None], strict=True):
        call = turn.call
        if turn.is_gone:
            usd += _known(call.cost_usd)
            num_gone += 1
            first_gone = first_gone or call
            continue
        usd += _less(call, tokens_less)
        if first_gone is not None:
            # It reads what the first of those gone read, and not what they added; that may be dearer, when the first
            # was the one that filled the cache.
            usd += _known(call.prompt_usd) - _known(first_gone.prompt_usd)
            tokens_less += max(0, call.prompt_tokens - first_gone.prompt_tokens)
            first_gone = None
        if turn.num_gone and following is not None:
            growth = max(0, following.call.prompt_tokens - call.prompt_tokens)
            tokens_less += growth * turn.num_gone // turn.num_tools
    return usd, num_gone


def _less(call: ModelCall, tokens_less: int) -> Decimal:
    """Dollars that a call costs less when its prompt is so much shorter."""
    if not tokens_less:
        return _ZERO
    return min(tokens_less * _known(call.cached_token_usd), _known(call.prompt_usd))


def _num_calls_gone(run: TaskRun, removed: frozenset[str]) -> int:
    below = sum(bool(call.ancestors & removed) for call in run.calls)
    return below + sum(turn.is_gone for turns in _turns(run, removed) for turn in turns)


def _is_gone(span_id: str, ancestors: frozenset[str], removed: frozenset[str]) -> bool:
    return span_id in removed or bool(ancestors & removed)


def _known(usd: Decimal | None) -> Decimal:
    if usd is None:
        raise _PriceUnknown
    return usd
