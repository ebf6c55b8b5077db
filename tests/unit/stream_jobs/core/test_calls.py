"""Model calls and tool calls: tokens counted once, from whichever source."""

from decimal import Decimal
from typing import Any

from stream_jobs.core.stitch import read_rules
from tests.unit.stream_jobs.core.hooks import Script
from tests.unit.stream_jobs.core.stitching import Replay, events_of, lines_of, replay


def stitch(script: Script) -> Replay:
    stitched = Replay()
    stitched.feed(script.events)
    return stitched


def tokens_of(stitched: Replay) -> list[tuple[int | None, str | None]]:
    return [(call.input_tokens, call.usage_source) for call in stitched.of_kind("model_call")]


def diagnose(script: Script, span_id: str, tokens: int) -> None:
    event: dict[str, Any] = {"type": "model.call.completed", "runId": script.run_id, "trace": script.trace(span_id)}
    event |= {"provider": "fake", "model": "sim-1", "sessionKey": script.session}
    event["usage"] = {"input": tokens, "output": 0, "cacheRead": 0, "cacheWrite": 0, "cost": {"total": 0.003}}
    script.hook("diagnostic", event)


def test_a_diagnostic_event_confirms_the_message() -> None:
    script = Script()
    script.begin()
    diagnose(script, script.call(), 1000)
    stitched = stitch(script)
    assert tokens_of(stitched) == [(1000, "message")]
    assert stitched.counts["usage_mismatches"] == 0


def test_a_disagreement_is_counted_and_the_message_believed() -> None:
    script = Script()
    script.begin()
    diagnose(script, script.call(), 999)
    stitched = stitch(script)
    assert tokens_of(stitched) == [(1000, "message")]
    assert stitched.counts["usage_mismatches"] == 1


def test_a_diagnostic_event_stands_in_for_a_missing_message() -> None:
    script = Script()
    script.begin()
    diagnose(script, script.call(tokens=None), 700)
    stitched = stitch(script)
    assert tokens_of(stitched) == [(700, "diagnostic")]
    assert [it.reported_cost_usd for it in stitched.of_kind("model_call")] == [Decimal("0.003")]


def test_one_missing_message_gets_what_is_left_over() -> None:
    script = Script()
    script.begin()
    script.call()
    script.call(tokens=None)
    script.call()
    script.end(2500)
    assert tokens_of(stitch(script)) == [(1000, "message"), (500, "remainder"), (1000, "message")]


def test_the_real_message_takes_over_from_the_remainder() -> None:
    script = Script()
    script.begin()
    script.call()
    script.end(1000)
    held_back = script.events.pop(3)
    stitched = stitch(script)
    assert tokens_of(stitched) == [(1000, "remainder")]
    stitched.feed([held_back])
    assert tokens_of(stitched) == [(1000, "message")]
    assert [run.run_input_tokens for run in stitched.of_kind("run")] == [1000]


def test_two_missing_messages_get_nothing() -> None:
    script = Script()
    script.begin()
    script.call(tokens=None)
    script.call(tokens=None)
    script.end(2500)
    assert tokens_of(stitch(script)) == [(None, None), (None, None)]


def test_a_wrong_sum_is_a_mismatch() -> None:
    script = Script()
    script.begin()
    script.call()
    script.end(900)
    stitched = stitch(script)
    assert tokens_of(stitched) == [(1000, "message")]
    assert stitched.counts["usage_mismatches"] == 1


def test_the_hosts_own_message_is_no_answer() -> None:
    script = Script()
    script.begin()
    script.call()
    script.call(tokens=None)
    script.message(0, response_id=None, stop="aborted", error="Agent run aborted")
    assert tokens_of(stitch(script)) == [(1000, "message"), (None, None)]


def test_an_unknown_price_is_no_price() -> None:
    script = Script()
    script.begin()
    script.call(provider="nobody")
    stitched = stitch(script)
    (call,) = stitched.of_kind("model_call")
    (trace,) = stitched.traces.values()
    assert (call.cost_usd, call.price_id, call.input_tokens) == (None, None, 1000)
    assert (trace.cost_usd, trace.num_unpriced_calls) == (None, 1)
    assert stitched.counts["unpriced_calls"] == 1


def test_a_call_without_a_trace_context_is_still_one_call() -> None:
    script = Script()
    script.begin()
    event = {"runId": "run-1", "callId": "run-1:model:1", "sessionKey": script.session, "provider": "fake"}
    script.hook("model_call_started", event, {})
    script.hook("model_call_ended", {**event, "outcome": "completed"}, {})
    script.message(1000)
    assert tokens_of(stitch(script)) == [(1000, "message")]


def test_a_run_alerts_once_when_it_reaches_its_limit() -> None:
    script = Script()
    script.begin()
    for _ in range(4):
        script.call(tokens=10_000)
    rules = read_rules('[run_cost]\nlimit_usd = "0.06"\n')
    for size in (1, 3, 100):
        stitched = Replay(rules=rules).feed_each(script.events, size)
        (alert,) = stitched.alerts
        assert alert.evidence["cost_usd"] == "0.06"
        assert alert.evidence["num_model_calls"] == "2"
        assert (alert.span_id, alert.severity, alert.state) == ("call-2", "critical", "alert")
        assert alert.at_us == script.events[6].at_us


def test_the_captured_runaway_alerts_by_the_rules_of_the_demo() -> None:
    rules = read_rules('[[override]]\ntenant_id = "acme01"\nrun_cost.limit_usd = "0.05"\n')
    alerts = Replay(rules=rules).feed_each(events_of(lines_of("runaway")), 5).alerts
    (alert,) = [it for it in alerts if it.rule == "run_cost"]
    assert Decimal(alert.evidence["cost_usd"]) >= Decimal("0.05")


def test_an_exit_code_is_no_error() -> None:
    script = Script()
    script.begin()
    script.tool("tool-1", result={"details": {"exitCode": 3, "status": "completed"}})
    script.tool("tool-2", result={"details": {"status": "blocked"}}, error="Halted")
    script.tool("tool-3", error="File not found")
    script.tool("tool-4", result=[1, 2])
    tools = stitch(script).of_kind("tool_call")
    assert [(it.status, it.exit_code) for it in tools] == [("ok", 3), ("blocked", None), ("error", None), ("ok", None)]
    assert [it.error for it in tools] == [None, "Halted", "File not found", None]
    assert [it.duration_ms for it in tools] == [5, 5, 5, 5]


def test_a_tool_inside_a_tool_waits_for_its_outer_call() -> None:
    script = Script()
    script.begin()
    script.tool("outer", "tool_call")
    script.tool("tool_search_code:outer:exec:1")
    stitched = Replay()
    run, *tools = script.events
    for event in (run, tools[2], tools[3], tools[0], tools[1]):
        stitched.feed([event])
    names = {tool.tool_name: tool for tool in stitched.of_kind("tool_call")}
    assert names["exec"].parent_span_id == names["tool_call"].span_id
    assert names["exec"].depth == 2


def test_a_blocked_model_call_has_no_message() -> None:
    stitched = replay("guard-abort-model")
    last = stitched.of_kind("model_call")[-1]
    assert (last.status, last.input_tokens, last.error) == ("error", None, "aborted")
