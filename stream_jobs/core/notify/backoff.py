"""How long a message waits for its next try, and which answers are worth one.

Upstream: what a try came to.
Downstream: ``stream_jobs.notify.dispatch``.
Guarantee: waits grow threefold up to an hour, and differ by chance so that many messages do not come back at once.
"""

from typing import Final

GROWTH: Final = 3
LONGEST_WAIT_S: Final = 3_600.0
JITTER: Final = 0.25
# What a server may put right by itself: a timeout, too early, too many.
_PASSING: Final = frozenset({408, 425, 429})


def wait_s(num_tries: int, first_wait_s: float, chance: float, asked_s: float | None = None) -> float:
    """Return the seconds until the next try.

    Args:
        num_tries: tries so far, at least 1.
        first_wait_s: seconds after the first.
        chance: from 0 to 1, for instance of a random generator.
        asked_s: what the server asked for (Retry-After); never waited less, and at most an hour.
    """
    # The exponent is bounded, because it would otherwise overflow.
    grown: float = min(first_wait_s * GROWTH ** min(num_tries - 1, 20), LONGEST_WAIT_S)
    spread = grown * (1 + JITTER * (2 * chance - 1))
    return max(spread, min(asked_s or 0.0, LONGEST_WAIT_S))


def is_taken(status: int) -> bool:
    """Whether this HTTP status says that the message has arrived."""
    return 200 <= status < 300


def is_passing(status: int) -> bool:
    """Whether another try may help after this HTTP status."""
    return status >= 500 or status in _PASSING
