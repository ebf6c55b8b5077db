"""Why one run has cost more than another of its task: the difference, blamed on steps.

Upstream: ``steps`` of both, their ``cache_breaks``; ``tree_diff`` aligns them.
Downstream: GET /v1/traces/{trace_id}/why, ``clawtrace why``; the alert of a dear run links to it.
Guarantee: pure; the amounts of all items add up to the difference of the costs, exactly, in 1e-12 dollars.

The trees are aligned as in ``tree_diff``; model calls are aligned with model calls, whatever their models. Of a pair,
the difference is taken apart in this order, each part in 1e-12 dollars and the last one the rest:

- ``dearer_model``: what the tokens of the first cost by the price of the second, less what they did cost.
- ``cache_break``: what breaks of the cache have cost in the one, less in the other (see ``cache_breaks``).
- ``longer_output``: the difference in output tokens, by the price of the second.
- ``larger_prompt``: all that is left.

A call that only one of them has is ``repeats`` when it is of a second attempt, or when all tools that it led to had
been called before for the same; else its break of the cache is ``cache_break``, and the rest ``more_calls``. Where one
of a pair has no price, the difference is ``unpriced``. A part below zero means that the second run was cheaper there.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from producers.contracts.pricing.price import MTOK
from stream_jobs.core.detect.redundant_tool_calls import MARK
from stream_jobs.core.learn.cache_breaks import CacheBreak
from stream_jobs.core.learn.steps import RunSteps, Step, e12_of
from stream_jobs.core.learn.tree_diff import Change, Difference, Label, Spans, diff_traces

BlameReason = Literal[
    "more_calls", "repeats", "larger_prompt", "longer_output", "cache_break", "dearer_model", "unpriced"
]


class Blame(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the difference; ``amount`` is in 1e-12 dollars, a step that one run does not have is None."""

    reason: BlameReason
    change: Change
    path: tuple[str, ...]
    before: Step | None
    after: Step | None
    amount: int


class RunDiff(msgspec.Struct, frozen=True, kw_only=True):
    """The whole difference, in 1e-12 dollars, the largest amounts first."""

    cost_before: int
    cost_after: int
    items: list[Blame]

    @property
    def reasons(self) -> dict[BlameReason, int]:
        """The sum of each reason, the largest first."""
        sums: dict[BlameReason, int] = {}
        for item in self.items:
            sums[item.reason] = sums.get(item.reason, 0) + item.amount
        return dict(sorted(sums.items(), key=lambda it: (-abs(it[1]), it[0])))


def explain(
    before: RunSteps, after: RunSteps, breaks_before: Sequence[CacheBreak], breaks_after: Sequence[CacheBreak]
) -> RunDiff:
    """Blame what the second run cost more than the first."""
    first, second = _Side(before, breaks_before), _Side(after, breaks_after)
    diff = diff_traces(before, after, _label)
    items = [item for one in diff.differences for item in _items(one, first, second) if item.amount]
    items.sort(key=lambda it: (-abs(it.amount), it.path, it.reason))
    return RunDiff(cost_before=diff.before.cost, cost_after=diff.after.cost, items=items)


class _Side:
    """One run with what is known of its calls."""

    def __init__(self, run: RunSteps, breaks: Sequence[CacheBreak]) -> None:
        self.run = run
        self._break_costs: Mapping[str, int] = {it.span_id: e12_of(it.cost_usd or Decimal(0)) for it in breaks}
        self._below = run.children()[1]
        self._repeats = _repeats(run)

    def step(self, index: int) -> Step:
        return self.run.steps[index]

    def cost(self, index: int) -> int:
        return self.run.cost[index] or 0

    def break_cost(self, index: int) -> int:
        return self._break_costs.get(self.step(index).span_id, 0)

    def is_repeat(self, index: int) -> bool:
        return index in self._repeats

    def subtree(self, index: int, path: tuple[str, ...]) -> Iterator[tuple[int, tuple[str, ...]]]:
        waiting = [(index, path)]
        while waiting:
            here, at = waiting.pop()
            yield here, at
            waiting += ((child, (*at, self.step(child).name)) for child in self._below[here])


def _label(spans: Spans, index: int) -> Label:
    kind = spans.kind[index]
    return kind, "" if kind == "model_call" else spans.name[index]


def _items(one: Difference, first: _Side, second: _Side) -> Iterator[Blame]:
    if one.before is not None and one.after is not None:
        was, now = first.step(one.before), second.step(one.after)
        for reason, amount in _parts(first, one.before, second, one.after):
            yield Blame(reason=reason, change=one.change, path=one.path, before=was, after=now, amount=amount)
        return
    side, index, sign = (first, one.before, -1) if one.before is not None else (second, one.after, 1)
    assert index is not None
    for at, path in side.subtree(index, one.path):
        step = side.step(at)
        was_step, now_step = (step, None) if sign < 0 else (None, step)
        for reason, amount in _parts_of_one(side, at):
            yield Blame(
                reason=reason, change=one.change, path=path, before=was_step, after=now_step, amount=sign * amount
            )


def _parts_of_one(side: _Side, index: int) -> Iterator[tuple[BlameReason, int]]:
    cost = side.cost(index)
    if side.is_repeat(index):
        yield "repeats", cost
        return
    of_break = min(side.break_cost(index), cost)
    yield "cache_break", of_break
    yield "more_calls", cost - of_break


def _parts(first: _Side, before: int, second: _Side, after: int) -> Iterator[tuple[BlameReason, int]]:
    was, now = first.step(before), second.step(after)
    rest = second.cost(after) - first.cost(before)
    price = second.run.price(now)
    if (was.cost_usd is None) != (now.cost_usd is None):
        yield "unpriced", rest
        return
    if price is not None and was.usage is not None and now.usage is not None:
        dearer = e12_of(price.cost_usd(was.usage)) - first.cost(before)
        of_break = second.break_cost(after) - first.break_cost(before)
        outputs = (it.output_tokens * price.output.at(it.prompt_tokens) / MTOK for it in (now.usage, was.usage))
        longer = e12_of(next(outputs) - next(outputs))
        yield "dearer_model", dearer
        yield "cache_break", of_break
        yield "longer_output", longer
        rest -= dearer + of_break + longer
    yield "larger_prompt", rest


def _repeats(run: RunSteps) -> set[int]:
    """Model calls that did again what was done: of a later attempt, or with nothing but redundant tools after them."""
    found = {index for index, it in enumerate(run.steps) if it.kind == "model_call" and it.attempt > 1}
    asked: dict[str, tuple[int, list[bool]]] = {}

    def close(run_id: str) -> None:
        index, marks = asked.pop(run_id, (-1, []))
        if marks and all(marks):
            found.add(index)

    for index, step in enumerate(run.steps):
        if step.kind == "model_call":
            close(step.run_id)
            asked[step.run_id] = index, []
        elif step.kind == "tool_call" and step.run_id in asked:
            asked[step.run_id][1].append(MARK in step.flags)
    for run_id in list(asked):
        close(run_id)
    return found
