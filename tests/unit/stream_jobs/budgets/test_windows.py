"""Which bucket an instant falls into, and what counts now."""

from datetime import UTC, datetime

import pytest

from stream_jobs.contracts.budget import BudgetWindow
from stream_jobs.core.budgets.windows import HOUR_US, MINUTE_US, bucket_of, first_bucket, leaves_at, window_end


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        ("day", "2026-02-28T00:00:00", "2026-03-01T00:00:00"),
        ("month", "2026-02-01T00:00:00", "2026-03-01T00:00:00"),
    ],
)
def test_days_and_months_begin_at_midnight_utc(window: BudgetWindow, start: str, end: str) -> None:
    for at in ("2026-02-28T00:00:00", "2026-02-28T23:59:59"):
        assert bucket_of(window, us(at)) == first_bucket(window, us(at)) == us(start)
        assert window_end(window, us(at)) == us(end)


def test_months_are_as_long_as_they_are() -> None:
    for start, end in (
        ("2024-02-01T00:00:00", "2024-03-01T00:00:00"),
        ("2026-01-01T00:00:00", "2026-02-01T00:00:00"),
        ("2026-12-01T00:00:00", "2027-01-01T00:00:00"),
    ):
        assert leaves_at("month", us(start)) == us(end)


@pytest.mark.parametrize(
    ("window", "length_us", "size_us"), [("1h", HOUR_US, 5 * MINUTE_US), ("5h", 5 * HOUR_US, 15 * MINUTE_US)]
)
def test_a_window_that_looks_back_is_never_longer_than_its_name(
    window: BudgetWindow, length_us: int, size_us: int
) -> None:
    now_us = us("2026-03-04T05:07:11")
    first = first_bucket(window, now_us)
    assert length_us - size_us < now_us - first <= length_us
    for at_us in range(now_us - length_us, now_us, MINUTE_US):
        counts = bucket_of(window, at_us) >= first
        assert counts == (leaves_at(window, bucket_of(window, at_us)) > now_us)
    assert bucket_of(window, now_us - length_us) < first
