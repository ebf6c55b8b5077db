"""What was said to agents, the newest of each id, and what a release takes away."""

from decimal import Decimal
from itertools import permutations
from typing import Any

import msgspec

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


def ending(body: Verdict | Allowance, rev: int) -> GuardMessage:
    """The message that takes an id back: it ends when it is issued."""
    message = said(body, rev)
    over = msgspec.structs.replace(body, expires_at_us=message.issued_at_us)
    return msgspec.structs.replace(message, body=over)


def test_what_is_taken_back_takes_nothing_else_with_it() -> None:
    ledger = GuardLedger()
    by_rule, by_hand = verdict("rule"), verdict("by-hand", scope="agent", scope_id="agent1")
    by_budget = verdict("budget-1", scope="agent", scope_id="agent1")
    for body, rev in ((by_rule, 90_000), (by_hand, HOUR_US // 2), (by_budget, 7), (allowance("lease-1"), 8)):
        assert ledger.add(said(body, rev), NOW_US)
    said_at_us = ledger.in_force(AGENT, NOW_US)[2]
    # Its clock is ahead of ours: that it ends when it is said is enough.
    assert ledger.add(ending(by_budget, 9), NOW_US - HOUR_US)
    assert ledger.add(ending(allowance("lease-1"), 9), NOW_US)
    verdicts, allowances, newest_us = ledger.in_force(AGENT, NOW_US)
    assert [it.verdict_id for it in verdicts] == ["rule", "by-hand"]
    assert allowances == []
    assert newest_us >= said_at_us


def test_what_was_taken_back_does_not_come_again_when_it_is_sent_again() -> None:
    ledger = GuardLedger()
    told, over = said(verdict("v1"), 3), ending(verdict("v1"), 4)
    assert ledger.add(told, NOW_US)
    assert ids(ledger) == ["v1"]
    assert ledger.add(over, NOW_US)
    assert ids(ledger) == []
    for message in (told, over, told):
        assert not ledger.add(message, NOW_US)
        assert ids(ledger) == []
    assert ledger.add(said(verdict("v1"), 5), NOW_US), "but it may be said anew"
    assert ids(ledger) == ["v1"]


def test_a_small_number_of_one_writer_is_not_hidden_by_a_large_one_of_another() -> None:
    by_stitcher, by_budget = verdict("rule", scope="session", scope_id="s1"), verdict("budget-1", scope="agent")
    by_hand = verdict("by-hand", scope="agent")
    for order in permutations([(by_stitcher, 90_000), (by_budget, 7), (by_hand, HOUR_US // 2)]):
        ledger = GuardLedger()
        for body, rev in order:
            assert ledger.add(said(body, rev), NOW_US)
        assert sorted(ids(ledger)) == ["budget-1", "by-hand", "rule"]


def test_a_flood_about_runs_does_not_push_out_what_holds_the_agent() -> None:
    ledger = GuardLedger()
    ledger.add(said(verdict("halt", scope="agent", scope_id="agent1")), NOW_US)
    for number in range(MAX_PER_AGENT + 10):
        ledger.add(said(verdict(f"v{number}", scope_id=f"r{number}"), number), NOW_US)
    assert ids(ledger)[0] == "halt"
    assert len(ids(ledger)) == MAX_PER_AGENT
