"""Agents that stand still or fail; each story names after how many calls or minutes it is told."""

import pytest

from stream_jobs.core.cost import PriceBook
from stream_jobs.core.stitch import read_rules
from tests.unit.stream_jobs.core.stitching import Replay
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
