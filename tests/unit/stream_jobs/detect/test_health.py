"""Agents that stand still, fail or are no longer seen; each story names after how many calls or minutes it is told."""

from collections.abc import Sequence

import pytest

from producers.contracts.event import Event, EventBatch, Source
from stream_jobs.core.cost import PriceBook
from stream_jobs.core.stitch import read_rules, stitch_batch
from tests.unit.stream_jobs.core.stitching import PRICES, SPOOL_ID, Replay
from tests.unit.stream_jobs.detect.story import (
    DAY_MS,
    DEFAULTS,
    HOUR_MS,
    MINUTE_MS,
    Story,
    calls_until,
    go_on,
    states,
    tick,
    watch,
)

# --- stuck_run


def test_a_silent_run_is_told_after_ten_minutes_and_is_well_when_it_goes_on() -> None:
    story = Story()
    run = story.run()
    run.call()
    replay = watch(story)
    assert tick(replay, story.now_ms + 9 * MINUTE_MS) == []
    (alert,) = tick(replay, story.now_ms + 10 * MINUTE_MS)
    assert (alert.rule, alert.state, alert.labels["run_id"]) == ("stuck_run", "alert", run.run_id)
    assert alert.evidence["silent_minutes"] == "10"
    assert tick(replay, story.now_ms + 11 * MINUTE_MS) == []
    since = len(story.events)
    story.wait(12 * MINUTE_MS)
    run.call()
    go_on(replay, story, since)
    assert list(states(replay.alerts)) == [("stuck_run", "alert"), ("stuck_run", "ok")]
    # And again, when it stands still again.
    (again,) = tick(replay, story.now_ms + 10 * MINUTE_MS)
    assert again.alert_id == alert.alert_id


def test_what_is_in_flight_has_limits_of_its_own_and_is_named() -> None:
    story = Story()
    story.run("agent:main:a").call(is_answered=False)
    story.run("agent:main:b").tool("exec", is_answered=False)
    replay = watch(story)
    assert tick(replay, story.now_ms + 14 * MINUTE_MS) == []
    (of_call,) = tick(replay, story.now_ms + 15 * MINUTE_MS)
    assert of_call.evidence["waits_for"] == "a call of fake/sim-1"
    assert replay.spans[of_call.span_id or ""].kind == "model_call"
    assert tick(replay, story.now_ms + 59 * MINUTE_MS) == []
    (of_tool,) = tick(replay, story.now_ms + 60 * MINUTE_MS)
    assert of_tool.evidence["waits_for"] == "the tool exec"
    assert replay.spans[of_tool.span_id or ""].kind == "tool_call"


def test_ended_runs_and_stopped_gateways_have_no_stuck_runs() -> None:
    story = Story()
    story.work()
    story.run("agent:main:open").call()
    story.hook("gateway_stop", {"reason": "gateway stopping"})
    replay = watch(story)
    assert tick(replay, story.now_ms + DAY_MS) == []
    assert replay.alerts == []


def test_a_stuck_run_that_ends_is_well_again() -> None:
    story = Story()
    run = story.run()
    run.call()
    replay = watch(story)
    tick(replay, story.now_ms + HOUR_MS)
    since = len(story.events)
    run.end()
    go_on(replay, story, since)
    assert [it.state for it in replay.alerts] == ["alert", "ok"]
    assert tick(replay, story.now_ms + DAY_MS) == []


def test_at_most_256_open_runs_are_remembered() -> None:
    story = Story()
    for _ in range(400):
        story.run(f"agent:main:{story.next_id('s')}").call()
    assert len(tick(watch(story), story.now_ms + HOUR_MS)) == 256


# --- tool_errors


def test_a_tool_that_always_fails_is_told_after_15_calls_and_recovers() -> None:
    story = Story()
    run = story.run()
    for number in range(1, 31):
        run.call()
        run.tool("read")
        run.tool("web_fetch", error=f"ENOTFOUND {number}")
    replay = Replay(rules=DEFAULTS)
    num_calls, alert = calls_until(replay, story.events, "tool_errors")
    assert num_calls == 15
    assert alert.labels["tool_name"] == "web_fetch"
    assert alert.evidence == {"num_failed": "15", "num_calls": "15", "share": "1.00", "last_error": "ENOTFOUND 15"}
    since = len(story.events)
    for _ in range(20):
        run.tool("web_fetch")
    replay = watch(story)
    assert len(story.events) > since
    of_rule = [it for it in replay.alerts if it.rule == "tool_errors"]
    assert of_rule[-1].state == "ok"
    assert {it.labels["tool_name"] for it in of_rule} == {"web_fetch"}


def test_now_and_then_a_failure_exit_codes_and_blocks_are_ordinary() -> None:
    story = Story()
    run = story.run()
    for number in range(100):
        run.call()
        run.tool("exec", exitCode=1)
        run.tool("read", error="ENOENT" if number % 3 == 0 else "")
        run.tool("write", error="blocked", status="blocked")
    assert "tool_errors" not in dict(states(watch(story).alerts))
    counted = watch(story, rules=read_rules("[tool_errors]\ncount_exit_codes = true\n"))
    assert [it.labels["tool_name"] for it in counted.alerts if it.rule == "tool_errors"] == ["exec"]


# --- subagent_death


def test_the_death_of_a_sub_agent_is_told_at_once() -> None:
    """It left nothing elsewhere: no mark in 5,046 tool spans of 600 traces."""
    story = Story()
    parent = story.run()
    parent.call()
    child = story.run("agent:main:subagent:0b6a", parent=parent)
    child.call()
    child.call(outcome="error")
    child.end("LLM request timed out")
    replay = watch(story, size=1)
    (alert,) = replay.alerts
    assert (alert.rule, alert.state) == ("subagent_death", "alert")
    assert alert.labels["run_id"] == child.run_id
    assert alert.labels["requester_session"] == parent.session
    assert alert.evidence["error"] == "LLM request timed out"
    assert alert.trace_id == parent.trace_id


def test_an_attempt_that_failed_is_waited_for() -> None:
    story = Story()
    parent = story.run()
    children = [story.run(f"agent:main:subagent:{name}", parent=parent) for name in ("left", "back")]
    for child in children:
        child.call(outcome="error")
        child.output()
    replay = watch(story, size=1)
    assert replay.alerts == []
    assert tick(replay, story.now_ms + MINUTE_MS) == []
    since = len(story.events)
    children[1].attempt()
    children[1].call()
    children[1].end()
    parent.end()
    go_on(replay, story, since, size=1)
    (alert,) = tick(replay, story.now_ms + 3 * MINUTE_MS)
    assert (alert.rule, alert.labels["run_id"]) == ("subagent_death", children[0].run_id)


@pytest.mark.parametrize("error", ["", "agent run aborted"])
def test_a_sub_agent_that_ended_well_or_was_stopped_is_not_dead(error: str) -> None:
    story = Story()
    parent = story.run()
    child = story.run("agent:main:subagent:0b6a", parent=parent)
    child.call()
    child.end(error)
    parent.end()
    replay = watch(story)
    assert replay.alerts == []
    assert tick(replay, story.now_ms + HOUR_MS) == []


def test_a_top_run_that_failed_is_no_sub_agent() -> None:
    story = Story()
    run = story.run()
    run.call(outcome="error")
    run.end("429")
    assert watch(story).alerts == []


# --- unpriced_model


def test_an_unknown_model_is_told_once_with_its_fix_until_it_has_a_price() -> None:
    story = Story()
    run = story.run()
    for _ in range(5):
        run.call(model="novel-1")
        run.call(model="novel-2")
    replay = watch(story, size=3)
    assert [(it.rule, it.labels["model"]) for it in replay.alerts] == [
        ("unpriced_model", "fake/novel-1"),
        ("unpriced_model", "fake/novel-2"),
    ]
    assert replay.alerts[0].evidence["fix"] == "clawtrace prices set fake novel-1"
    assert "clawtrace prices set fake novel-1" in replay.alerts[0].message
    replay.pricer = PriceBook.from_toml(
        '[[price]]\nprovider = "fake"\nmodel = "novel-1"\ninput_usd_per_mtok = "1"\noutput_usd_per_mtok = "1"\n'
    )
    since = len(story.events)
    run.call(model="novel-1")
    run.call(model="novel-2")
    go_on(replay, story, since)
    assert (replay.alerts[-1].labels["model"], replay.alerts[-1].state) == ("fake/novel-1", "ok")
    assert len(replay.alerts) == 3


def test_models_of_ones_own_machine_need_no_price() -> None:
    story = Story()
    story.run().call(model="novel-1")
    assert watch(story, rules=read_rules('[unpriced_model]\nfree_providers = ["fake"]\n')).alerts == []


# --- no_data


def half_hourly(story: Story, hours: int) -> None:
    for _ in range(2 * hours):
        story.work("agent:main:main", num_calls=1)
        story.wait(HOUR_MS / 2)


def test_an_agent_that_was_always_there_is_missed_after_90_minutes() -> None:
    story = Story()
    half_hourly(story, 50)
    replay = watch(story)
    last_ms = story.events[-1].at_us // 1_000
    assert tick(replay, last_ms + 89 * MINUTE_MS) == []
    (alert,) = tick(replay, last_ms + 91 * MINUTE_MS)
    assert (alert.rule, alert.state) == ("no_data", "no_data")
    assert alert.evidence["silent_minutes"] == "91"
    assert tick(replay, last_ms + DAY_MS) == []
    since = len(story.events)
    story.wait(DAY_MS)
    story.work()
    go_on(replay, story, since)
    assert [(it.state, it.alert_id == alert.alert_id) for it in replay.alerts] == [("no_data", True), ("ok", True)]


def test_a_laptop_is_not_missed() -> None:
    story = Story()
    for day in range(10):
        story.until(morning_of(day))
        half_hourly(story, 12)
    assert tick(watch(story), story.now_ms + 3 * DAY_MS) == []


def morning_of(day: int) -> int:
    return Story().now_ms + day * DAY_MS + 8 * HOUR_MS


def test_a_gateway_that_said_that_it_stops_is_not_missed() -> None:
    story = Story()
    half_hourly(story, 60)
    story.hook("gateway_stop", {"reason": "gateway stopping"})
    story.hook("session_end", {"sessionKey": "agent:main:main", "reason": "shutdown"})
    replay = watch(story)
    assert tick(replay, story.now_ms + 3 * DAY_MS) == []
    # A reload says the same, but the agent goes on.
    since = len(story.events)
    story.work()
    go_on(replay, story, since)
    assert [it.state for it in tick(replay, story.now_ms + 2 * HOUR_MS)] == ["no_data"]


def test_zero_minutes_is_never() -> None:
    story = Story()
    half_hourly(story, 60)
    replay = watch(story, rules=read_rules("[no_data]\nno_data_minutes = 0\n"))
    assert tick(replay, story.now_ms + 9 * DAY_MS) == []


# --- blindness


def feed_from(replay: Replay, host_version: str, events: Sequence[Event]) -> None:
    """Feed events as a plugin inside a version of OpenClaw sends them."""
    batch = EventBatch(
        tenant_id="acme01",
        agent_id="box-1",
        source=Source(name="test", host_version=host_version),
        spool_id=SPOOL_ID,
        received_at_us=0,
        events=list(events),
    )
    result = stitch_batch(replay.store, batch, replay.next_rev, PRICES, replay.rules)
    replay.next_rev += 1
    for key, value in result.changes.items():
        assert value is not None
        replay.store[key] = value
    replay.alerts += result.alerts


def working(num_runs: int, *, without: set[str] | None = None, story: Story | None = None) -> list[Event]:
    """Ordinary runs of two calls and two tools, some hooks of which never come."""
    story = story or Story()
    since = len(story.events)
    for _ in range(num_runs):
        run = story.run()
        for _ in range(2):
            run.call()
            run.tool("read")
        run.end()
    return [it for it in story.events[since:] if it.hook not in (without or set())]


def test_after_tool_call_gone_with_an_upgrade_is_told_within_40_tool_calls() -> None:
    """From 1,781 a day to mostly none: three in a hundred still come."""
    story, replay = Story(), Replay(rules=DEFAULTS)
    feed_from(replay, "2026.9.2", working(100, story=story))
    assert replay.alerts == []
    broken = working(60, story=story)
    kept = {it.event_id for number, it in enumerate(broken) if it.hook == "after_tool_call" and number % 31 == 0}
    num_tools = 0
    for event in broken:
        if event.hook == "after_tool_call" and event.event_id not in kept:
            continue
        num_tools += event.hook == "before_tool_call"
        feed_from(replay, "2026.9.3", [event])
        if replay.alerts:
            break
    assert num_tools <= 40
    (alert,) = replay.alerts
    assert (alert.rule, alert.state) == ("blindness", "alert")
    evidence = alert.evidence
    assert (evidence["hook"], evidence["counted_per"]) == ("after_tool_call", "before_tool_call")
    assert (evidence["host_version_before"], evidence["host_version"]) == ("2026.9.2", "2026.9.3")
    assert float(evidence["rate_before"]) == 1.0
    assert float(evidence["rate_now"]) <= 0.2
    assert "since OpenClaw 2026.9.3" in alert.message
    # The next release brings it back.
    feed_from(replay, "2026.9.4", working(60, story=story))
    assert [it.state for it in replay.alerts] == ["alert", "ok"]


@pytest.mark.parametrize(
    ("hook", "max_runs"),
    [("llm_input", 40), ("llm_output", 40), ("agent_event", 40), ("before_tool_call", 20), ("model_call_started", 20)],
)
def test_a_hook_that_used_to_come_is_missed(hook: str, max_runs: int) -> None:
    story, replay = Story(), Replay(rules=DEFAULTS)
    replay.feed_each(working(60, story=story), 50)
    assert replay.alerts == []
    replay.feed_each(working(max_runs, story=story, without={hook}), 50)
    assert hook in {it.evidence["hook"] for it in replay.alerts if it.state == "alert"}


def test_calls_without_tokens_are_told_from_the_start() -> None:
    """A provider that reports no usage, or messages that never come: within 21 answered calls."""
    story = Story()
    run = story.run()
    for _ in range(30):
        run.call(usage={"input": 0, "output": 0})
        run.tool("read")
    num_calls, alert = calls_until(Replay(rules=DEFAULTS), story.events, "blindness")
    assert num_calls <= 21
    assert alert.evidence["hook"] == "usage"


def test_what_never_came_is_not_missed() -> None:
    """No permission to read the conversation, from the start: its hooks never come."""
    replay = Replay(rules=DEFAULTS)
    replay.feed_each(working(200, without={"llm_input", "llm_output", "agent_event"}), 50)
    assert replay.alerts == []


def test_a_permission_that_is_given_later_and_taken_back_is_told() -> None:
    story, replay = Story(), Replay(rules=DEFAULTS)
    closed = {"llm_input", "llm_output"}
    replay.feed_each(working(60, without=closed, story=story), 50)
    replay.feed_each(working(400, story=story), 50)
    assert replay.alerts == []
    replay.feed_each(working(60, without=closed, story=story), 50)
    assert "llm_input" in {it.evidence["hook"] for it in replay.alerts}


def test_failing_calls_and_chats_without_tools_are_no_blindness() -> None:
    story = Story()
    for _ in range(100):
        run = story.run()
        run.call(outcome="error")
        run.call()
        run.end()
    assert "blindness" not in dict(states(watch(story).alerts))


def test_hooks_that_fire_three_times_are_no_blindness() -> None:
    story = Story()
    for _ in range(100):
        run = story.run()
        run.call()
        run.tool("read", num_before=3)
        run.end()
    assert watch(story).alerts == []


def test_ignored_hooks_are_not_missed() -> None:
    story = Story()
    rules = read_rules('[blindness]\nignore_hooks = ["llm_output"]\n')
    replay = Replay(rules=rules).feed_each(working(60, story=story), 50)
    replay.feed_each(working(60, story=story, without={"llm_output"}), 50)
    assert replay.alerts == []
