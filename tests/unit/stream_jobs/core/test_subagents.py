"""Sub-agents that die, or never show themselves; and the words for what a run is for."""

from typing import Any

import pytest

from stream_jobs.contracts.span import Span
from tests.unit.stream_jobs.core.hooks import Script
from tests.unit.stream_jobs.core.stitching import Replay

CHILD_SESSION = "agent:main:subagent:1"
MINUTE_US = 60_000_000


def spawn(script: Script, child: str = "child") -> None:
    """The parent's tool call, and the hook that tells of the spawn."""
    ctx = {"runId": child, "childSessionKey": CHILD_SESSION, "requesterSessionKey": script.session}
    script.hook("subagent_spawned", {"runId": child, "childSessionKey": CHILD_SESSION, "label": "counter"}, ctx)
    details = {"status": "accepted", "runId": child, "childSessionKey": CHILD_SESSION}
    script.tool("spawn-1", "sessions_spawn", result={"content": [], "details": details})


def end_child(script: Script, outcome: str, **event: Any) -> None:
    event = {"targetSessionKey": CHILD_SESSION, "targetKind": "subagent", "outcome": outcome, **event}
    script.hook("subagent_ended", {"reason": f"subagent-{outcome}", **event}, {"childSessionKey": CHILD_SESSION})


def child_of(stitched: Replay) -> Span:
    (span,) = [it for it in stitched.of_kind("run") if it.run_id == "child"]
    return span


def in_both_orders(script: Script) -> list[Replay]:
    return [Replay().feed_each(order, 1) for order in (script.events, script.events[::-1])]


@pytest.mark.parametrize("outcome", ["error", "timeout", "killed"])
def test_a_child_that_died_without_a_hook_is_an_error_under_its_tool_call(outcome: str) -> None:
    script = Script()
    script.begin()
    spawn(script)
    end_child(script, outcome, error="no such model")
    for stitched in in_both_orders(script):
        child = child_of(stitched)
        (tool,) = stitched.of_kind("tool_call")
        assert (child.status, child.error) == ("error", f"sub-agent {outcome}: no such model")
        assert child.parent_span_id == tool.span_id
        assert child.name == "invoke_agent main (sub-agent: counter)"
        (trace,) = stitched.traces.values()
        assert (trace.num_runs, trace.num_errors) == (2, 1)


def test_a_child_whose_hooks_never_came_and_that_did_well_is_shown_too() -> None:
    script = Script()
    script.begin()
    spawn(script)
    end_child(script, "ok")
    for stitched in in_both_orders(script):
        child = child_of(stitched)
        assert (child.status, child.error) == ("ok", None)
        assert child.started_at_us < (child.ended_at_us or 0)


def test_a_childs_own_hooks_take_over() -> None:
    script = Script()
    script.begin()
    spawn(script)
    script.at("child", CHILD_SESSION).begin()
    script.call()
    script.end(1000)
    end_child(script, "ok")
    for stitched in in_both_orders(script):
        child = child_of(stitched)
        assert child.status == "ok"
        assert child.started_at_us == script.events[4].at_us
        assert child.ended_at_us == script.events[-2].at_us


def test_a_child_cut_off_in_the_middle_ends_when_its_requester_was_told() -> None:
    script = Script()
    script.begin()
    spawn(script)
    script.at("child", CHILD_SESSION).begin()
    script.call()
    end_child(script, "killed")
    for stitched in in_both_orders(script):
        child = child_of(stitched)
        assert (child.status, child.error) == ("error", "sub-agent killed: subagent-killed")
        assert child.ended_at_us == script.events[-1].at_us


def test_the_end_of_a_session_that_is_no_sub_agents_means_nothing() -> None:
    script = Script()
    script.begin()
    event = {"targetSessionKey": script.session, "targetKind": "acp", "outcome": "reset"}
    script.hook("subagent_ended", event, {"childSessionKey": script.session})
    stitched = Replay().feed_each(script.events, 1)
    assert [run.status for run in stitched.of_kind("run")] == ["running"]


def test_a_child_that_never_showed_itself_is_closed_by_silence_and_opened_by_a_late_hook() -> None:
    script = Script()
    script.begin()
    spawn(script)
    stitched = Replay()
    stitched.feed(script.events)
    stitched.tick(29 * MINUTE_US)
    assert [run.run_id for run in stitched.of_kind("run")] == ["run-1"]
    stitched.tick(30 * MINUTE_US)
    child = child_of(stitched)
    assert (child.status, child.error) == ("incomplete", "asked for, and never showed a sign of life")
    before = len(script.events)
    script.at("child", CHILD_SESSION).begin()
    stitched.feed(script.events[before:])
    child = child_of(stitched)
    assert (child.status, child.started_at_us) == ("running", script.events[before].at_us)


@pytest.mark.parametrize(
    ("run_id", "session", "trigger", "role"),
    [
        ("announce:v1:agent:main:subagent:1:child", "agent:main:main", "user", "announce"),
        ("announce:v1:agent:main:subagent:1:child:wake", "agent:main:subagent:1", "user", "wake"),
        ("announce:v1:s:announce:v1:s:child:wake", "agent:main:main", "user", "announce"),
        ("announce:requester-settle:main:agent:main:main:child:yield-1", "agent:main:main", "user", "settle"),
        ("skill-workshop-review:1", "agent:main:internal-session-effects:1", "user", "skill review"),
        ("uuid", "agent:main:internal-session-effects:1", "memory", "memory flush"),
        ("uuid", "agent:main:cron:job:run:1", "cron", "cron"),
        ("uuid", "agent:main:main", "heartbeat", "heartbeat"),
        ("uuid", "agent:main:main", "user", ""),
    ],
)
def test_names_say_what_a_run_is_for(run_id: str, session: str, trigger: str, role: str) -> None:
    script = Script(run_id=run_id, session=session)
    event = script.run_ctx() | {"trigger": trigger}
    script.hook("llm_input", {"runId": run_id, "model": "sim-1", "prompt": "Go"}, event)
    (run,) = Replay().feed_each(script.events, 1).of_kind("run")
    assert run.name == "invoke_agent main" + (f" ({role})" if role else "")
