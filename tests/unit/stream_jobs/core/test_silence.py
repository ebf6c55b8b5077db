"""Ticks: what has gone silent is closed, what is heard of again is opened, what works is left alone."""

from stream_jobs.core.stitch import read_rules
from tests.unit.stream_jobs.core.hooks import Script
from tests.unit.stream_jobs.core.stitching import RULES, Replay

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US


def begun() -> Script:
    """A run with a model call and a tool call that have not ended."""
    script = Script()
    script.begin()
    script.call()
    script.call(tokens=None)
    script.events.pop()
    ctx = {"runId": script.run_id, "sessionKey": script.session}
    event = {"toolName": "exec", "runId": script.run_id, "toolCallId": "tool-1", "params": {"a": 1}}
    script.hook("before_tool_call", event, {**ctx, "trace": script.trace("x", script.harness_id)})
    return script


def statuses(stitched: Replay) -> dict[str, list[str]]:
    return {kind: [it.status for it in stitched.of_kind(kind)] for kind in ("run", "model_call", "tool_call")}


def test_a_silent_run_is_closed_with_its_open_calls() -> None:
    stitched = Replay(now_us=5 * MINUTE_US)
    # The model is being asked; no tool is running.
    stitched.feed(begun().events[:-1])
    assert statuses(stitched)["run"] == ["running"]
    assert stitched.due is not None
    assert stitched.due.at_us == 35 * MINUTE_US
    stitched.tick(35 * MINUTE_US - 1)
    assert statuses(stitched)["run"] == ["running"]
    stitched.tick(35 * MINUTE_US)
    assert statuses(stitched) == {"run": ["incomplete"], "model_call": ["ok", "incomplete"], "tool_call": []}
    assert all(span.ended_at_us is not None for span in stitched.spans.values())
    (trace,) = stitched.traces.values()
    assert (trace.status, trace.is_open) == ("incomplete", False)
    assert stitched.due.at_us == 0


def test_a_run_waits_longer_for_a_tool_than_for_anything_else() -> None:
    stitched = Replay()
    stitched.feed(begun().events)
    stitched.tick(30 * MINUTE_US)
    stitched.tick(90 * MINUTE_US - 1)
    assert statuses(stitched) == {"run": ["running"], "model_call": ["ok", "running"], "tool_call": ["running"]}
    stitched.tick(90 * MINUTE_US)
    assert statuses(stitched) == {
        "run": ["incomplete"],
        "model_call": ["ok", "incomplete"],
        "tool_call": ["incomplete"],
    }


def test_a_tool_that_takes_an_hour_is_never_seen_as_gone() -> None:
    script = Script()
    script.begin()
    script.call()
    script.tool("tool-1")
    stitched = Replay()
    stitched.feed(script.events[:-1])
    for minutes in range(1, 60):
        stitched.tick(minutes * MINUTE_US)
    assert "incomplete" not in {span.status for span in stitched.spans.values()}
    stitched.now_us = HOUR_US
    stitched.feed(script.events[-1:])
    assert statuses(stitched)["tool_call"] == ["ok"]
    # Now nothing is running any more, and the shorter time counts.
    stitched.tick(HOUR_US + 30 * MINUTE_US - 1)
    assert statuses(stitched)["run"] == ["running"]
    stitched.tick(HOUR_US + 30 * MINUTE_US)
    assert statuses(stitched)["run"] == ["incomplete"]


def test_a_run_waits_for_the_tool_of_its_sub_agent() -> None:
    script = Script()
    script.begin()
    details = {"status": "accepted", "runId": "child", "childSessionKey": "agent:main:subagent:1"}
    script.tool("spawn-1", "sessions_spawn", result={"content": [], "details": details})
    script.at("child", "agent:main:subagent:1").begin()
    script.tool("tool-1")
    stitched = Replay()
    stitched.feed(script.events[:-1])
    for minutes in range(1, 90):
        stitched.tick(minutes * MINUTE_US)
    assert statuses(stitched)["run"] == ["running", "running"]
    stitched.tick(90 * MINUTE_US)
    assert statuses(stitched)["run"] == ["incomplete", "incomplete"]


def test_a_late_event_opens_all_again() -> None:
    script = begun()
    stitched = Replay()
    stitched.feed(script.events)
    stitched.tick(2 * HOUR_US)
    script.end(1000)
    stitched.feed(script.events[-1:])
    assert statuses(stitched) == {"run": ["ok"], "model_call": ["ok", "running"], "tool_call": ["running"]}


def test_calls_without_an_end_of_a_run_that_has_ended_are_closed_too() -> None:
    script = begun()
    script.end(1000)
    stitched = Replay()
    stitched.feed(script.events)
    stitched.tick(HOUR_US)
    assert statuses(stitched) == {"run": ["ok"], "model_call": ["ok", "incomplete"], "tool_call": ["incomplete"]}


def test_a_run_is_not_silent_while_its_child_works() -> None:
    script = Script()
    script.begin()
    details = {"status": "accepted", "runId": "child", "childSessionKey": "agent:main:subagent:1"}
    script.tool("spawn-1", "sessions_spawn", result={"content": [], "details": details})
    script.at("child", "agent:main:subagent:1").begin()
    stitched = Replay()
    stitched.feed(script.events)
    for minutes in range(20, 200, 20):
        stitched.now_us = minutes * MINUTE_US
        before = len(script.events)
        script.call()
        stitched.feed(script.events[before:])
        stitched.tick(stitched.now_us + 10 * MINUTE_US)
        assert statuses(stitched)["run"] == ["running", "running"]
    stitched.tick(300 * MINUTE_US)
    assert statuses(stitched)["run"] == ["incomplete", "incomplete"]


def test_the_limit_is_a_setting_and_can_be_off() -> None:
    long = "idle_minutes = 200"
    quick = "idle_minutes = 5\n[stuck_run]\ntool_minutes = 54"
    slow = "idle_minutes = 5\n[stuck_run]\ntool_minutes = 56"
    for text, status in ((quick, "incomplete"), (slow, "running"), (long, "running")):
        stitched = Replay(rules=read_rules(f"[closing]\n{text}\n"))
        stitched.feed(begun().events)
        stitched.tick(HOUR_US)
        assert statuses(stitched)["run"] == [status]
    for text, status in ((long, "running"), ("enabled = false", "")):
        stitched = Replay(rules=read_rules(f"[closing]\n{text}\n"))
        stitched.feed(begun().events)
        stitched.tick(2 * HOUR_US)
        assert statuses(stitched)["run"] == [status or "running"]


def test_a_tick_that_changes_nothing_writes_nothing() -> None:
    script = Script()
    script.begin()
    script.call()
    script.end(1000)
    stitched = Replay(rules=RULES)
    stitched.feed(script.events)
    # Rules may remember that time has passed; twice at the same instant they have nothing new to remember.
    stitched.tick(5 * MINUTE_US)
    again = stitched.tick()
    assert (again.changes, again.spans, again.traces) == ({}, [], [])


def test_pages_of_watched_runs_stay_small_and_empty_themselves() -> None:
    num_runs = 100
    script = Script()
    for number in range(num_runs):
        script.at(f"run-{number}", f"agent:main:{number}").begin()
    stitched = Replay().feed_each(script.events, 7)
    pages = [value for key, value in stitched.store.items() if b"\x1fo\x1f" in key]
    assert len(pages) == 4
    assert max(map(len, pages)) < 32 * 12
    before = len(script.events)
    for number in range(0, num_runs, 2):
        script.at(f"run-{number}", f"agent:main:{number}").end(0)
    stitched.feed_each(script.events[before:], 3)
    assert len([key for key in stitched.store if b"\x1fo\x1f" in key]) == 2
    stitched.tick(HOUR_US)
    found = [it.status for it in stitched.of_kind("run")]
    assert (found.count("ok"), found.count("incomplete")) == (50, 50)
    assert not [key for key in stitched.store if b"\x1fo\x1f" in key]


def test_rules_hear_of_time_for_a_day() -> None:
    stitched = Replay(now_us=90 * MINUTE_US)
    stitched.feed(begun().events)
    assert stitched.due is not None
    assert 24 * HOUR_US < stitched.due.every_minute_until_us - 90 * MINUTE_US <= 25 * HOUR_US
