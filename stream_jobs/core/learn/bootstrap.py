"""How sure the difference of two means is: a studentised bootstrap, over strata.

Upstream: ``comparison``.
Downstream: the same.
Guarantee: pure and seeded: the same values and seed give the same interval on every machine. Runs of different tasks
are never mixed: each stratum is drawn from by itself and weighs as many runs as it has.

Method: bootstrap-t (Efron and Tibshirani, An Introduction to the Bootstrap, chapter 12). Costs of runs are skewed and
samples small; there it keeps its promise better than percentiles do. Where over one draw in a hundred has no spread at
all, studentising means nothing, and the percentiles of the drawn differences are taken.
"""

import math
import random
from collections.abc import Sequence
from operator import mul
from typing import Final, NamedTuple

NUM_RESAMPLES: Final = 1_000
# Beyond this the newest count; a thousand draws of more take seconds and change nothing that anybody would see.
MAX_VALUES: Final = 400
MAX_FLAT_SHARE: Final = 0.01


class Stratum(NamedTuple):
    """Values of runs of one task: before and after. Two or more on either side."""

    old: Sequence[float]
    new: Sequence[float]


class Interval(NamedTuple):
    """Bounds that hold the true value with the stated confidence, and how they were found."""

    low: float
    high: float
    method: str


class _Moments(NamedTuple):
    difference: float
    error: float


def weights_of(strata: Sequence[Stratum]) -> list[float]:
    """Return how much each stratum weighs: its share of all runs."""
    counts = [len(it.old) + len(it.new) for it in strata]
    return [count / sum(counts) for count in counts]


def mean_difference(strata: Sequence[Stratum]) -> float:
    """Return mean of new minus mean of old, over the strata."""
    return _moments(strata, weights_of(strata)).difference


def difference_interval(
    strata: Sequence[Stratum], *, seed: int, confidence: float = 0.95, num_resamples: int = NUM_RESAMPLES
) -> Interval:
    """Return the interval of mean of new minus mean of old.

    Raises:
        ValueError: there is no stratum, or one with fewer than two values on a side.
    """
    if not strata or any(min(len(it.old), len(it.new)) < 2 for it in strata):
        raise ValueError("an interval needs two values on either side")
    weights = weights_of(strata)
    seen = _moments(strata, weights)
    if seen.error == 0:
        return Interval(seen.difference, seen.difference, "no-spread")
    rng = random.Random(seed)
    drawn = [_moments([_draw(rng, it) for it in strata], weights) for _ in range(num_resamples)]
    tail = (1 - confidence) / 2
    if sum(it.error == 0 for it in drawn) > MAX_FLAT_SHARE * num_resamples:
        found = sorted(it.difference for it in drawn)
        return Interval(_quantile(found, tail), _quantile(found, 1 - tail), "percentile")
    ratios = sorted((it.difference - seen.difference) / it.error for it in drawn if it.error)
    low, high = _quantile(ratios, tail), _quantile(ratios, 1 - tail)
    # A large ratio means that the draw was too high, so it bounds from below.
    return Interval(seen.difference - high * seen.error, seen.difference - low * seen.error, "bootstrap-t")


def _draw(rng: random.Random, stratum: Stratum) -> Stratum:
    return Stratum(rng.choices(stratum.old, k=len(stratum.old)), rng.choices(stratum.new, k=len(stratum.new)))


def _moments(strata: Sequence[Stratum], weights: Sequence[float]) -> _Moments:
    difference = variance = 0.0
    for weight, (old, new) in zip(weights, strata, strict=True):
        mean_old, variance_old = _mean(old)
        mean_new, variance_new = _mean(new)
        difference += weight * (mean_new - mean_old)
        variance += weight * weight * (variance_old + variance_new)
    return _Moments(difference, math.sqrt(variance))


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the variance of that mean."""
    num = len(values)
    mean = sum(values) / num
    # Sums of squares lose the last digits; what is left of equal values is no spread.
    spread = sum(map(mul, values, values)) / num - mean * mean
    if spread <= 1e-12 * mean * mean or num < 2:
        return mean, 0.0
    return mean, spread / (num - 1)


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
