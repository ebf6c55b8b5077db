"""Verdicts of a budget that is used up: who is told to stop, until when, and when that is taken back.

Upstream: ``settlement``, after it has counted what was spent.
Downstream: the guards of agents.
Guarantee: a verdict ends by itself when the window has room again; one that is taken back earlier is said again with
its end at once, which touches no verdict of anybody else (a release of the agent would).
"""

from collections.abc import Iterator
from typing import Final

from producers.contracts.guard import GuardScope, Verdict
from stream_jobs.contracts.budget import Budget
from stream_jobs.core.budgets.state import HOLDER_SEPARATOR, BudgetState, HeldVerdict, Holder
from stream_jobs.core.budgets.windows import DAY_US, MINUTE_US, leaves_at

# The guard topic forgets after a week; a verdict that must hold longer is said again before.
LONGEST_US: Final = 3 * DAY_US
# So long before its end a verdict that must go on holding is said again.
SAY_AGAIN_US: Final = MINUTE_US


def is_used_up(budget: Budget, state: BudgetState) -> bool:
    """Whether the limit and its grace are spent."""
    return state.spent() >= budget.cap


def has_room_at(budget: Budget, state: BudgetState, now_us: int) -> int:
    """Return when so much will have left the window that something may be spent again."""
    left = state.spent()
    for bucket_us, amount in sorted(state.buckets.items()):
        left -= amount
        if left < budget.cap:
            return leaves_at(budget.window, bucket_us)
    return now_us


def tell(
    budget: Budget, state: BudgetState, holder_key: str, now_us: int, *, alert_id: str, reason: str
) -> Iterator[Verdict]:
    """Bring what a holder is told in line with the budget; yields what is new."""
    holder = state.holders[holder_key]
    held = holder.verdict
    wants = budget.action != "none" and holder.released_until_us <= now_us and is_used_up(budget, state)
    if not wants or (held is not None and held.action != budget.action):
        yield from take_back(budget, holder_key, holder, now_us, reason="There is room in the budget again.")
        held = holder.verdict
    if not wants or budget.action == "none":
        return
    ends_us = has_room_at(budget, state, now_us)
    # A guard keeps the end it was told first: a later one needs a verdict of its own.
    if held is not None and (held.expires_at_us >= ends_us or held.expires_at_us - now_us > SAY_AGAIN_US):
        return
    state.num_given += 1
    holder.verdict = HeldVerdict(state.num_given, budget.action, min(ends_us, now_us + LONGEST_US))
    yield _verdict(budget, holder_key, holder.verdict, reason, alert_id)


def take_back(budget: Budget, holder_key: str, holder: Holder, now_us: int, *, reason: str) -> Iterator[Verdict]:
    """End a holder's verdict now, if it has one."""
    held, holder.verdict = holder.verdict, None
    if held is not None and held.expires_at_us > now_us:
        held.expires_at_us = now_us
        yield _verdict(budget, holder_key, held, reason, None)


def _verdict(budget: Budget, holder_key: str, held: HeldVerdict, reason: str, alert_id: str | None) -> Verdict:
    agent_id, _, session_key = holder_key.partition(HOLDER_SEPARATOR)
    scope: GuardScope = "session" if budget.is_part_of_install else "agent" if budget.agent_id else "tenant"
    scope_id = {"session": session_key, "agent": agent_id}.get(scope, budget.tenant_id)
    assert held.action != "none"
    return Verdict(
        verdict_id=f"budget-{budget.budget_id}-{held.number}",
        scope=scope,
        scope_id=scope_id,
        action=held.action,
        reason=reason,
        alert_id=alert_id,
        expires_at_us=held.expires_at_us,
    )
