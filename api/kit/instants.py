"""Instants as microseconds since 1970 (UTC), and back: exact, which a float of seconds is not.

Upstream: rows, records and wire formats, each of which holds one of the two.
Downstream: whatever needs the other.
Guarantee: to_us(from_us(us)) is us.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_us(at: datetime) -> int:
    """Microseconds since 1970 of an instant."""
    return (at - _EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """Instant of microseconds since 1970."""
    return _EPOCH + us * _MICROSECOND


def now_us() -> int:
    """Microseconds since 1970 by this machine's clock."""
    return time.time_ns() // 1_000
