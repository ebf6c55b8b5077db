"""What was said to agents, the newest of each id, and what a release takes away."""

from decimal import Decimal
from itertools import permutations
from typing import Any

from producers.contracts.guard import Allowance, GuardMessage, Verdict
from producers.gateway.guard_ledger import MAX_PER_AGENT, GuardLedger

NOW_US = 1_800_000_000_000_000
HOUR_US = 3_600_000_000
AGENT = ("tenant1", "agent1")


def said(body: Verdict | Allowance, rev: int = 1, agent: tuple[str, str] = AGENT) -> GuardMessage:
    return GuardMessage(tenant_id=agent[0], agent_id=agent[1], rev=rev, issued_at_us=NOW_US + rev, body=body)


def verdict(verdict_id: str, action: Any = "abort", scope: Any = "run", scope_id: str = "r1") -> Verdict:
    return Verdict(
        verdict_id=verdict_id,
        scope=scope,
        scope_id=scope_id,
        action=action,
        reason="because",
        expires_at_us=NOW_US + HOUR_US,
    )


def allowance(allowance_id: str, usd: str = "1") -> Allowance:
    return Allowance(
        allowance_id=allowance_id,
        scope="agent",
        scope_id="agent1",
        granted_usd=Decimal(usd),
        window="1h",
        expires_at_us=NOW_US + HOUR_US,
    )


def ids(ledger: GuardLedger, now_us: int = NOW_US) -> list[str]:
    return [it.verdict_id for it in ledger.in_force(AGENT, now_us)[0]]


def test_reading_everything_again_changes_nothing() -> None:
    ledger = GuardLedger()
    messages = [said(verdict("v1"), 1), said(verdict("v2", "release"), 2), said(allowance("a1"), 3)]
    assert all(ledger.add(message, NOW_US) for message in messages)
    before = ledger.in_force(AGENT, NOW_US)
    assert not any(ledger.add(message, NOW_US) for message in messages)
    assert ledger.in_force(AGENT, NOW_US) == before
    assert before[2] == NOW_US + 3


def test_the_newest_of_an_id_counts() -> None:
    for order in permutations([said(allowance("a1", "1"), 1), said(allowance("a1", "2"), 2)]):
        ledger = GuardLedger()
        for message in order:
            ledger.add(message, NOW_US)
        assert [it.granted_usd for it in ledger.in_force(AGENT, NOW_US)[1]] == [Decimal(2)]


def test_a_release_ends_earlier_verdicts_of_its_scope_only() -> None:
    ledger = GuardLedger()
    for number, item in enumerate(
        [
            verdict("r1"),
            verdict("r2", scope_id="r2"),
            verdict("s1", scope="session", scope_id="r1"),
            verdict("release", "release"),
            verdict("again"),
        ]
    ):
        ledger.add(said(item, number), NOW_US)
    assert ids(ledger) == ["r2", "s1", "release", "again"]
    ledger.add(said(verdict("all", "release", "agent", "agent1"), 9), NOW_US)
    assert ids(ledger) == ["release", "all"]


def test_what_has_lapsed_is_gone_and_agents_are_apart() -> None:
    ledger = GuardLedger()
    ledger.add(said(verdict("v1")), NOW_US)
    ledger.add(said(verdict("v2"), agent=("tenant1", "other")), NOW_US)
    assert ids(ledger, NOW_US + HOUR_US - 1) == ["v1"]
    assert ids(ledger, NOW_US + HOUR_US) == []
    assert not ledger.add(said(verdict("late")), NOW_US + HOUR_US)


def test_memory_is_bounded() -> None:
    ledger = GuardLedger()
    for number in range(MAX_PER_AGENT + 10):
        ledger.add(said(verdict(f"v{number}", scope_id=f"r{number}"), number), NOW_US)
    assert len(ids(ledger)) == MAX_PER_AGENT
    assert ids(ledger)[-1] == f"v{MAX_PER_AGENT + 9}"
