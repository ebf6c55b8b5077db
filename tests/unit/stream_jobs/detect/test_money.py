"""Money that ran away elsewhere, retold: each story is caught within the number of model calls its test names.

The prices are those of the captures: 3 dollars per million tokens in, 0.30 from the cache, 15 out.
"""

import random
from decimal import Decimal

from stream_jobs.core.cost import PriceBook
from stream_jobs.core.stitch import read_rules
from tests.unit.stream_jobs.core.stitching import Replay
from tests.unit.stream_jobs.detect.story import (
    DAY_MS,
    DEFAULTS,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    START_MS,
    Story,
    calls_until,
    go_on,
    states,
    tick,
    watch,
)


def three_ordinary_days() -> tuple[Story, Replay]:
    """Eight hours a day, about a dollar an hour in runs of four calls; some hours are three times as busy."""
    story, rng = Story(), random.Random(7)
    for day in range(3):
        for hour in range(8):
            story.until(START_MS + day * DAY_MS + (9 + hour) * HOUR_MS)
            for _ in range(rng.choice((4, 6, 6, 18))):
                story.work(tokens=rng.randint(8_000, 18_000))
                story.wait(rng.randint(1, 12) * MINUTE_MS / 2)
    story.until(START_MS + 3 * DAY_MS + 9 * HOUR_MS)
    return story, watch(story)


def test_ordinary_days_raise_nothing() -> None:
    story, replay = three_ordinary_days()
    assert len(story.events) > 3_000
    assert replay.alerts == []


def test_forty_times_the_budget_of_an_hour_is_caught_in_nine_minutes() -> None:
    """The normal hour costs a dollar; this one is on its way to forty. Within 130 calls."""
    story, replay = three_ordinary_days()
    since = len(story.events)
    began_ms = story.now_ms
    for _ in range(150):
        # Each call in a session of its own, so that neither a run nor a session is dear.
        run = story.run(f"agent:main:cron:{story.next_id('job')}")
        run.call(15_000)
        run.end()
        story.wait(4 * SECOND_MS)
    num_calls, alert = calls_until(replay, story.events[since:], "cost_rate")
    assert num_calls <= 130
    assert alert.at_us / 1_000 - began_ms <= 9 * MINUTE_MS
    assert Decimal(alert.evidence["times_usual"]) >= 8
    assert Decimal(alert.evidence["usual_usd"]) > 0
    assert alert.severity == "critical"
    # It recovers by itself when it is over, and says so once.
    go_on(replay, story, since)
    assert tick(replay, story.now_ms + 3 * MINUTE_MS) == []
    (over,) = tick(replay, story.now_ms + 11 * MINUTE_MS)
    assert (over.rule, over.state, over.alert_id) == ("cost_rate", "ok", alert.alert_id)
    assert tick(replay, story.now_ms + 12 * MINUTE_MS) == []


def test_4200_dollars_in_63_hours_on_a_429_are_caught_within_660_iterations() -> None:
    """4,800 iterations an hour at 42 dollars an hour: nine minutes, and less than six dollars."""
    story, replay = three_ordinary_days()
    since = len(story.events)
    for _ in range(800):
        run = story.run(f"agent:main:task-{story.next_id('iteration')}")
        run.call(outcome="error")
        run.call(2_900)
        run.end()
        story.wait(745)
    num_calls, alert = calls_until(replay, story.events[since:], "cost_rate")
    # Every iteration makes two calls, of which one fails at no cost.
    assert num_calls <= 2 * 660
    assert Decimal(alert.evidence["spent_usd"]) < 6


def test_47000_dollars_of_ping_pong_are_caught_within_120_calls() -> None:
    """Two agents that answer each other at 178 dollars an hour: by the rate in two minutes."""
    story, replay = three_ordinary_days()
    since = len(story.events)
    for number in range(150):
        run = story.run(f"agent:{('left', 'right')[number % 2]}:main")
        run.call(14_000, output=500)
        run.end()
        story.wait(SECOND_MS)
    assert calls_until(replay, story.events[since:], "cost_rate")[0] <= 120


def test_1283_calls_in_four_minutes_are_caught_within_760() -> None:
    """An announce run that never ends, at two thirds of a cent a call: its forecast fires first, then its limit."""
    story, replay = three_ordinary_days()
    since = len(story.events)
    run = story.run("agent:main:work", run_id="announce:v1:agent:main:subagent:x:run-9")
    for _ in range(1_283):
        run.call(2_200)
        story.wait(180)
    assert calls_until(replay, story.events[since:], "run_cost")[0] <= 760
    assert next(states(replay.alerts)) == ("cost_forecast", "alert")


def test_bursty_weeks_raise_no_false_alarm_of_the_rate() -> None:
    """Six weeks of log-normal bursts: eight active hours a day, runs of a few cents to a few dollars."""
    story, rng = Story(), random.Random(11)
    for day in range(42):
        story.until(START_MS + day * DAY_MS + 9 * HOUR_MS)
        while story.now_ms < START_MS + day * DAY_MS + 17 * HOUR_MS:
            run = story.run()
            run.call(min(1_200_000, int(rng.lognormvariate(9.5, 1.2))))
            run.end()
            story.wait(rng.expovariate(1 / (3 * MINUTE_MS)))
    replay = watch(story, rules=read_rules("[session_cost]\nenabled = false\n"))
    assert len(story.events) > 20_000
    assert replay.alerts == []


def test_a_late_spool_makes_no_rate() -> None:
    """Two days of work that come in one batch are two days of work."""
    story, _ = three_ordinary_days()
    assert watch(story, size=10_000).alerts == []


def test_a_new_price_for_old_calls_is_no_rate() -> None:
    """A hundred old calls become dear at once; the busy days had taught the rule what is usual."""
    story, replay = three_ordinary_days()
    replay.pricer = PriceBook.from_toml(
        '[[price]]\nprovider = "fake"\nmodel = "sim-1"\ninput_usd_per_mtok = "90"\noutput_usd_per_mtok = "90"\n'
    )
    price = replay.pricer.find_price("acme01", "fake", "sim-1", START_MS * 1_000)
    assert price is not None
    since = len(story.events)
    for call in replay.of_kind("model_call"):
        story.hook("reprice", {"spans": [{"span_id": call.span_id, "price_id": price.price_id}], "reason": "test"})
    go_on(replay, story, since)
    assert sum(it.cost_usd or 0 for it in replay.traces.values()) > 500
    assert "cost_rate" not in dict(states(replay.alerts))


def test_a_dear_session_warns_and_fires_with_its_sub_agents() -> None:
    """9.05 dollars of sub-agents that nobody saw: they count for the session that started them. Within 67 calls."""
    story = Story()
    run = story.run("agent:main:chat")
    run.call(1_000)
    for _ in range(40):
        child = story.run(f"agent:main:subagent:{story.next_id('child')}", parent=run)
        child.call(100_000)
        child.call(100_000)
        child.end()
    run.end()
    replay = Replay(rules=DEFAULTS)
    num_calls, alert = calls_until(replay, story.events, "session_cost")
    assert num_calls <= 68
    assert alert.labels["session_key"] == "agent:main:chat"
    assert Decimal(alert.evidence["cost_usd"]) >= 20
    assert [state for rule, state in states(replay.alerts) if rule == "session_cost"] == ["warn", "alert"]
    # A day later nothing of it counts any more.
    (over,) = (it for it in tick(replay, story.now_ms + 25 * HOUR_MS) if it.rule == "session_cost")
    assert (over.rule, over.state, over.evidence["cost_usd"]) == ("session_cost", "ok", "0")


def test_a_month_of_heartbeats_is_no_dear_session() -> None:
    story = Story()
    for _ in range(30 * 48):
        run = story.run("agent:main:main")
        run.call(2_000, cached=20_000)
        run.end()
        story.wait(HOUR_MS / 2)
    replay = watch(story)
    assert sum(it.cost_usd or 0 for it in replay.traces.values()) > 15
    assert replay.alerts == []


def test_a_session_that_costs_47_dollars_is_caught_before_21() -> None:
    story = Story()
    for _ in range(200):
        story.work("agent:main:stuck", num_calls=1, tokens=80_000)
        story.wait(MINUTE_MS)
    num_calls, alert = calls_until(Replay(rules=DEFAULTS), story.events, "session_cost")
    assert num_calls <= 84
    assert Decimal(alert.evidence["cost_usd"]) < 21


def growing(story: Story, num_calls: int, *, cached: bool, step: int = 8_000, session: str = "agent:main:grow") -> None:
    """A run that sends all it has seen with each call."""
    run = story.run(session)
    tokens = 10_000
    for _ in range(num_calls):
        run.call(step if cached else tokens, cached=tokens - step if cached else 0, output=300)
        run.tool("read")
        tokens += step
        story.wait(20 * SECOND_MS)
    run.end()


def test_history_sent_again_and_again_is_caught_within_24_calls() -> None:
    """The incident that started the reference system: every call carries more, nothing is cached."""
    story = Story()
    growing(story, 40, cached=False)
    num_calls, alert = calls_until(Replay(rules=DEFAULTS), story.events, "context_growth")
    assert num_calls <= 24
    evidence = alert.evidence
    assert Decimal(evidence["resent_usd_share"]) > Decimal("0.5")
    assert Decimal(evidence["resent_token_share"]) > Decimal("0.8")
    # By hand: the sum of 10,000 + 8,000 k for all calls but the last, at 3 dollars per million.
    num = int(evidence["num_calls"])
    assert int(evidence["resent_tokens"]) == sum(10_000 + 8_000 * k for k in range(num - 1))
    assert Decimal(evidence["resent_usd"]) == Decimal(int(evidence["resent_tokens"]) * 3) / 1_000_000


def test_growth_over_the_runs_of_a_session_is_the_same_growth() -> None:
    """A night of a planner that refines its plan (4,217 dollars): each round is a run of its own. Within 26 calls."""
    story = Story()
    tokens = 10_000
    for _ in range(60):
        run = story.run("agent:main:plan")
        run.call(tokens, output=200)
        run.end()
        tokens += 7_500
        story.wait(MINUTE_MS)
    assert calls_until(Replay(rules=DEFAULTS), story.events, "context_growth")[0] <= 26


def test_growth_without_a_price_is_told_in_tokens() -> None:
    story = Story()
    run = story.run("agent:main:flat")
    for number in range(40):
        run.call(10_000 + 8_000 * number, model="unheard-of")
    replay = Replay(rules=DEFAULTS)
    num_calls, alert = calls_until(replay, story.events, "context_growth")
    assert num_calls <= 24
    assert int(alert.evidence["resent_uncached_tokens"]) >= 2_000_000
    assert "$" not in alert.message


def test_compaction_ends_the_growth() -> None:
    story = Story()
    growing(story, 26, cached=False)
    replay = watch(story)
    assert ("context_growth", "alert") in states(replay.alerts)
    since = len(story.events)
    story.run("agent:main:grow").call(12_000)
    go_on(replay, story, since)
    (over,) = [it for it in replay.alerts if it.rule == "context_growth" and it.state == "ok"]
    assert "12000" in over.message


def test_a_long_session_with_a_working_cache_and_compactions_is_ordinary() -> None:
    """Four times from 10,000 to 178,000 tokens."""
    story = Story()
    for _ in range(4):
        growing(story, 22, cached=True, session="agent:main:long")
        story.wait(10 * MINUTE_MS)
    assert watch(story, rules=read_rules("[run_cost]\nenabled = false\n")).alerts == []


def test_a_run_that_goes_on_for_seven_hours_is_caught_by_its_forecast_within_15_calls() -> None:
    """219 turns and 15 million tokens after a 429: the forecast fires when half of the limit is spent."""
    story, replay = three_ordinary_days()
    since = len(story.events)
    run = story.run("agent:main:work")
    for _ in range(219):
        run.call(68_000)
        story.wait(110 * SECOND_MS)
    num_calls, alert = calls_until(replay, story.events[since:], "cost_forecast")
    assert num_calls <= 15
    evidence = alert.evidence
    assert Decimal(evidence["cost_usd"]) < Decimal("3.1")
    assert Decimal(evidence["p90_usd"]) > Decimal(evidence["p50_usd"]) > Decimal(evidence["limit_usd"])
    assert int(evidence["num_runs"]) > 100


def test_a_run_that_was_ended_and_keeps_calling_is_caught_within_15_calls() -> None:
    """Marked ok, and it goes on calling for seven hours."""
    story, replay = three_ordinary_days()
    since = len(story.events)
    run = story.run("agent:main:cron:daily:run:7b0e7c52-7d5a-4f3b-9d53-0d5f0b0f8a11")
    run.call(60_000)
    run.end()
    for _ in range(420):
        story.wait(MINUTE_MS)
        run.call(60_000)
    num_calls, _ = calls_until(replay, story.events[since:], "cost_forecast")
    assert num_calls <= 15


def test_a_forecast_needs_a_history() -> None:
    story = Story()
    run = story.run()
    for _ in range(15):
        run.call(100_000)
    assert watch(story).alerts == []


def test_runs_that_are_always_dear_are_not_forecast_to_be_too_dear() -> None:
    """A nightly report of three dollars: its limit is five times its own median, not that of the chat's runs."""
    story, rng = Story(), random.Random(3)
    for _ in range(30):
        run = story.run(f"agent:main:cron:report:run:{rng.randrange(10**8, 10**9)}")
        for _ in range(rng.randint(8, 14)):
            run.call(100_000)
        run.end()
        story.wait(DAY_MS)
    replay = watch(story)
    assert replay.alerts == []
