"""Attempts, compactions and guard spans."""

import itertools
from typing import Any

import msgspec
import pytest

from stream_jobs.core.stitch import read_rules
from tests.unit.stream_jobs.core.hooks import Script
from tests.unit.stream_jobs.core.stitching import Replay, replay


def two_attempts() -> Script:
    script = Script()
    script.harness_id = "harness-1"
    script.begin()
    script.call(tokens=0, outcome="error", response_id=None, stop="error", error="503 busy")
    script.end()
    script.harness_id = "harness-2"
    script.begin()
    script.call()
    script.tool("tool-1")
    script.end(1000)
    return script


def test_a_run_with_one_attempt_has_no_attempt_spans() -> None:
    assert replay("multi-tool").of_kind("attempt") == []


def test_calls_hang_under_their_attempt() -> None:
    for order in (two_attempts().events, two_attempts().events[::-1]):
        stitched = Replay().feed_each(order, 1)
        (run,) = stitched.of_kind("run")
        first, second = stitched.of_kind("attempt")
        assert [(it.span_id, it.name, it.attempt) for it in (first, second)] == [
            ("harness-1", "attempt 1", 1),
            ("harness-2", "attempt 2", 2),
        ]
        assert (first.status, first.error, second.status) == ("error", "503 busy", "ok")
        assert first.parent_span_id == second.parent_span_id == run.span_id
        assert [it.parent_span_id for it in stitched.of_kind("model_call")] == ["harness-1", "harness-2"]
        assert [it.parent_span_id for it in stitched.of_kind("tool_call")] == ["harness-2"]
        assert all(it.path[0] == run.span_id for it in (first, second, *stitched.of_kind("model_call")))
        assert run.status == "ok"


def test_the_first_attempt_moves_only_when_the_second_shows() -> None:
    script = two_attempts()
    stitched = Replay()
    stitched.feed(script.events[:5])
    (run,) = stitched.of_kind("run")
    assert [it.parent_span_id for it in stitched.of_kind("model_call")] == [run.span_id]
    stitched.feed(script.events[5:6])
    assert [it.parent_span_id for it in stitched.of_kind("model_call")] == ["harness-1"]
    assert [it.status for it in stitched.of_kind("attempt")] == ["error", "running"]


def test_one_harness_span_for_two_attempts_is_no_double() -> None:
    script = Script()
    for _ in range(3):
        script.begin()
        script.call()
        script.end(1000)
    stitched = Replay().feed_each(script.events, 1)
    assert len(stitched.of_kind("attempt")) == 3
    assert [trace.num_spans for trace in stitched.traces.values()] == [7]


def compaction_hook(script: Script, when: str, **event: Any) -> None:
    script.hook(f"{when}_compaction", event, {"sessionKey": script.session, "sessionId": "s-1", "agentId": "main"})


def test_the_hooks_around_a_compaction_tell_what_it_did() -> None:
    spans = replay("auto-compaction").of_kind("compaction")
    assert len(spans) == 3
    for span in spans:
        before, after = (msgspec.json.decode((text or "").encode()) for text in (span.input, span.output))
        assert before["messageCount"] == 4
        assert (after["messageCount"], after["compactedCount"]) == (2, 2)
        assert before["tokenCount"] > after["tokenCount"]
        assert (span.name, span.status) == ("compaction", "ok")


def test_a_compaction_without_model_calls_is_a_span_of_the_run_before_it() -> None:
    script = Script()
    script.begin()
    compaction_hook(script, "before", messageCount=9, tokenCount=900)
    compaction_hook(script, "after", messageCount=2, tokenCount=90, compactedCount=7)
    script.call()
    script.end(1000)
    for order in itertools.permutations(script.events[:4]):
        stitched = Replay().feed_each([*order, *script.events[4:]], 1)
        (run,) = stitched.of_kind("run")
        (span,) = stitched.of_kind("compaction")
        assert (span.parent_span_id, span.status) == (run.span_id, "ok")
        assert (span.started_at_us, span.ended_at_us) == (script.events[1].at_us, script.events[2].at_us)
        assert [trace.num_runs for trace in stitched.traces.values()] == [1]


def decide(script: Script, action: str, ctx: dict[str, Any] | None = None, **more: Any) -> None:
    event: dict[str, Any] = {
        "decision_id": f"d-{len(script.events)}",
        "action": action,
        "scope": "run",
        "scope_id": script.run_id,
    }
    event |= {"reason": "Over the limit.", "spent_usd": "1.20", "limit_usd": "1.00", "policy_rev": 3}
    script.hook("guard_decision", event | more, {"runId": script.run_id, "sessionKey": script.session, **(ctx or {})})


def test_a_decision_of_the_guard_is_a_span_under_its_run_or_tool_call() -> None:
    script = Script()
    script.begin()
    decide(script, "note")
    script.tool("tool-1", result={"details": {"status": "blocked"}}, error="Over the limit.")
    decide(script, "block", {"toolCallId": "tool-1"})
    for order in (script.events, script.events[::-1]):
        stitched = Replay().feed_each(order, 1)
        (run,) = stitched.of_kind("run")
        (tool,) = stitched.of_kind("tool_call")
        note, block = stitched.of_kind("guard")
        assert (note.name, note.status, note.error, note.parent_span_id) == ("guard note", "ok", None, run.span_id)
        assert (block.name, block.status, block.error) == ("guard block", "blocked", "Over the limit.")
        assert block.parent_span_id == tool.span_id
        assert msgspec.json.decode((block.output or "").encode())["limit_usd"] == "1.00"
        assert [trace.num_errors for trace in stitched.traces.values()] == [0]


def test_a_decision_before_the_trace_is_known_waits_for_it() -> None:
    script = Script()
    script.reply()
    decide(script, "abort")
    stitched = Replay().feed_each(script.events, 1)
    assert stitched.spans == {}
    script.begin()
    stitched.feed(script.events[-1:])
    assert [it.status for it in stitched.of_kind("guard")] == ["blocked"]


def obey(script: Script, action: str, scope: str, scope_id: str, **more: Any) -> None:
    """What the plugin tells when it does what it was told: no run is named."""
    event = {"decision_id": f"d-{len(script.events)}", "action": action, "scope": scope, "scope_id": scope_id}
    script.hook("guard_decision", {**event, "reason": "Enough.", "spent_usd": None, "limit_usd": None, **more})


@pytest.mark.parametrize(
    ("scope", "scope_id", "home"),
    [
        ("agent", "box-1", "run-2"),
        ("tenant", "acme01", "run-2"),
        ("session", "agent:main:one", "run-1"),
        ("run", "run-1", "run-1"),
        ("run", "b" * 32, "run-2"),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_an_order_obeyed_is_a_span_under_the_newest_run_that_it_covers(
    scope: str, scope_id: str, home: str, size: int
) -> None:
    script = Script()
    script.begin()
    script.trace_id = "b" * 32
    script.at("run-2", "agent:main:two").begin()
    obey(script, "abort", scope, scope_id)
    obey(script, "release", scope, scope_id)
    # Begun later: no order that was obeyed before is about it.
    script.trace_id = "c" * 32
    script.at("run-3", "agent:main:one").begin()
    stitched = Replay().feed_each(script.events, size)
    abort, release = stitched.of_kind("guard")
    assert (abort.run_id, abort.status, abort.error) == (home, "blocked", "Enough.")
    assert (release.run_id, release.status, release.name) == (home, "ok", "guard release")
    (run,) = (it for it in stitched.of_kind("run") if it.run_id == home)
    assert abort.parent_span_id == release.parent_span_id == run.span_id
    assert stitched.counts["decisions_without_run"] == 0


def test_an_order_obeyed_hangs_where_its_verdict_does() -> None:
    script = Script()
    script.begin()
    for _ in range(4):
        script.call(tokens=10_000)
    rules = read_rules('[run_cost]\nlimit_usd = "0.06"\naction = "abort"\n')
    stitched = Replay(rules=rules).feed_each(script.events, 1)
    (verdict,) = stitched.verdicts
    told = len(script.events)
    script.at("run-2", "agent:main:two").begin()
    obey(script, "abort", "agent", "box-1", verdict_id=verdict.verdict_id)
    stitched.feed(script.events[told:])
    assert [it.run_id for it in stitched.of_kind("guard")] == ["run-1", "run-1"]


def test_an_order_obeyed_while_nothing_runs_stays_an_event() -> None:
    script = Script()
    script.begin()
    script.end(0)
    obey(script, "release", "agent", "box-1")
    obey(script, "release", "session", "agent:main:never")
    for size in (1, 100):
        stitched = Replay().feed_each(script.events, size)
        assert stitched.of_kind("guard") == []
        assert stitched.counts["decisions_without_run"] == 2


def test_a_verdict_of_a_rule_is_a_span_once() -> None:
    script = Script()
    script.begin()
    for _ in range(4):
        script.call(tokens=10_000)
    rules = read_rules('[run_cost]\nlimit_usd = "0.06"\naction = "abort"\n')
    ids = set()
    for size in (1, 3, 100):
        stitched = Replay(rules=rules).feed_each(script.events, size)
        (verdict,) = stitched.verdicts
        (span,) = stitched.of_kind("guard")
        (run,) = stitched.of_kind("run")
        assert (span.name, span.status, span.error) == ("verdict abort", "blocked", verdict.reason)
        assert (span.parent_span_id, span.run_id) == (run.span_id, verdict.scope_id)
        assert [trace.num_spans for trace in stitched.traces.values()] == [6]
        ids.add(span.span_id)
    assert len(ids) == 1
