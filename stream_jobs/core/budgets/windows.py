"""Windows of budgets: which bucket an instant falls into, and which buckets count now.

Upstream: instants (UTC, microseconds).
Downstream: ``settlement``.
Guarantee: pure. ``day`` and ``month`` are one bucket each, from midnight UTC. ``1h`` and ``5h`` look back from now in
buckets of 5 and 15 minutes; the bucket that is under way counts whole, so the window is at most one bucket shorter
than its name and never longer.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from stream_jobs.contracts.budget import BudgetWindow

MINUTE_US: Final = 60_000_000
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
# Length and bucket of the windows that look back.
_ROLLING: Final = {"1h": (HOUR_US, 5 * MINUTE_US), "5h": (5 * HOUR_US, 15 * MINUTE_US)}
# Every bucket of every window is made of whole ones of these.
FINEST_BUCKET_US: Final = 5 * MINUTE_US
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def bucket_of(window: BudgetWindow, at_us: int) -> int:
    """Return the start of the bucket an instant falls into."""
    if window in _ROLLING:
        _, size = _ROLLING[window]
        return at_us - at_us % size
    if window == "day":
        return at_us - at_us % DAY_US
    return _to_us(_month(at_us))


def first_bucket(window: BudgetWindow, now_us: int) -> int:
    """Return the start of the oldest bucket that counts now."""
    if window in _ROLLING:
        length, size = _ROLLING[window]
        return bucket_of(window, now_us - length) + size
    return bucket_of(window, now_us)


def leaves_at(window: BudgetWindow, bucket_us: int) -> int:
    """Return when a bucket ceases to count."""
    if window in _ROLLING:
        length, _ = _ROLLING[window]
        return bucket_us + length
    if window == "day":
        return bucket_us + DAY_US
    # The first of the next month: no month has more than 31 days.
    return _to_us(_month(bucket_us + 32 * DAY_US))


def window_end(window: BudgetWindow, now_us: int) -> int:
    """Return when nothing that is spent now counts any more."""
    return leaves_at(window, bucket_of(window, now_us))


def is_rolling(window: BudgetWindow) -> bool:
    """Whether the window looks back from now."""
    return window in _ROLLING


def _month(at_us: int) -> datetime:
    return (_EPOCH + timedelta(microseconds=at_us)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _to_us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
