"""How sure a share of runs is, and the difference of two shares.

Upstream: ``comparison``, ``worse_version``.
Downstream: the same.
Guarantee: pure; shares of 0 and 1 and handfuls of runs give sensible bounds too, within -1 and 1.

Methods: Wilson's score interval for one share; for a difference Newcombe's hybrid of two of them (method 10 of
Newcombe, Statistics in Medicine 17, 1998), summed over strata with their weights; Fisher's exact test for "more often".
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple


class Count(NamedTuple):
    """So many of so many runs."""

    num_hits: int
    num_all: int

    @property
    def share(self) -> float:
        """Hits of all; 0 of none."""
        return self.num_hits / self.num_all if self.num_all else 0.0


def wilson(count: Count, confidence: float = 0.95) -> tuple[float, float]:
    """Return the bounds of a share; (0, 1) when there is no run."""
    if not count.num_all:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    num, share = count.num_all, count.share
    middle = (share + z * z / (2 * num)) / (1 + z * z / num)
    reach = z / (1 + z * z / num) * math.sqrt(share * (1 - share) / num + z * z / (4 * num * num))
    # At the ends the bound is exact, whatever rounding makes of it.
    low = 0.0 if count.num_hits == 0 else max(middle - reach, 0.0)
    high = 1.0 if count.num_hits == num else min(middle + reach, 1.0)
    return low, high


def newcombe(
    pairs: Sequence[tuple[Count, Count]], weights: Sequence[float], confidence: float = 0.95
) -> tuple[float, float]:
    """Return the bounds of share of new minus share of old; pairs are (old, new), one a stratum."""
    difference = below = above = 0.0
    for weight, (old, new) in zip(weights, pairs, strict=True):
        old_low, old_high = wilson(old, confidence)
        new_low, new_high = wilson(new, confidence)
        difference += weight * (new.share - old.share)
        below += weight * weight * ((new.share - new_low) ** 2 + (old_high - old.share) ** 2)
        above += weight * weight * ((new_high - new.share) ** 2 + (old.share - old_low) ** 2)
    return max(difference - math.sqrt(below), -1.0), min(difference + math.sqrt(above), 1.0)


def p_more_often(old: Count, new: Count) -> float:
    """Return the chance of so many hits among the new, or more, if both had the same share (Fisher, one-sided)."""
    hits, num = old.num_hits + new.num_hits, old.num_all + new.num_all
    ways = sum(
        math.comb(new.num_all, found) * math.comb(old.num_all, hits - found)
        for found in range(new.num_hits, min(new.num_all, hits) + 1)
    )
    return ways / math.comb(num, hits)
