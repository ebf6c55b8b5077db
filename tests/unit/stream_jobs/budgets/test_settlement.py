"""What a budget counts, tells, hands out and takes back."""

from decimal import Decimal
from typing import Any

import pytest

from stream_jobs.contracts.budget import InvalidBudget, check_budget
from stream_jobs.core.budgets.leases import LATE_US, LEASE_US
from stream_jobs.core.budgets.settlement import MAX_HOLDERS, is_under, release, retire
from stream_jobs.core.budgets.state import encode_state
from stream_jobs.core.budgets.windows import DAY_US, HOUR_US, MINUTE_US, window_end
from tests.unit.stream_jobs.budgets.making import NOW_US, S_US, Guard, Kept, allowances, budget, spend, verdicts


def levels(kept: Kept) -> list[tuple[str, str]]:
    return [(alert.state, alert.evidence["threshold_percent"]) for told in kept.told for alert in told.alerts]


def test_thresholds_are_told_once_each_and_the_next_window_is_fine_again() -> None:
    kept = Kept(budget("10"))
    for _ in range(12):
        kept.settle(("laptop", spend("1")))
        kept.settle()
    assert levels(kept) == [("warn", "50"), ("warn", "80"), ("alert", "100")]
    first, second, third = (alert for told in kept.told for alert in told.alerts)
    assert len({first.alert_id, second.alert_id, third.alert_id}) == 1
    assert [first.severity, second.severity, third.severity] == ["info", "warning", "critical"]
    assert third.evidence["spent"] == "10"
    assert third.evidence["limit"] == "10"
    assert third.span_id == "s1"
    kept.settle(now_us=NOW_US + DAY_US)
    assert levels(kept)[3:] == [("ok", "0")]
    assert kept.state.spent() == 0


def test_one_dear_call_is_one_alert() -> None:
    kept = Kept(budget("10"))
    kept.settle(("laptop", spend("25")))
    assert levels(kept) == [("alert", "100")]


def test_corrections_count_and_late_spends_belong_to_their_own_day() -> None:
    kept = Kept(budget("10"))
    kept.settle(("laptop", spend("6")), ("laptop", spend("-5")), ("laptop", spend("9", NOW_US - DAY_US)))
    assert kept.state.spent() == 1
    assert levels(kept) == []


def test_a_clock_that_runs_ahead_spends_nothing_of_tomorrows() -> None:
    kept = Kept(budget("10"))
    kept.settle(("laptop", spend("9", NOW_US + 3 * DAY_US)))
    assert kept.state.spent() == 9


def test_tokens_of_a_flat_subscription_are_counted_over_five_hours() -> None:
    kept = Kept(budget("10000", unit="tokens", window="5h", action="ask"))
    for number in range(10):
        kept.settle(("laptop", spend("0")), now_us=NOW_US + number * S_US)
    assert levels(kept) == [("warn", "50"), ("warn", "80"), ("alert", "100")]
    assert [body.action for _, body in verdicts(kept.told[-1])] == ["ask"]
    assert all(not allowances(told) for told in kept.told), "guards count no tokens"
    (verdict,) = [body for _, body in verdicts(kept.told[-1])]
    assert NOW_US + 4.7 * HOUR_US < verdict.expires_at_us <= NOW_US + 5 * HOUR_US
    later = kept.settle(now_us=verdict.expires_at_us)
    assert levels(kept)[-1] == ("ok", "0")
    assert verdicts(later) == [], "it has lapsed by itself"


def test_a_window_that_looks_back_does_not_flutter() -> None:
    kept = Kept(budget("10", window="1h", action="none"))
    # 0.3 leave with the first bucket and come again with the last one.
    kept.settle(("laptop", spend("0.3")))
    kept.settle(("laptop", spend("7.8", NOW_US + 30 * MINUTE_US)), now_us=NOW_US + 30 * MINUTE_US)
    assert levels(kept) == [("warn", "80")]
    kept.settle(now_us=NOW_US + HOUR_US)
    kept.settle(("laptop", spend("0.3", NOW_US + HOUR_US)), now_us=NOW_US + HOUR_US)
    assert levels(kept) == [("warn", "80")]


@pytest.mark.parametrize(
    ("more", "covered"),
    [
        ({}, True),
        ({"agent_id": "laptop"}, True),
        ({"agent_id": "office"}, False),
        ({"openclaw_agent_id": "main"}, True),
        ({"openclaw_agent_id": "research"}, False),
        ({"session_prefix": "agent:main:"}, True),
        ({"session_prefix": "agent:main:cron:"}, False),
        ({"agent_id": "laptop", "openclaw_agent_id": "main", "session_prefix": "agent:main:main"}, True),
    ],
)
def test_what_is_under_a_budget(more: dict[str, Any], covered: bool) -> None:
    assert is_under(budget(**more), "laptop", spend()) is covered


@pytest.mark.parametrize("action", ["note", "ask", "block", "abort"])
def test_at_the_limit_every_agent_is_told_once_until_the_window_ends(action: Any) -> None:
    kept = Kept(budget("10", action=action))
    kept.settle(("laptop", spend("4")))
    told = kept.settle(("office", spend("7")), agents=("laptop", "office", "quiet"))
    found = verdicts(told)
    assert sorted(agent_id for agent_id, _ in found) == ["laptop", "office", "quiet"]
    assert {body.action for _, body in found} == {action}
    assert {(body.scope, body.scope_id) for _, body in found} == {("tenant", "acme01")}
    assert {body.expires_at_us for _, body in found} == {window_end("day", NOW_US)}
    assert {body.alert_id for _, body in found} == {told.alerts[0].alert_id}
    assert not verdicts(kept.settle(("laptop", spend("1")), agents=("laptop", "office", "quiet")))
    assert [agent_id for agent_id, _ in verdicts(kept.settle(("new", spend("0.1"))))] == ["new"]


def test_grace_is_what_may_be_spent_between_alert_and_action() -> None:
    kept = Kept(budget("10", grace_percent=20))
    told = kept.settle(("laptop", spend("11")))
    assert levels(kept) == [("alert", "100")]
    assert not verdicts(told)
    assert verdicts(kept.settle(("laptop", spend("1"))))


def test_without_an_action_nobody_is_told() -> None:
    kept = Kept(budget("10", action="none"))
    assert kept.settle(("laptop", spend("20"))).messages == []


def test_part_of_an_install_is_stopped_session_by_session() -> None:
    kept = Kept(budget("10", openclaw_agent_id="main"))
    kept.settle(("laptop", spend("6")), ("laptop", spend("50", openclaw_agent_id="research", session_key="other")))
    told = kept.settle(("laptop", spend("6", session_key="agent:main:cron:1")))
    assert [(it.scope, it.scope_id) for _, it in verdicts(told)] == [
        ("session", "agent:main:cron:1"),
        ("session", "agent:main:main"),
    ]
    assert allowances(told) == []


def test_raising_the_limit_takes_back_what_was_told_and_nothing_else() -> None:
    kept = Kept(budget("10"))
    (held,) = [body for _, body in verdicts(kept.settle(("laptop", spend("10"))))]
    kept.budget = budget("100")
    told = kept.settle()
    (lifted,) = [body for _, body in verdicts(told)]
    assert (lifted.verdict_id, lifted.action, lifted.expires_at_us) == (held.verdict_id, "abort", NOW_US)
    assert [it.granted_usd for _, it in allowances(told) if it.expires_at_us > NOW_US] == [Decimal(40)]
    kept.budget = budget("10")
    (again,) = [body for _, body in verdicts(kept.settle())]
    assert again.verdict_id != held.verdict_id, "a guard keeps the end it was told first"


def test_a_person_releases_one_agent_for_the_rest_of_the_window() -> None:
    kept = Kept(budget("10"))
    kept.settle(("laptop", spend("5")), ("office", spend("5")))
    state = kept.state
    told = release(kept.budget, state, "laptop", NOW_US)
    kept.text = encode_state(state)
    assert {agent_id for agent_id, _ in told.messages} == {"laptop"}
    assert all(body.expires_at_us == NOW_US for _, body in told.messages)
    assert kept.settle(("laptop", spend("1"))).messages == []
    tomorrow_us = NOW_US + DAY_US
    told = kept.settle(("laptop", spend("11", tomorrow_us)), now_us=tomorrow_us)
    assert sorted(agent_id for agent_id, _ in verdicts(told)) == ["laptop", "office"]


def test_a_budget_that_is_removed_takes_everything_back() -> None:
    kept = Kept(budget("10"))
    kept.settle(("laptop", spend("9")))
    kept.settle(("laptop", spend("3")))
    state = kept.state
    told = retire(kept.budget, state, NOW_US, 9)
    assert [alert.state for alert in told.alerts] == ["ok"]
    guard = Guard()
    for step in [*kept.told, told]:
        for _, body in step.messages:
            guard.hear(body, NOW_US)
    assert not guard.granted
    assert not guard.halted_by


def test_leases_are_small_renewed_in_time_and_shrink_at_the_end() -> None:
    kept, guard, now_us = Kept(budget("10", agent_id="laptop")), Guard(), NOW_US
    num_calls = 0
    while not guard.is_closed(now_us):
        now_us += S_US
        guard.draw(Decimal("0.05"), now_us)
        num_calls += 1
        for _, body in kept.settle(("laptop", spend("0.05", now_us)), now_us=now_us).messages:
            guard.hear(body, now_us)
        assert kept.state.spent() + kept.state.outstanding() <= 10
        living = guard.living(now_us)
        assert kept.state.holders["laptop"].left <= Decimal("3.1"), "what a minute of this rate comes to"
        assert (living[0].scope, living[0].scope_id, living[0].window) == ("agent", "laptop", "day")
    assert num_calls == 200, "stopped at the limit, neither before nor after"


def test_what_nobody_spent_comes_back() -> None:
    kept = Kept(budget("10"))
    kept.settle(("laptop", spend("0.5")))
    leased = kept.state.outstanding()
    assert leased == 2
    kept.settle(now_us=NOW_US + LEASE_US)
    assert kept.state.outstanding() == leased, "spends may be on their way"
    told = kept.settle(now_us=NOW_US + LEASE_US + LATE_US)
    assert kept.state.outstanding() == 0
    assert told.messages == [], "it has been quiet: nothing new"


def test_who_comes_when_all_is_handed_out_stands_still_until_there_is_room() -> None:
    kept, late = Kept(budget("1")), Guard()
    kept.settle(("laptop", spend("0.3")))
    assert kept.state.outstanding() == Decimal("0.35"), "half is for who may come"
    while kept.state.outstanding() < Decimal("0.7"):
        kept.settle(("laptop", spend("0")))
    told = kept.settle(("late", spend("0.01")))
    for agent_id, body in told.messages:
        assert agent_id == "late"
        late.hear(body, NOW_US)
    assert late.is_closed(NOW_US)
    now_us = NOW_US
    while late.is_closed(now_us):
        now_us = kept.told[-1].wake_at_us
        assert now_us < NOW_US + LEASE_US + 2 * MINUTE_US
        for agent_id, body in kept.settle(now_us=now_us).messages:
            if agent_id == "late":
                late.hear(body, now_us)
    assert late.living(now_us), "let go by a lease, not because nobody looks"


def test_the_next_look_is_always_ahead_and_soon_enough() -> None:
    kept, now_us = Kept(budget("10", window="1h")), NOW_US
    kept.settle(("laptop", spend("11")))
    for _ in range(50):
        wake_at_us = kept.told[-1].wake_at_us
        assert now_us < wake_at_us <= now_us + DAY_US
        now_us = wake_at_us
        kept.settle(now_us=now_us)
    assert levels(kept) == [("alert", "100"), ("ok", "0")]
    assert kept.state.holders == {}


@pytest.mark.parametrize(
    ("limit", "more", "said"),
    [
        ("0", {}, "above 0"),
        ("-1", {}, "above 0"),
        ("NaN", {}, "above 0"),
        ("0.0000001", {}, "decimals"),
        ("1.5", {"unit": "tokens"}, "whole"),
        ("1", {"warn_percents": [80, 50]}, "rising"),
        ("1", {"warn_percents": [100]}, "between 1 and 99"),
        ("1", {"grace_percent": 101}, "0 to 100"),
        ("1", {"session_prefix": ""}, "session prefix"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(limit: str, more: dict[str, Any], said: str) -> None:
    check_budget(budget("1"))
    with pytest.raises(InvalidBudget, match=said):
        check_budget(budget(limit, **more))


@pytest.mark.parametrize("others_usd", ["0", "9.5"])
def test_who_spends_now_and_then_is_never_without_a_lease(others_usd: str) -> None:
    kept, guard = Kept(budget("10")), Guard()
    kept.settle(("office", spend(others_usd, NOW_US - MINUTE_US)))
    spends_us = [NOW_US + number * 4 * MINUTE_US for number in range(20)]
    looks_us = 0
    for at_us in spends_us:
        while kept.told[-1].wake_at_us < at_us and kept.told[-1].wake_at_us != looks_us:
            looks_us = kept.told[-1].wake_at_us
            for agent_id, body in kept.settle(now_us=looks_us).messages:
                if agent_id == "laptop":
                    guard.hear(body, looks_us)
            assert at_us == NOW_US or guard.living(looks_us), "nothing holds it"
        guard.draw(Decimal("0.01"), at_us)
        for agent_id, body in kept.settle(("laptop", spend("0.01", at_us)), now_us=at_us).messages:
            if agent_id == "laptop":
                guard.hear(body, at_us)
        assert guard.living(at_us)
        assert not guard.is_closed(at_us)
        assert kept.state.spent() + kept.state.outstanding() <= 10


def test_memory_is_bounded() -> None:
    kept = Kept(budget("1", session_prefix="agent:", action="ask"))
    for number in range(3):
        kept.settle(*(("laptop", spend(session_key=f"agent:main:{number}-{it}")) for it in range(900)))
    assert len(kept.state.holders) == MAX_HOLDERS
