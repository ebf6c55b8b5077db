"""Agents, hooks and tokens that are no longer seen; each story names after how many calls or minutes it is told."""

from collections.abc import Sequence

import pytest

from producers.contracts.event import Event, EventBatch, Source
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
