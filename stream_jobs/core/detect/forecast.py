"""What a run will have cost at its end, given what it has cost so far and how others went on from there.

Upstream: finished runs of the same kind.
Downstream: ``cost_forecast``.
Guarantee: pure; the more of the past runs came as far as this one, the more the answer is theirs alone.

Method: development factors, as actuaries reckon claims that are still open (chain ladder: Mack, ASTIN Bulletin 23,
1993), but with the empirical distribution of the factors instead of their mean. Each finished run that made at least
as many calls says by what factor its cost still grew from that call on; quantiles of these factors, times the cost so
far, are the quantiles of the final cost. A factor does not depend on how dear a run is per call. Of a run that has
made more calls than nearly all others nothing is known but that it has lasted: then it is taken to be half-way in
the median, and to have a tenth behind it in one case of ten (Gott, Nature 363, 1993).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

# Fewer runs than this that came as far say nothing about a distribution.
MIN_ANALOGS: Final = 5


def _checkpoints() -> tuple[int, ...]:
    numbers = [1]
    while numbers[-1] < 2_000:
        numbers.append(max(numbers[-1] + 1, numbers[-1] * 5 // 4))
    return tuple(numbers)


# Numbers of calls at which the cost of a run so far is kept; between them it is interpolated.
CHECKPOINTS: Final = _checkpoints()


class FinishedRun(msgspec.Struct, array_like=True):
    """How the cost of a run grew, in micro-dollars: ``costs[i]`` after ``CHECKPOINTS[i]`` priced calls."""

    run_id: str = ""
    num_calls: int = 0
    final: int = 0
    costs: list[int] = []

    def cost_after(self, num_calls: int) -> float:
        """Return its cost after so many calls, which it did make."""
        last = (0, 0)
        for checkpoint, cost in (*zip(CHECKPOINTS, self.costs, strict=False), (self.num_calls, self.final)):
            if checkpoint == num_calls:
                return cost
            if checkpoint > num_calls:
                share = (num_calls - last[0]) / (checkpoint - last[0])
                return last[1] + share * (cost - last[1])
            last = (checkpoint, cost)
        return self.final


class Forecast(NamedTuple):
    """Quantiles of the final cost, in the unit of what was spent."""

    p50: float
    p90: float
    num_analogs: int


def forecast(runs: Sequence[FinishedRun], num_calls: int, spent: float) -> Forecast:
    """Forecast the final cost of a run that has made ``num_calls`` priced calls for ``spent``."""
    factors = []
    for run in runs:
        so_far = run.cost_after(num_calls) if run.num_calls >= num_calls else 0.0
        if so_far > 0:
            factors.append(max(1.0, run.final / so_far))
    if len(factors) < MIN_ANALOGS:
        return Forecast(2 * spent, 10 * spent, len(factors))
    return Forecast(spent * quantile(factors, 0.5), spent * quantile(factors, 0.9), len(factors))


def quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile such that the next value falls below it in just that share of cases (Weibull's positions)."""
    ordered = sorted(values)
    place = share * (len(ordered) + 1) - 1
    low = min(max(int(place), 0), len(ordered) - 1)
    high = min(low + 1, len(ordered) - 1)
    part = min(max(place - low, 0.0), 1.0)
    return ordered[low] + part * (ordered[high] - ordered[low])
