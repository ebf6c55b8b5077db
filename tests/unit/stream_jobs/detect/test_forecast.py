"""The forecast keeps its word over made-up histories whose distribution is known."""

import math
import random
from collections.abc import Callable

import pytest

from stream_jobs.core.detect.baseline import QuantileSketch
from stream_jobs.core.detect.forecast import CHECKPOINTS, FinishedRun, forecast, quantile

MICROS = 1_000_000


def make_run(rng: random.Random, num_calls: int, scale: float, growth: float) -> tuple[FinishedRun, list[float]]:
    """A run whose calls cost about ``scale`` dollars each, the later ones more."""
    costs, total = [], 0.0
    for number in range(num_calls):
        total += scale * (1 + growth * number) * rng.uniform(0.5, 1.5) * MICROS
        costs.append(total)
    checkpoints = [round(costs[it - 1]) for it in CHECKPOINTS if it <= num_calls]
    return FinishedRun("", num_calls, round(total), checkpoints), costs


def geometric(rng: random.Random) -> tuple[FinishedRun, list[float]]:
    """Each call is the last with one chance in twelve; runs of one kind cost about the same per call."""
    return make_run(rng, 1 + int(rng.expovariate(1 / 12)), 0.02, 0.0)


def log_normal(rng: random.Random) -> tuple[FinishedRun, list[float]]:
    """A few runs are very long, prices per call differ tenfold, and prompts grow."""
    return make_run(rng, 1 + int(rng.lognormvariate(2.0, 0.9)), 10 ** rng.uniform(-3, -2), 0.05)


def fixed(rng: random.Random) -> tuple[FinishedRun, list[float]]:
    """A nightly job: nearly always the same."""
    return make_run(rng, rng.randint(18, 22), 0.05, 0.02)


@pytest.mark.parametrize("distribution", [geometric, log_normal, fixed])
@pytest.mark.parametrize("num_history", [50, 200])
def test_half_of_the_runs_end_below_p50_and_nine_tenths_below_p90(
    distribution: Callable[[random.Random], tuple[FinishedRun, list[float]]], num_history: int
) -> None:
    """A back-test over 25 histories: shares within 0.06 of what the quantiles promise."""
    rng = random.Random(17)
    num, below_p50, below_p90 = 0, 0, 0
    for _ in range(25):
        history = [distribution(rng)[0] for _ in range(num_history)]
        for _ in range(30):
            run, costs = distribution(rng)
            for at in (2, 5, 10):
                # A run that ends with this call costs just what it has: neither below nor above what is forecast.
                if at >= run.num_calls:
                    continue
                found = forecast([it for it in history if it.num_calls > at], at, costs[at - 1])
                if found.num_analogs < 10:
                    continue
                num += 1
                below_p50 += run.final <= found.p50
                below_p90 += run.final <= found.p90
    assert num > 500
    assert abs(below_p50 / num - 0.5) < 0.06
    assert abs(below_p90 / num - 0.9) < 0.06


@pytest.mark.parametrize("distribution", [geometric, log_normal, fixed])
def test_runs_that_may_be_over_are_forecast_as_well(
    distribution: Callable[[random.Random], tuple[FinishedRun, list[float]]],
) -> None:
    """A run whose last call this was costs what it has cost, which may be the quantile itself: it lies on the line."""
    rng = random.Random(23)
    num, below, not_above = 0, {0.5: 0, 0.9: 0}, {0.5: 0, 0.9: 0}
    for _ in range(25):
        history = [distribution(rng)[0] for _ in range(200)]
        for _ in range(30):
            run, costs = distribution(rng)
            for at in (2, 5, 10):
                if at > run.num_calls:
                    continue
                found = forecast(history, at, costs[at - 1])
                num += 1
                for share, quantity in ((0.5, found.p50), (0.9, found.p90)):
                    # Costs are kept in whole micro-dollars.
                    below[share] += run.final < quantity - 2
                    not_above[share] += run.final <= quantity + 2
    assert num > 1_000
    for share in below:
        assert below[share] / num - 0.06 < share < not_above[share] / num + 0.06


def test_a_run_beyond_all_others_is_half_way_in_the_median() -> None:
    history = [make_run(random.Random(seed), 5, 0.01, 0)[0] for seed in range(50)]
    assert forecast(history, 40, 3.0) == (6.0, 30.0, 0)


def test_a_forecast_is_never_below_what_was_spent() -> None:
    rng = random.Random(5)
    history = [log_normal(rng)[0] for _ in range(100)]
    for _ in range(200):
        run, costs = log_normal(rng)
        for at in range(1, run.num_calls + 1):
            found = forecast(history, at, costs[at - 1])
            assert costs[at - 1] <= found.p50 <= found.p90


def test_cost_between_checkpoints_is_interpolated() -> None:
    run = FinishedRun("", 14, 1_400, [100 * it for it in CHECKPOINTS if it <= 14])
    assert [run.cost_after(it) for it in range(1, 15)] == [100 * it for it in range(1, 15)]


def test_a_finished_run_stays_small() -> None:
    """However long it was: the marks grow by a quarter each time."""
    assert len(CHECKPOINTS) < 40
    assert CHECKPOINTS[-1] >= 2_000


def test_quantiles_lie_where_the_next_value_falls_below_them() -> None:
    rng = random.Random(2)
    for share in (0.5, 0.9):
        below = 0
        for _ in range(4_000):
            values = [rng.random() for _ in range(19)]
            below += rng.random() <= quantile(values, share)
        assert abs(below / 4_000 - share) < 0.025


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_sketch_is_off_by_five_percent_at_most(share: float) -> None:
    rng = random.Random(1)
    values = sorted(rng.lognormvariate(-2, 2) for _ in range(5_000))
    sketch = QuantileSketch()
    for value in rng.sample(values, len(values)):
        sketch.add(value, max_total=1e9)
    exact = values[math.ceil(share * len(values)) - 1]
    assert abs(sketch.quantile(share) / exact - 1) <= 0.05


def test_a_sketch_stays_small_and_forgets() -> None:
    sketch = QuantileSketch()
    for number in range(3_000):
        sketch.add(10.0 ** (number % 40 - 20), max_total=2_000)
    assert len(sketch.weights) <= 512
    for _ in range(6_000):
        sketch.add(5.0, max_total=1_000)
    assert abs(sketch.quantile(0.1) / 5.0 - 1) <= 0.05
    assert sketch.total <= 1_000
    assert QuantileSketch().quantile(0.9) == 0.0
