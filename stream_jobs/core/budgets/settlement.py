"""Settles one budget: counts spends, tells of thresholds, hands out leases, stops and lets go.

Upstream: spends of ``clawtrace.spend.v1``, the clock of the keeper, releases by people.
Downstream: the keeper stores the state and sends what comes out, in one transaction.
Guarantee: pure; the order of spends does not change what is counted; what is told is told once, whatever is settled
again with nothing new.
"""

import hashlib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from producers.contracts.guard import Allowance, Verdict
from stream_jobs.contracts.alert import Alert, AlertSeverity, AlertState
from stream_jobs.contracts.budget import Budget
from stream_jobs.contracts.spend import Spend
from stream_jobs.core.amounts import usd_text
from stream_jobs.core.budgets import leases, verdicts
from stream_jobs.core.budgets.state import HOLDER_SEPARATOR, ZERO, BudgetState, Holder
from stream_jobs.core.budgets.windows import DAY_US, HOUR_US, bucket_of, first_bucket, is_rolling, leaves_at, window_end

# A threshold is left only below so many percent of it: a window that looks back would flutter.
LEFT_BELOW_PERCENT: Final = 90
# Who was not seen for so long is forgotten, unless it is told something.
FORGET_US: Final = HOUR_US
# So many are remembered; those seen longest ago go first.
MAX_HOLDERS: Final = 2_000
# A forecast from less of the window says nothing.
_FORECAST_FROM: Final = Decimal("0.05")
# Agent of alerts about all agents of a tenant.
ALL_AGENTS: Final = "*"


class Charge(NamedTuple):
    """One spend, with whose it is and when it counts."""

    agent_id: str
    spend: Spend
    at_us: int


class Told(msgspec.Struct):
    """What comes out: messages to guards (agent, body), alerts, and when to look again."""

    messages: list[tuple[str, Verdict | Allowance]] = []
    alerts: list[Alert] = []
    wake_at_us: int = 0


def charge_of(agent_id: str, spend: Spend, received_at_us: int) -> Charge:
    """Take a spend; an agent's clock that runs ahead spends nothing of tomorrow's."""
    return Charge(agent_id, spend, min(spend.at_us, received_at_us))


def is_under(budget: Budget, agent_id: str, spend: Spend) -> bool:
    """Whether a spend of an agent of the budget's tenant counts."""
    return (
        budget.agent_id in (None, agent_id)
        and budget.openclaw_agent_id in (None, spend.openclaw_agent_id)
        and spend.session_key.startswith(budget.session_prefix or "")
    )


def settle(
    budget: Budget,
    state: BudgetState,
    charges: Iterable[Charge],
    now_us: int,
    rev: int,
    *,
    agents: Iterable[str] = (),
) -> Told:
    """Bring a budget up to now; changes ``state``.

    Args:
        agents: installs of the tenant that may not have been seen yet; they are told, too, when the budget is used up.
    """
    told = Told()
    first = first_bucket(budget.window, now_us)
    last = None
    for charge in charges:
        if is_under(budget, charge.agent_id, charge.spend) and _count(budget, state, charge, first, now_us):
            last = charge
    state.buckets = {start: amount for start, amount in state.buckets.items() if start >= first}
    for holder in state.holders.values():
        leases.lapse(holder, now_us)
    _tell_level(budget, state, told, last, now_us, rev)
    if verdicts.is_used_up(budget, state) and not budget.is_part_of_install:
        for agent_id in agents:
            if budget.agent_id in (None, agent_id):
                state.holders.setdefault(agent_id, Holder())
    for key in sorted(state.holders):
        _tell_holder(budget, state, key, told, now_us)
    _forget(state, now_us)
    told.wake_at_us = _next_look_us(budget, state, now_us)
    return told


def release(budget: Budget, state: BudgetState, agent_id: str, now_us: int, *, session_key: str = "") -> Told:
    """Let an agent (or a session of it) go on in spite of the limit, until the window has room; changes ``state``."""
    told = Told(wake_at_us=now_us)
    until_us = max(verdicts.has_room_at(budget, state, now_us), now_us)
    for key, holder in state.holders.items():
        whose, _, session = key.partition(HOLDER_SEPARATOR)
        if whose != agent_id or (session_key and session != session_key) or not verdicts.is_used_up(budget, state):
            continue
        holder.released_until_us = until_us
        told.messages += _take_back(budget, key, holder, now_us, "Somebody released it.")
    return told


def retire(budget: Budget, state: BudgetState, now_us: int, rev: int) -> Told:
    """Take everything back that the budget has told; for one that is removed. Changes ``state``."""
    told = Told(wake_at_us=now_us)
    for key, holder in state.holders.items():
        told.messages += _take_back(budget, key, holder, now_us, "The budget was removed.")
    if state.told_percent:
        state.told_percent = 0
        told.alerts.append(_alert(budget, state, 0, None, now_us, rev, "The budget was removed."))
    return told


def alert_id_of(budget: Budget) -> str:
    """Make the id of a budget's alert: 32 hex digits; its state moves, it stays one alert."""
    return hashlib.sha256(f"{budget.tenant_id}|budget|{budget.budget_id}".encode()).hexdigest()[:32]


def _count(budget: Budget, state: BudgetState, charge: Charge, first: int, now_us: int) -> bool:
    spend = charge.spend
    amount = spend.cost_usd if budget.unit == "usd" else Decimal(spend.num_tokens)
    bucket_us = bucket_of(budget.window, charge.at_us)
    key = charge.agent_id
    if budget.is_part_of_install:
        key += HOLDER_SEPARATOR + spend.session_key
    holder = state.holders.setdefault(key, Holder())
    if bucket_us < first:
        # It came late, for a window that is over.
        return False
    state.buckets[bucket_us] = state.buckets.get(bucket_us, ZERO) + amount
    leases.note_spend(holder, amount, charge.at_us, now_us)
    return True


def _tell_holder(budget: Budget, state: BudgetState, key: str, told: Told, now_us: int) -> None:
    agent_id = key.partition(HOLDER_SEPARATOR)[0]
    reason = _say_used_up(budget, state)
    for verdict in verdicts.tell(budget, state, key, now_us, alert_id=alert_id_of(budget), reason=reason):
        told.messages.append((agent_id, verdict))
    if not leases.are_given(budget):
        told.messages += [(agent_id, it) for it in leases.take_back(budget, agent_id, state.holders[key], now_us)]
    elif not verdicts.is_used_up(budget, state):
        told.messages += [(agent_id, it) for it in leases.renew(budget, state, agent_id, now_us)]


def _take_back(
    budget: Budget, key: str, holder: Holder, now_us: int, reason: str
) -> Iterator[tuple[str, Verdict | Allowance]]:
    agent_id = key.partition(HOLDER_SEPARATOR)[0]
    for verdict in verdicts.take_back(budget, key, holder, now_us, reason=reason):
        yield agent_id, verdict
    for allowance in leases.take_back(budget, agent_id, holder, now_us):
        yield agent_id, allowance


def _tell_level(budget: Budget, state: BudgetState, told: Told, last: Charge | None, now_us: int, rev: int) -> None:
    percent = state.spent() * 100 / budget.limit
    steps = [*budget.warn_percents, 100]
    reached = max((step for step in steps if percent >= step), default=0)
    if reached < state.told_percent:
        kept = [step for step in steps if step <= state.told_percent and percent * 100 >= step * LEFT_BELOW_PERCENT]
        reached = max(kept, default=reached)
    if reached == state.told_percent:
        return
    cause = last if reached > state.told_percent else None
    state.told_percent = reached
    told.alerts.append(_alert(budget, state, reached, cause, now_us, rev, _say(budget, state, reached)))


def _alert(
    budget: Budget, state: BudgetState, step: int, cause: Charge | None, now_us: int, rev: int, message: str
) -> Alert:
    spent = state.spent()
    level: AlertState = "alert" if step == 100 else "warn" if step else "ok"
    severity: AlertSeverity = "critical" if step == 100 else "warning" if step >= 80 else "info"
    labels = {
        "budget_id": budget.budget_id,
        "scope": budget.scope_text,
        "window": budget.window,
        "unit": budget.unit,
        "agent_id": budget.agent_id or "",
        "openclaw_agent_id": budget.openclaw_agent_id or "",
        "session_prefix": budget.session_prefix or "",
        "session_key": cause.spend.session_key if cause else "",
        "run_id": cause.spend.run_id if cause else "",
    }
    evidence = {
        "spent": f"{spent.normalize():f}",
        "limit": f"{budget.limit.normalize():f}",
        "percent": f"{spent * 100 / budget.limit:.1f}",
        "threshold_percent": str(step),
        "num_holders": str(len(state.holders)),
        "window_end_us": str(window_end(budget.window, now_us)),
        "forecast": _forecast(budget, spent, now_us),
    }
    return Alert(
        tenant_id=budget.tenant_id,
        agent_id=budget.agent_id or ALL_AGENTS,
        alert_id=alert_id_of(budget),
        rule="budget",
        severity=severity,
        state=level,
        message=message,
        labels={name: text for name, text in labels.items() if text},
        evidence={name: text for name, text in evidence.items() if text},
        trace_id=(cause.spend.trace_id or None) if cause else None,
        span_id=cause.spend.span_id if cause else None,
        at_us=cause.at_us if cause else now_us,
        rev=rev,
    )


def _forecast(budget: Budget, spent: Decimal, now_us: int) -> str:
    """What will be spent at the end of a window that ends, if it goes on like this."""
    if is_rolling(budget.window):
        return ""
    start_us = bucket_of(budget.window, now_us)
    gone = Decimal(now_us - start_us) / (leaves_at(budget.window, start_us) - start_us)
    return f"{spent / gone:.6f}" if gone >= _FORECAST_FROM else ""


def _say(budget: Budget, state: BudgetState, step: int) -> str:
    if step == 100:
        return _say_used_up(budget, state)
    percent = state.spent() * 100 / budget.limit
    state_of = f"{_amount(budget, state.spent())} of {_amount(budget, budget.limit)} ({percent:.0f} %)"
    if step:
        return f"The {budget.window} budget of {budget.scope_text} has reached {step} %: {state_of}."
    return f"The {budget.window} budget of {budget.scope_text} has room again: {state_of}."


def _say_used_up(budget: Budget, state: BudgetState) -> str:
    spent, limit = _amount(budget, state.spent()), _amount(budget, budget.limit)
    return f"The {budget.window} budget of {budget.scope_text} is used up: {spent} of {limit}."


def _amount(budget: Budget, amount: Decimal) -> str:
    if budget.unit == "tokens":
        return f"{amount:.0f} tokens"
    return usd_text(amount)


def _forget(state: BudgetState, now_us: int) -> None:
    state.holders = {
        key: holder
        for key, holder in state.holders.items()
        if holder.leases
        or holder.verdict
        or holder.remnants
        or holder.released_until_us > now_us
        or now_us - holder.seen_at_us < FORGET_US
    }
    if (num_too_many := len(state.holders) - MAX_HOLDERS) > 0:
        for key in sorted(state.holders, key=lambda key: state.holders[key].seen_at_us)[:num_too_many]:
            del state.holders[key]


def _next_look_us(budget: Budget, state: BudgetState, now_us: int) -> int:
    """When something changes although nothing is spent: a bucket leaves, a lease or a verdict ends."""
    ends = [leaves_at(budget.window, start) for start in state.buckets]
    for holder in state.holders.values():
        if leases.are_given(budget):
            look_us = leases.next_look_us(budget, holder, now_us)
            ends += [] if look_us is None else [look_us]
        if holder.verdict is not None:
            ends_us = holder.verdict.expires_at_us
            say_again_us = ends_us - verdicts.SAY_AGAIN_US
            ends.append(say_again_us if say_again_us > now_us else ends_us)
    # Never at once again: what is due now was done now.
    return max(min(ends, default=now_us + DAY_US), now_us + 1)
