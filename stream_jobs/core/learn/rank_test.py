"""Whether values of one group lie above those of another: the rank test of Wilcoxon, Mann and Whitney, exact.

Upstream: ``worse_version``, ``score_regression``.
Downstream: the same.
Guarantee: pure and exact for any ties and sizes: the chance is counted over all ways to choose the new values among
all, not approximated. Nothing is assumed of the shape of the values; one huge value counts as one high rank.
"""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import TypeVar

Value = TypeVar("Value", int, float, Decimal)


def p_above(new: Sequence[Value], old: Sequence[Value]) -> float:
    """Return the chance that the new rank so high, or higher, if order had nothing to do with them (one-sided).

    Args:
        new: at most some hundred values, as many as ``old`` may be.
    """
    ranks = _double_ranks([*new, *old])
    seen = sum(ranks[: len(new)])
    num_all = math.comb(len(ranks), len(new))
    # One big number holds how many choices there are by their sum of ranks: bits at place sum * width.
    width = num_all.bit_length() + 1
    choices = [1] + [0] * len(new)
    for rank in ranks:
        for size in range(len(new), 0, -1):
            choices[size] += choices[size - 1] << (rank * width)
    at_least = choices[len(new)] >> (seen * width)
    mask, num_high = (1 << width) - 1, 0
    while at_least:
        num_high += at_least & mask
        at_least >>= width
    return num_high / num_all


def _double_ranks(values: Sequence[Value]) -> list[int]:
    """Return twice the rank of each value, from 2 up; equal values share the middle of theirs."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    ranks = [0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            ranks[place] = start + end + 2
        start = end + 1
    return ranks
