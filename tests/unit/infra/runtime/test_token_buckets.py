"""Buckets: no more than burst and rate allow, who waits as told gets in, what is owed is paid first."""

from hypothesis import given
from hypothesis import strategies as st

from infra.runtime.token_buckets import TokenBuckets


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@given(st.lists(st.floats(0, 3), max_size=60), st.integers(1, 5), st.floats(0.5, 5))
def test_no_more_than_burst_and_rate_allow(pauses_s: list[float], burst: int, per_s: float) -> None:
    clock = Clock()
    buckets = TokenBuckets(per_s, burst, clock)
    taken = 0
    for pause_s in pauses_s:
        clock.now_s += pause_s
        taken += buckets.take(b"key") == 0
        assert taken <= burst + (clock.now_s - 100) * per_s + 1e-6


def test_who_waits_as_told_gets_in() -> None:
    clock = Clock()
    buckets = TokenBuckets(2, 1, clock)
    assert buckets.take(b"a") == 0
    wait_s = buckets.take(b"a")
    assert wait_s == 0.5
    assert buckets.take(b"b") == 0
    clock.now_s += wait_s
    assert buckets.take(b"a") == 0


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 50)), max_size=60), st.integers(1, 20), st.floats(0.5, 20))
def test_whatever_the_pieces_one_at_most_goes_beyond(pieces: list[tuple[float, int]], burst: int, per_s: float) -> None:
    clock = Clock()
    buckets = TokenBuckets(per_s, burst, clock)
    spent = 0
    for pause_s, amount in pieces:
        clock.now_s += pause_s
        if buckets.wait_s(b"tenant") == 0:
            buckets.spend(b"tenant", amount)
            spent += amount
        assert spent <= burst + (clock.now_s - 100) * per_s + max(amount for _, amount in pieces)


def test_what_is_owed_is_paid_before_anything_more() -> None:
    clock = Clock()
    buckets = TokenBuckets(10, 20, clock)
    buckets.spend(b"a", 70)
    assert buckets.wait_s(b"a") == 5.1
    clock.now_s += 5
    assert buckets.wait_s(b"a") > 0
    clock.now_s += 0.2
    assert buckets.wait_s(b"a") == 0
    assert buckets.wait_s(b"b") == 0


def test_full_buckets_are_forgotten() -> None:
    clock = Clock()
    buckets = TokenBuckets(1, 10, clock)
    for number in range(500):
        clock.now_s += 1
        buckets.take(str(number).encode())
    assert len(buckets) <= 10
