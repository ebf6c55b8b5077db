"""Runs: their traces, parents and ends."""

import pytest

from tests.unit.stream_jobs.core.hooks import TRACE_ID, Script
from tests.unit.stream_jobs.core.stitching import Replay, events_of, lines_of, make_event, replay


def stitch(script: Script) -> Replay:
    stitched = Replay()
    stitched.feed(script.events)
    return stitched


def test_a_run_without_a_trace_waits_for_it() -> None:
    script = Script()
    script.reply("Count the lines")
    stitched = stitch(script)
    assert stitched.spans == {}
    script.begin()
    stitched.feed(script.events[1:])
    (trace,) = stitched.traces.values()
    assert (trace.trace_id, trace.name) == (TRACE_ID, "Count the lines")
    assert trace.started_at_us == script.events[0].at_us


@pytest.mark.parametrize("scenario", ["model-cooldown", "guard-reply"])
def test_a_run_that_never_gets_a_trace_is_shown_when_its_session_ends(scenario: str) -> None:
    lines = lines_of(scenario)
    sessions = {line["ctx"]["sessionKey"] for line in lines}
    last_ms = lines[-1]["tsMs"]
    for number, session in enumerate(sorted(sessions)):
        ctx = {"sessionKey": session}
        lines.append({"hook": "session_end", "tsMs": last_ms + number, "event": ctx, "ctx": ctx})
    stitched = Replay().feed_each(events_of(lines), 3)
    assert len(stitched.traces) == len(stitched.of_kind("run")) == len(sessions)
    assert {run.status for run in stitched.of_kind("run")} == {"incomplete"}
    assert not any(trace.is_open for trace in stitched.traces.values())


def test_a_run_on_cooldown_is_shown_by_its_lifecycle() -> None:
    stitched = replay("model-cooldown", with_agent_events=True)
    assert [trace.status for trace in stitched.traces.values()] == ["error", "error"]
    assert all("temporarily disabled" in (run.error or "") for run in stitched.of_kind("run"))


def test_an_answered_turn_is_shown_when_the_session_goes_on() -> None:
    script = Script()
    script.reply("first")
    script.at("run-2", script.session).reply("second")
    script.begin()
    stitched = stitch(script)
    names = {trace.name: trace for trace in stitched.traces.values()}
    assert set(names) == {"first", "second"}
    assert names["first"].trace_id != TRACE_ID
    assert names["second"].trace_id == TRACE_ID


def test_an_early_lifecycle_end_makes_no_second_trace() -> None:
    script = Script()
    script.reply()
    script.begin()
    script.call()
    script.end(1000)
    script.lifecycle("end")
    stitched = Replay()
    for event in (script.events[0], script.events[-1], *script.events[1:-1]):
        stitched.feed([event])
    assert set(stitched.traces) == {TRACE_ID}


def test_a_new_attempt_opens_a_run_again() -> None:
    script = Script()
    script.begin()
    script.call(tokens=0, outcome="error", response_id=None, stop="error", error="503 busy")
    script.end()
    stitched = stitch(script)
    (run,) = stitched.of_kind("run")
    assert (run.status, run.error) == ("error", "503 busy")
    before = len(script.events)
    script.begin()
    stitched.feed(script.events[before:])
    assert [it.status for it in stitched.of_kind("run")] == ["running"]
    assert all(trace.is_open and trace.ended_at_us is None for trace in stitched.traces.values())
    before = len(script.events)
    script.call()
    script.end(1000)
    stitched.feed(script.events[before:])
    assert [it.status for it in stitched.of_kind("run")] == ["ok"]
    assert [it.attempt for it in stitched.of_kind("model_call")] == [1, 2]


def test_the_lifecycle_has_the_last_word() -> None:
    script = Script()
    script.begin()
    script.call()
    script.end(1000)
    script.lifecycle("error", error="agent run aborted")
    (run,) = stitch(script).of_kind("run")
    assert (run.status, run.error) == ("error", "agent run aborted")


def test_an_unsettled_lifecycle_end_is_no_end() -> None:
    script = Script()
    script.begin()
    script.lifecycle("end", executionSettled=False)
    assert [it.status for it in stitch(script).of_kind("run")] == ["running"]


def test_a_loop_stop_is_an_error_of_the_run_and_no_call() -> None:
    stitched = replay("loop-detection")
    (run,) = stitched.of_kind("run")
    assert run.status == "error"
    assert "tool-loop recovery" in (run.error or "")
    assert {call.status for call in stitched.of_kind("model_call")} == {"ok"}


def test_a_gate_blocks_a_run() -> None:
    for merged in (False, True):
        (trace,) = replay("guard-run", with_agent_events=merged).traces.values()
        assert (trace.status, trace.is_open, trace.has_error) == ("blocked", False, False)


def spawn(script: Script, child: str, child_session: str) -> None:
    details = {"status": "accepted", "runId": child, "childSessionKey": child_session}
    script.tool("spawn-1", "sessions_spawn", result={"content": [], "details": details})


def test_a_child_hangs_under_its_parents_harness_span_until_the_tool_call_is_known() -> None:
    script = Script()
    script.begin()
    parent_harness = script.harness_id
    spawn(script, "child", "agent:main:subagent:1")
    script.at("child", "agent:main:subagent:1").begin(parent=parent_harness)
    script.call()
    stitched = Replay()
    for event in (script.events[0], *script.events[3:], *script.events[1:3]):
        stitched.feed([event])
        for span in stitched.of_kind("run"):
            assert span.run_id == "run-1" or span.parent_span_id in stitched.spans
    runs = {run.run_id: run for run in stitched.of_kind("run")}
    (tool,) = stitched.of_kind("tool_call")
    (call,) = stitched.of_kind("model_call")
    assert runs["child"].parent_span_id == tool.span_id
    assert runs["child"].link_rev == 6
    assert call.path == [runs["run-1"].span_id, tool.span_id, runs["child"].span_id]


def test_a_child_without_links_hangs_under_the_requesters_newest_run() -> None:
    script = Script()
    script.begin()
    ctx = {"runId": "child", "childSessionKey": "agent:main:subagent:1", "requesterSessionKey": script.session}
    script.hook("subagent_spawned", {"runId": "child", "childSessionKey": "agent:main:subagent:1"}, ctx)
    script.at("child", "agent:main:subagent:1").begin()
    stitched = stitch(script)
    runs = {run.run_id: run for run in stitched.of_kind("run")}
    assert runs["child"].parent_span_id == runs["run-1"].span_id
    assert runs["child"].flags == []


def test_a_child_of_nobody_is_an_orphan() -> None:
    script = Script()
    script.begin()
    script.at("child", "agent:main:subagent:1").begin(parent="unknown")
    stitched = stitch(script)
    runs = {run.run_id: run for run in stitched.of_kind("run")}
    assert runs["child"].flags == ["orphan"]
    assert runs["child"].parent_span_id == runs["run-1"].span_id
    assert stitched.counts["orphans"] == 1


def test_a_child_that_never_reached_a_model_is_in_its_parents_trace() -> None:
    script = Script()
    script.begin()
    spawn(script, "child", "agent:main:subagent:1")
    script.at("child", "agent:main:subagent:1").reply("Help me")
    stitched = stitch(script)
    assert set(stitched.traces) == {TRACE_ID}
    assert [run.run_id for run in stitched.of_kind("run")] == ["run-1", "child"]


def test_nothing_is_linked_across_traces() -> None:
    script = Script()
    script.begin()
    spawn(script, "child", "agent:main:subagent:1")
    script.trace_id = "b" * 32
    script.at("child", "agent:main:subagent:1").begin()
    for order in (script.events, script.events[::-1]):
        stitched = Replay()
        for event in order:
            stitched.feed([event])
        assert [run.parent_span_id for run in stitched.of_kind("run")] == [None, None]
        assert len(stitched.traces) == 2


def test_upkeep_hangs_under_the_run_it_served() -> None:
    stitched = replay("auto-compaction")
    for trace in stitched.traces.values():
        assert trace.category == "work"
        root = stitched.spans[trace.root_span_id or ""]
        assert ":compaction:" not in (root.run_id or "")


def test_categories() -> None:
    assert {trace.category for trace in replay("heartbeat").traces.values()} == {"heartbeat"}
    assert [trace.category for trace in replay("compaction").traces.values()].count("memory") == 1


def test_a_clock_set_back_makes_no_negative_duration() -> None:
    script = Script()
    script.begin()
    late = script.end(0)
    stitched = Replay()
    stitched.feed([script.events[0], make_event(late.seq, "llm_output", 5, {"runId": "run-1"}, script.run_ctx())])
    (trace,) = stitched.traces.values()
    assert trace.duration_ms is not None
    assert trace.duration_ms >= 0
    assert all((span.duration_ms or 0) >= 0 for span in stitched.spans.values())
