"""Leases: small parts of a budget, handed to installs so that each can stop itself in time.

Upstream: ``settlement``, after it has counted what was spent.
Downstream: allowances for the guards of agents.
Guarantee: nothing is granted beyond what is left minus what others hold. While there is plenty, a new lease replaces
the old ones, so that small differences between what a guard counts and what we count never add up; what was left of
the old ones is kept back for a moment, because calls made under them are on their way. When the budget runs out, a new
lease comes beside the old ones and nothing is kept back. A guard adds up the living allowances of a scope and window,
so it is told of the new one before an old one is taken back.
"""

from collections.abc import Iterator
from decimal import ROUND_DOWN, Decimal
from typing import Final

from producers.contracts.guard import Allowance
from stream_jobs.contracts.budget import Budget
from stream_jobs.core.budgets.state import ZERO, BudgetState, Holder, Lease, Remnant
from stream_jobs.core.budgets.windows import MINUTE_US, window_end

LEASE_US: Final = 10 * MINUTE_US
# How long what was spent under a lease may be on its way to us.
LATE_US: Final = 15_000_000
# Who has spent nothing for so long is given nothing new.
ACTIVE_US: Final = 5 * MINUTE_US
# Usual size as a part of the limit, in dear calls, and in half minutes of what is spent now. A lease that a few calls
# use up would stop runs that may go on.
LIMIT_PART: Final = 50
DEAR_CALLS: Final = 4
RECENT_TIMES: Final = 2
# A new one is given when a third is used: a guard that prices calls up to three times dearer is not stopped by that.
USED_PART: Final = 3
# Least part of the limit that several installs split what is left into; else the last cent would take for ever.
LEAST_PART: Final = 1_000
_STEP: Final = Decimal("0.000001")
_RECENT_US: Final = 30_000_000


def are_given(budget: Budget) -> bool:
    """Whether a budget is handed out: guards count dollars of whole installs, and stop when they have none left."""
    return budget.unit == "usd" and budget.action == "abort" and not budget.is_part_of_install


def note_spend(holder: Holder, amount: Decimal, at_us: int, now_us: int) -> None:
    """Settle a spend of a holder; ``at_us`` is when its call began."""
    if amount > 0:
        holder.dear = max(holder.dear, amount)
        fade = Decimal(max(_RECENT_US - (now_us - holder.seen_at_us), 0)) / _RECENT_US
        holder.recent = (holder.recent * fade + amount).quantize(_STEP)
        _take(holder, amount, at_us)
    holder.seen_at_us = max(holder.seen_at_us, now_us)


def _take(holder: Holder, amount: Decimal, at_us: int) -> None:
    if holder.leases and at_us < holder.leases[0].given_at_us:
        for remnant in holder.remnants:
            part = min(remnant.left, amount)
            remnant.left -= part
            amount -= part
    for number, lease in enumerate(holder.leases, start=1):
        part = amount if number == len(holder.leases) else min(lease.left, amount)
        lease.settled += part
        amount -= part


def lapse(holder: Holder, now_us: int) -> None:
    """Let leases and remnants come to their end."""
    holder.remnants += [
        Remnant(it.left, it.expires_at_us + LATE_US) for it in holder.leases if it.expires_at_us <= now_us
    ]
    holder.leases = [it for it in holder.leases if it.expires_at_us > now_us]
    holder.remnants = [it for it in holder.remnants if it.until_us > now_us and it.left > 0]


def renew(budget: Budget, state: BudgetState, agent_id: str, now_us: int) -> Iterator[Allowance]:
    """Give a holder a lease when it needs one; yields what its guard must be told, in this order."""
    holder = state.holders[agent_id]
    if not _is_served(holder, now_us):
        return
    wanted = max(budget.limit / LIMIT_PART, holder.dear * DEAR_CALLS, holder.recent * RECENT_TIMES)
    is_old = bool(holder.leases) and _is_old(budget, holder.leases[-1], now_us)
    if holder.leases and holder.left * USED_PART > wanted * (USED_PART - 1) and not is_old:
        return
    free = max(budget.cap - state.spent() - state.outstanding(), ZERO)
    old: list[Lease] = []
    if free >= wanted:
        granted, old = wanted, holder.leases
        holder.remnants += [Remnant(it.left, now_us + LATE_US) for it in old]
    elif is_old:
        # What is left goes on under a new end, with its share of what is free.
        granted, old = holder.left + _share(budget, state, free, now_us), holder.leases
    else:
        granted = min(_share(budget, state, free, now_us), max(wanted - holder.left, ZERO))
        if granted == 0 and holder.leases:
            return
    state.num_given += 1
    expires_at_us = min(now_us + LEASE_US, window_end(budget.window, now_us))
    lease = Lease(state.num_given, granted.quantize(_STEP, ROUND_DOWN), ZERO, now_us, expires_at_us)
    holder.leases = [lease] if old else [*holder.leases, lease]
    yield allowance_of(budget, agent_id, lease)
    for it in old:
        yield allowance_of(budget, agent_id, it, expires_at_us=now_us)


def take_back(budget: Budget, agent_id: str, holder: Holder, now_us: int) -> Iterator[Allowance]:
    """End a holder's leases now."""
    old, holder.leases = holder.leases, []
    holder.remnants += [Remnant(it.left, now_us + LATE_US) for it in old]
    for it in old:
        yield allowance_of(budget, agent_id, it, expires_at_us=now_us)


def next_look_us(budget: Budget, holder: Holder, now_us: int) -> int | None:
    """When something about a holder's leases changes by itself."""
    ends = [it.until_us for it in holder.remnants]
    for lease in holder.leases:
        renewal_us = lease.expires_at_us - LEASE_US // USED_PART
        is_renewed = _is_served(holder, now_us) and lease.expires_at_us < window_end(budget.window, now_us)
        ends.append(renewal_us if is_renewed and renewal_us > now_us else lease.expires_at_us)
    return min(ends, default=None)


def allowance_of(budget: Budget, agent_id: str, lease: Lease, *, expires_at_us: int | None = None) -> Allowance:
    """Make the message about a lease; one that ends now takes the lease back."""
    return Allowance(
        allowance_id=f"budget-{budget.budget_id}-{lease.number}",
        scope="agent" if budget.agent_id else "tenant",
        scope_id=agent_id if budget.agent_id else budget.tenant_id,
        granted_usd=lease.granted,
        window=budget.window,
        expires_at_us=lease.expires_at_us if expires_at_us is None else expires_at_us,
    )


def _share(budget: Budget, state: BudgetState, free: Decimal, now_us: int) -> Decimal:
    """A holder's part of what is free, when that is not enough for all; one part is for an install that may come."""
    num_active = max(sum(now_us - it.seen_at_us < ACTIVE_US for it in state.holders.values()), 1)
    num_parts = num_active + (budget.agent_id is None)
    share = min(max(free / num_parts, budget.limit / LEAST_PART), free)
    return share.quantize(_STEP, ROUND_DOWN)


def _is_served(holder: Holder, now_us: int) -> bool:
    """Whether a holder is to have leases: it spends, or it stands still for want of one."""
    if holder.released_until_us > now_us:
        return False
    return now_us - holder.seen_at_us < ACTIVE_US or (bool(holder.leases) and holder.left == 0)


def _is_old(budget: Budget, lease: Lease, now_us: int) -> bool:
    # One that ends with the window is not renewed in it.
    ends_us = lease.expires_at_us
    return ends_us - now_us <= LEASE_US // USED_PART and ends_us < window_end(budget.window, now_us)
