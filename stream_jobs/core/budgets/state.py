"""What is remembered of one budget.

Upstream: ``settlement`` changes it.
Downstream: one row in Postgres, changed in the transaction that also moves the reader on.
Guarantee: bounded: buckets of one window, and holders that were seen lately or are told something.
"""

from decimal import Decimal
from typing import Final

import msgspec

from stream_jobs.contracts.budget import BudgetAction

ZERO: Final = Decimal(0)
# Parts a holder's agent from its session; no agent id holds one.
HOLDER_SEPARATOR: Final = "|"


class Lease(msgspec.Struct, array_like=True):
    """What one install may spend before it is given more."""

    number: int
    granted: Decimal
    settled: Decimal
    given_at_us: int
    expires_at_us: int

    @property
    def left(self) -> Decimal:
        """What nobody has told to be spent."""
        return max(self.granted - self.settled, ZERO)


class Remnant(msgspec.Struct, array_like=True):
    """What is left of a lease that was replaced or has lapsed, kept back for spends that are on their way."""

    left: Decimal
    until_us: int


class HeldVerdict(msgspec.Struct, array_like=True):
    """The verdict a holder was told last."""

    number: int
    action: BudgetAction
    expires_at_us: int


class Holder(msgspec.Struct, omit_defaults=True):
    """One install under the budget, or one session of it."""

    # Living ones, oldest first: their guard adds them up.
    leases: list[Lease] = []
    remnants: list[Remnant] = []
    # The dearest call, and what was spent in the last half minute or so: a lease must outlast the way back to us.
    dear: Decimal = ZERO
    recent: Decimal = ZERO
    seen_at_us: int = 0
    verdict: HeldVerdict | None = None
    # Somebody let it go on in spite of the limit.
    released_until_us: int = 0

    @property
    def left(self) -> Decimal:
        """What is left of its living leases."""
        return sum((it.left for it in self.leases), ZERO)

    def outstanding(self) -> Decimal:
        """What it may still spend by our word, or has spent without our knowing yet."""
        return self.left + sum((it.left for it in self.remnants), ZERO)


class BudgetState(msgspec.Struct, omit_defaults=True):
    """One budget as it stands."""

    # Start of bucket (UTC, microseconds) to dollars or tokens.
    buckets: dict[int, Decimal] = {}
    # The highest percent that was reached and told: 0, a warning, or 100.
    told_percent: int = 0
    holders: dict[str, Holder] = {}
    # Numbers of leases and verdicts: each gets its own, for ever.
    num_given: int = 0

    def spent(self) -> Decimal:
        """What counts in the window, after ``settlement`` has dropped what does not."""
        return sum(self.buckets.values(), ZERO)

    def outstanding(self) -> Decimal:
        """What all holders may still spend."""
        return sum((holder.outstanding() for holder in self.holders.values()), ZERO)


_decoder = msgspec.json.Decoder(BudgetState)


def decode_state(text: str) -> BudgetState:
    """Read a state; empty text is a new one."""
    return _decoder.decode(text) if text else BudgetState()


def encode_state(state: BudgetState) -> str:
    """Write a state."""
    return msgspec.json.encode(state).decode()
