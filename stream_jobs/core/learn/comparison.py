"""Compares runs under one value of a label with runs under another: what each costs, does, and how sure that is.

Upstream: runs.
Downstream: ``GET /v1/compare/labels``, ``clawtrace skill compare``.
Guarantee: pure; the same runs give the same answer. Only tasks that both sides have run count, each for itself: a
version that happened to get the harder tasks is not blamed for them. Nothing is called better or worse by fewer than
``MIN_RUNS`` runs on either side, nor by a difference whose interval holds 0.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import mean, median
from typing import Final, Literal

from stream_jobs.core.learn.bootstrap import MAX_VALUES, Stratum, difference_interval, mean_difference, weights_of
from stream_jobs.core.learn.proportions import Count, newcombe, wilson
from stream_jobs.core.learn.runs import Run

Verdict = Literal["better", "worse", "no_difference", "not_enough_runs"]
Measure = Literal["cost_usd", "num_model_calls", "num_tool_calls", "num_failed_steps", "duration_ms"]

MIN_RUNS: Final = 5
CONFIDENCE: Final = 0.95
METHOD: Final = (
    "means within shared tasks, weighted by their runs; bounds by a seeded studentised bootstrap, of shares by Wilson "
    "and Newcombe"
)
# Of one task on one side; one run alone says nothing of how much runs differ.
_MIN_IN_TASK: Final = 2
_READ: Final[dict[Measure, Callable[[Run], Decimal | None]]] = {
    "cost_usd": lambda run: run.cost_usd,
    "num_model_calls": lambda run: Decimal(run.num_model_calls),
    "num_tool_calls": lambda run: Decimal(run.num_tool_calls),
    "num_failed_steps": lambda run: Decimal(run.num_failed_steps),
    "duration_ms": lambda run: Decimal(run.duration_ms),
}


@dataclass(frozen=True, slots=True)
class Side:
    """What one side came to in one measure."""

    num_runs: int
    mean: Decimal | None
    median: Decimal | None


@dataclass(frozen=True, slots=True)
class MeasureComparison:
    """One measure. ``difference`` is new minus old, within tasks; bounds and percent are None when unknown."""

    measure: Measure
    old: Side
    new: Side
    difference: Decimal | None
    low: Decimal | None
    high: Decimal | None
    percent: Decimal | None
    method: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Share:
    """Runs that did not end well, of all, with Wilson's bounds."""

    num_failed: int
    num_runs: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class FailureComparison:
    """The share of runs that did not end well."""

    old: Share
    new: Share
    difference: float
    low: float
    high: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything. ``num_left_out`` runs were of tasks that only one side has run, or once."""

    tasks: tuple[str, ...]
    num_old: int
    num_new: int
    num_left_out: int
    measures: tuple[MeasureComparison, ...]
    failures: FailureComparison
    verdict: Verdict
    sentence: str
    confidence: float = CONFIDENCE
    method: str = METHOD


def compare(old: Sequence[Run], new: Sequence[Run]) -> Comparison:
    """Compare runs; the newest stand last, and of many only the newest count."""
    old, new = old[-MAX_VALUES:], new[-MAX_VALUES:]
    pairs = _by_task(old, new)
    shared_old = [run for one, _ in pairs.values() for run in one]
    shared_new = [run for _, other in pairs.values() for run in other]
    is_enough = min(len(shared_old), len(shared_new)) >= MIN_RUNS
    measures = tuple(_measure(name, list(pairs.values())) for name in _READ)
    failures = _failures(list(pairs.values()), is_enough=is_enough)
    verdict = _overall(measures, failures) if is_enough else "not_enough_runs"
    return Comparison(
        tasks=tuple(sorted(pairs)),
        num_old=len(shared_old),
        num_new=len(shared_new),
        num_left_out=len(old) + len(new) - len(shared_old) - len(shared_new),
        measures=measures,
        failures=failures,
        verdict=verdict,
        sentence=_sentence(verdict, measures[0], failures, len(shared_old), len(shared_new)),
    )


def _by_task(old: Sequence[Run], new: Sequence[Run]) -> dict[str, tuple[list[Run], list[Run]]]:
    found: dict[str, tuple[list[Run], list[Run]]] = {}
    for place, runs in enumerate((old, new)):
        for run in runs:
            found.setdefault(run.task_id, ([], []))[place].append(run)
    return {task: pair for task, pair in sorted(found.items()) if min(map(len, pair)) >= _MIN_IN_TASK}


def _measure(name: Measure, pairs: Sequence[tuple[list[Run], list[Run]]]) -> MeasureComparison:
    values = [
        tuple([value for run in runs if (value := _READ[name](run)) is not None] for runs in pair) for pair in pairs
    ]
    known = [(before, after) for before, after in values if min(len(before), len(after)) >= _MIN_IN_TASK]
    old, new = (_side([value for pair in known for value in pair[place]]) for place in (0, 1))
    if not known:
        return MeasureComparison(name, old, new, None, None, None, None, "", "not_enough_runs")
    strata = [Stratum([float(it) for it in before], [float(it) for it in after]) for before, after in known]
    interval = difference_interval(strata, seed=_seed(name, known), confidence=CONFIDENCE)
    difference = mean_difference(strata)
    before = sum(weight * mean(it.old) for weight, it in zip(weights_of(strata), strata, strict=True))
    verdict: Verdict = "no_difference"
    if min(old.num_runs, new.num_runs) < MIN_RUNS:
        verdict = "not_enough_runs"
    elif interval.low > 0 or interval.high < 0:
        verdict = "worse" if difference > 0 else "better"
    return MeasureComparison(
        measure=name,
        old=old,
        new=new,
        difference=_rounded(difference),
        low=_rounded(interval.low),
        high=_rounded(interval.high),
        percent=_rounded(100 * difference / before, 1) if before else None,
        method=interval.method,
        verdict=verdict,
    )


def _failures(pairs: Sequence[tuple[list[Run], list[Run]]], *, is_enough: bool) -> FailureComparison:
    counts = [tuple(Count(sum(run.is_failed for run in runs), len(runs)) for runs in pair) for pair in pairs]
    strata = [(before, after) for before, after in counts]
    old, new = (_share([pair[place] for pair in strata]) for place in (0, 1))
    if not strata:
        return FailureComparison(old, new, 0.0, -1.0, 1.0, "not_enough_runs")
    num_all = sum(before.num_all + after.num_all for before, after in strata)
    weights = [(before.num_all + after.num_all) / num_all for before, after in strata]
    difference = sum(w * (after.share - before.share) for w, (before, after) in zip(weights, strata, strict=True))
    low, high = newcombe(strata, weights, CONFIDENCE)
    verdict: Verdict = "no_difference"
    if not is_enough:
        verdict = "not_enough_runs"
    elif low > 0 or high < 0:
        verdict = "worse" if difference > 0 else "better"
    return FailureComparison(old, new, round(difference, 4), round(low, 4), round(high, 4), verdict)


def _overall(measures: Sequence[MeasureComparison], failures: FailureComparison) -> Verdict:
    """Failing more is worse whatever it saves; then money decides; without prices, tool calls."""
    if failures.verdict == "worse":
        return "worse"
    decided = {it.measure: it.verdict for it in measures}
    by_cost = decided["cost_usd"]
    first = by_cost if by_cost != "not_enough_runs" else decided["num_tool_calls"]
    return failures.verdict if first == "no_difference" else first


def _sentence(
    verdict: Verdict, cost: MeasureComparison, failures: FailureComparison, num_old: int, num_new: int
) -> str:
    runs = f"{num_old} runs before and {num_new} after"
    if verdict == "not_enough_runs":
        return f"Not enough runs: {runs}, of tasks that both have run; it takes {MIN_RUNS} on either side."
    parts = []
    if failures.verdict in ("better", "worse"):
        parts.append(
            f"runs fail {_percent(failures.old.share)} of the time before, {_percent(failures.new.share)} after"
        )
    if cost.percent is not None and cost.low is not None and cost.high is not None:
        word = "more" if cost.percent > 0 else "less"
        parts.append(f"a run costs {abs(cost.percent):f} % {word} (95 %: {cost.low:f} to {cost.high:f} dollars)")
    words = {"better": "The new one is better", "worse": "The new one is worse", "no_difference": "No difference shown"}
    return f"{words[verdict]}: {'; '.join(parts) or 'by tool calls, there are no prices'}. {runs}."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _side(values: Sequence[Decimal]) -> Side:
    if not values:
        return Side(0, None, None)
    return Side(len(values), _rounded(mean(values)), _rounded(median(values)))


def _share(counts: Sequence[Count]) -> Share:
    total = Count(sum(it.num_hits for it in counts), sum(it.num_all for it in counts))
    low, high = wilson(total, CONFIDENCE)
    return Share(total.num_hits, total.num_all, round(total.share, 4), round(low, 4), round(high, 4))


def _rounded(value: float | Decimal, num_places: int = 6) -> Decimal:
    found = round(Decimal(value), num_places)
    return found.normalize() if found else Decimal(0)


def _seed(name: Measure, known: Sequence[tuple[list[Decimal], list[Decimal]]]) -> int:
    """Return a seed that follows from the values, so that nobody can choose one that suits him."""
    return int.from_bytes(hashlib.sha256(f"{name}|{known}".encode()).digest()[:8])
