"""Bounds and tests: against published figures, against counting by hand, and in simulation."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_jobs.core.learn.bootstrap import Stratum, difference_interval, mean_difference
from stream_jobs.core.learn.proportions import Count, newcombe, p_more_often, wilson
from stream_jobs.core.learn.rank_test import p_above

VALUES = st.lists(st.integers(0, 5), min_size=1, max_size=5)


def test_bounds_of_shares_are_the_published_ones() -> None:
    # Newcombe 1998, table II, method 10: 56 of 70 against 48 of 80.
    low, high = newcombe([(Count(48, 80), Count(56, 70))], [1.0])
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)
    # Agresti and Coull 1998: none of ten.
    assert [round(it, 4) for it in wilson(Count(0, 10))] == [0.0, 0.2775]
    assert wilson(Count(0, 0)) == (0.0, 1.0)


@given(st.integers(0, 30), st.integers(1, 30), st.integers(0, 30), st.integers(1, 30))
def test_bounds_of_shares_hold_what_was_seen(hits: int, num: int, other_hits: int, other_num: int) -> None:
    old, new = Count(min(hits, num), num), Count(min(other_hits, other_num), other_num)
    low, high = wilson(old)
    assert 0 <= low <= old.share <= high <= 1
    low, high = newcombe([(old, new)], [1.0])
    assert -1 <= low <= new.share - old.share <= high <= 1
    turned = newcombe([(new, old)], [1.0])
    assert turned == pytest.approx((-high, -low))


@given(st.integers(0, 6), st.integers(0, 6))
def test_more_often_is_counted_out(old_hits: int, new_hits: int) -> None:
    hits = old_hits + new_hits
    ways = [sum(place < 6 for place in chosen) for chosen in itertools.combinations(range(12), hits)]
    wanted = sum(found >= new_hits for found in ways) / len(ways)
    assert p_more_often(Count(old_hits, 6), Count(new_hits, 6)) == pytest.approx(wanted)


@given(VALUES, VALUES)
def test_the_rank_test_is_counted_out(new: list[int], old: list[int]) -> None:
    values = [*new, *old]
    # Twice the middle of the ranks that a value shares.
    ranks = [2 * sum(it < value for it in values) + sum(it == value for it in values) + 1 for value in values]
    sums = [sum(chosen) for chosen in itertools.combinations(ranks, len(new))]
    wanted = sum(found >= sum(ranks[: len(new)]) for found in sums) / len(sums)
    assert p_above(new, old) == pytest.approx(wanted)


def test_the_rank_test_of_many_values_ends_and_says_what_it_should() -> None:
    assert p_above([6, 7, 8, 9, 10], [1, 2, 3, 4, 5]) == pytest.approx(1 / 252)
    rng = random.Random(3)
    old = [rng.random() for _ in range(50)]
    assert p_above([rng.random() + 0.4 for _ in range(40)], old) < 1e-6
    assert p_above([1] * 40, [1] * 50) == 1


def test_the_same_values_and_seed_give_the_same_interval() -> None:
    rng = random.Random(5)
    strata = [Stratum([rng.random() for _ in range(9)], [rng.random() + 0.2 for _ in range(7)]) for _ in range(2)]
    first = difference_interval(strata, seed=11)
    assert difference_interval(strata, seed=11) == first
    assert difference_interval(strata, seed=12) != first
    assert first.low < mean_difference(strata) < first.high
    turned = [Stratum(new, old) for old, new in strata]
    assert mean_difference(turned) == pytest.approx(-mean_difference(strata))


@pytest.mark.parametrize(("spread", "least"), [(0.4, 0.91), (1.0, 0.85)])
def test_intervals_hold_the_true_difference_as_often_as_they_say(spread: float, least: float) -> None:
    """Costs are skewed: lognormal, few runs. 95 % are promised; what small skewed samples lose is known and bounded."""
    rng = random.Random(7)
    num_tries, num_held = 300, 0
    true = math.exp(spread**2 / 2)
    for seed in range(num_tries):
        old = [rng.lognormvariate(0, spread) for _ in range(10)]
        new = [2 * rng.lognormvariate(0, spread) for _ in range(12)]
        interval = difference_interval([Stratum(old, new)], seed=seed, num_resamples=300)
        num_held += interval.low <= true <= interval.high
    assert num_held / num_tries >= least


def test_equal_values_have_no_spread_and_few_values_no_interval() -> None:
    assert difference_interval([Stratum([2.0] * 5, [3.0] * 5)], seed=1)[:2] == (1.0, 1.0)
    one_apart = difference_interval([Stratum([1.0] * 5, [1.0] * 4 + [2.0])], seed=1)
    assert one_apart.method == "percentile"
    assert 0 <= one_apart.low <= 0.2 <= one_apart.high <= 1
    with pytest.raises(ValueError, match="two values"):
        difference_interval([Stratum([1.0], [2.0, 3.0])], seed=1)
