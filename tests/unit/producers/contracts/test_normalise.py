"""The normaliser reads every captured event, and refuses what is hostile with the field and the fix."""

import json
from collections import Counter
from typing import Any

import msgspec
import pytest

from producers.contracts.event import Event, EventBatch, Source, decode_event_batch, encode_event_batch, event_id_of
from producers.contracts.normalise import MAX_ID_BYTES, MAX_NESTING, normalise_event, repair_surrogates
from producers.contracts.wire import WireEvent
from tests.captures import AGENT_EVENT_FILES, SCENARIOS, hook_lines

SPOOL_ID = "0b0e9f1a-6a60-5b53-8a55-0d7c5ad1a001"
HOOKS_OF_SOURCES = {"agentEventSubscription": "agent_event", "onInternalDiagnosticEvent": "diagnostic"}

# Hooks by the ids that they always have (the captured truth; openclaw.md says the same in words).
WITH_TRACE = {
    "agent_end", "agent_turn_prepare", "before_agent_finalize", "before_agent_run", "before_prompt_build",
    "before_tool_call", "llm_input", "llm_output", "model_call_ended", "model_call_started",
}  # fmt: skip
WITHOUT_TRACE = {
    "after_tool_call", "before_agent_reply", "before_message_write", "before_model_resolve", "tool_result_persist",
    "session_start", "session_end", "before_compaction", "after_compaction", "subagent_spawned", "subagent_ended",
}  # fmt: skip
WITH_RUN_ID = WITH_TRACE | {"after_tool_call", "before_agent_reply", "before_model_resolve", "subagent_spawned"}
WITHOUT_RUN_ID = {
    "session_start", "session_end", "before_message_write", "tool_result_persist", "message_received",
    "message_sending", "resolve_exec_env", "before_compaction", "after_compaction",
}  # fmt: skip
TOOL_HOOKS = {"before_tool_call", "after_tool_call", "tool_result_persist"}
MODEL_CALL_HOOKS = {"model_call_started", "model_call_ended"}


def compact(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def wire(hook: str, event: Any, ctx: Any = None, seq: int = 0) -> WireEvent:
    return WireEvent(seq=seq, at_us=1, hook=hook, event=compact(event), ctx=compact(ctx or {}))


def raw_wire(event: bytes, ctx: bytes = b"{}") -> WireEvent:
    return WireEvent(seq=0, at_us=1, hook="llm_input", event=msgspec.Raw(event), ctx=msgspec.Raw(ctx))


def normalised(scenario: str) -> list[tuple[dict[str, Any], Event]]:
    return [
        (line, normalise_event(SPOOL_ID, wire(line["hook"], line["event"], line["ctx"], seq)))
        for seq, line in enumerate(hook_lines(scenario))
    ]


def test_there_are_46_captures() -> None:
    assert len(SCENARIOS) == 46


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_captured_hook_call_is_read(scenario: str) -> None:
    for line, event in normalised(scenario):
        hook, sent, ctx = line["hook"], line["event"], line["ctx"]
        assert event.hook == hook
        if hook in WITH_TRACE:
            assert event.trace is not None
            assert event.trace.trace_id == ctx["trace"]["traceId"]
            assert event.trace.span_id == ctx["trace"]["spanId"]
            assert event.trace.parent_span_id == ctx["trace"].get("parentSpanId")
        if hook in WITHOUT_TRACE:
            assert event.trace is None
        if hook in WITH_RUN_ID:
            assert event.run_id == sent.get("runId", ctx.get("runId"))
            assert event.run_id
        if hook in WITHOUT_RUN_ID:
            assert event.run_id is None
        assert event.tool_call_id == (sent["toolCallId"] if hook in TOOL_HOOKS else None)
        assert event.call_id == (sent["callId"] if hook in MODEL_CALL_HOOKS else None)
        assert event.session_key == (sent.get("sessionKey") or ctx.get("sessionKey"))
        payload = msgspec.json.decode(event.payload)
        assert payload["event"] == sent
        assert {key: ctx[key] for key in payload["ctx"]} == payload["ctx"]
        assert "workspaceDir" not in payload["ctx"]
        assert payload["ctx"].get("trigger") == ctx.get("trigger")


@pytest.mark.parametrize("scenario", sorted(AGENT_EVENT_FILES))
def test_every_other_captured_event_is_read(scenario: str) -> None:
    seen: Counter[str] = Counter()
    for text in AGENT_EVENT_FILES[scenario].read_text().splitlines():
        line = json.loads(text)
        if line["src"] not in HOOKS_OF_SOURCES:
            continue
        hook, sent = HOOKS_OF_SOURCES[line["src"]], line["event"]
        event = normalise_event(SPOOL_ID, wire(hook, sent))
        seen[hook] += 1
        assert event.run_id == sent.get("runId")
        assert event.call_id == sent.get("callId")
        if hook == "diagnostic":
            assert event.trace is not None
            assert event.trace.trace_id == sent["trace"]["traceId"]
            assert event.tool_call_id == sent.get("toolCallId")
        else:
            assert event.trace is None
            assert event.tool_call_id == sent["data"].get("toolCallId")
    assert seen["agent_event"]


def test_one_trace_from_parent_to_grandchild() -> None:
    traces = {event.trace.trace_id for _, event in normalised("nested-subagent") if event.trace}
    assert len(traces) == 1


def test_the_event_object_stays_byte_for_byte() -> None:
    sent = b'{ "runId" : "r",\n"x":[1.50, 1e3, "\\u00e9\xc3\xa9", {"b":1,"a":2}] }'
    event = normalise_event(SPOOL_ID, raw_wire(sent, b'{"trigger" : "user","workspaceDir":"/home/x"}'))
    assert bytes(event.payload) == b'{"event":' + sent + b',"ctx":{"trigger":"user"}}'


def test_ids_depend_on_spool_and_number_alone() -> None:
    first = normalise_event(SPOOL_ID, wire("llm_input", {"runId": "a"}, seq=7))
    other = normalise_event(SPOOL_ID, wire("llm_output", {"runId": "b"}, seq=7))
    assert first.event_id == other.event_id == event_id_of(SPOOL_ID, 7)


def test_agent_comes_from_the_session_key_when_nothing_else_names_it() -> None:
    event = normalise_event(SPOOL_ID, wire("model_call_started", {"sessionKey": "agent:coder:subagent:1"}))
    assert event.openclaw_agent_id == "coder"
    assert normalise_event(SPOOL_ID, wire("x", {"sessionKey": "agent:"})).openclaw_agent_id is None


def test_empty_and_null_ids_count_as_absent() -> None:
    ctx = {"runId": "", "trace": {"traceId": ""}}
    event = normalise_event(SPOOL_ID, wire("llm_input", {"runId": None, "sessionId": ""}, ctx))
    assert event.run_id is None
    assert event.session_id is None
    assert event.trace is None


@pytest.mark.parametrize(
    ("event", "ctx", "said"),
    [
        (b"[1]", b"{}", "event: Expected `object`, got `array`"),
        (b"null", b"{}", "event: Expected `object`, got `null`"),
        (b"{}", b'"text"', "ctx: Expected `object`, got `str`"),
        (b'{"runId":5}', b"{}", "event.runId"),
        (b"{}", b'{"trace":"abc"}', "ctx.trace"),
        (b"{}", b'{"trace":{"traceId":["a"]}}', "ctx.trace.traceId"),
        (b'{"runId":"a\\u0000b"}', b"{}", "runId: has control"),
        (b'{"runId":"a\\nb"}', b"{}", "runId: has control"),
        (b'{"runId":"a\\u202eb"}', b"{}", "runId: has control or invisible"),
        (b"{}", b'{"trace":{"traceId":"\\u001b[31m"}}', "trace.traceId: has control"),
        (b'{"callId":"' + b"x" * 513 + b'"}', b"{}", "callId: longer than 512 bytes"),
        (b'{"sessionKey":"' + "é".encode() * 257 + b'"}', b"{}", "sessionKey: longer than 512 bytes"),
        (b'{"runId":"\\ud800"}', b"{}", "event"),
        (b'{"runId":"\xff"}', b"{}", "UTF-8"),
        (b'{"prompt":"\xc3\x28"}', b"{}", "UTF-8"),
        (b"{}", b'{"trigger":"\xff"}', "UTF-8"),
        (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", b"{}", "nested deeper than 64"),
        (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", b"{}", "nested deeper than 64"),
        (b"{}", b'{"a":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001, "nested deeper than 64"),
        (b'{"a":', b"{}", "event"),
        (b'{"a":NaN}', b"{}", "event"),
    ],
)
def test_hostile_events_are_refused_with_the_field(event: bytes, ctx: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        normalise_event(SPOOL_ID, raw_wire(event, ctx))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "event",
    [
        b'{"runId":"' + b"x" * MAX_ID_BYTES + b'"}',
        b'{"runId":"r\xc3\xa9union \xf0\x9f\x98\x80"}',
        b'{"a":' + b"[" * (MAX_NESTING - 1) + b"]" * (MAX_NESTING - 1) + b"}",
        b'{"a":"' + b"[" * 5_000 + b'"}',
        b'{"a":"\\"[[[\\\\","b":[' + b"[]," * 500 + b"[]]}",
        b'{"a":1e309}',
        b'{"a":"\\u0000"}',
    ],
)
def test_odd_but_honest_events_are_taken(event: bytes) -> None:
    taken = normalise_event(SPOOL_ID, raw_wire(event))
    batch = EventBatch(
        tenant_id="tenant1", agent_id="a", source=Source(name="t"), spool_id=SPOOL_ID, received_at_us=1, events=[taken]
    )
    assert decode_event_batch(encode_event_batch(batch)).events[0].event_id == taken.event_id


@pytest.mark.parametrize(
    ("sent", "repaired"),
    [
        (b'"\\ud83d\\ude00"', b'"\\ud83d\\ude00"'),
        (b'"cut \\ud83d"', b'"cut \\ufffd"'),
        (b'"\\uDE00 low"', b'"\\ufffd low"'),
        (b'"\\ud83d\\ud83d\\ude00"', b'"\\ufffd\\ud83d\\ude00"'),
        (b'"\\\\ud83d is text"', b'"\\\\ud83d is text"'),
        (b'"\\\\\\ud83d"', b'"\\\\\\ufffd"'),
        (b'"\\u00e9"', b'"\\u00e9"'),
    ],
)
def test_half_an_emoji_becomes_the_replacement_character(sent: bytes, repaired: bytes) -> None:
    assert repair_surrogates(sent) == repaired
    msgspec.json.decode(repaired)
