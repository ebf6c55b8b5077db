"""Turns the envelopes of the reference system's plugin into wire events, so that its users only change one address.

Upstream: ``POST /v1/traces/events``: ``{schemaVersion, agentId, event: {eventId, eventType, traceId, …, payload}}``.
Downstream: ``producers.gateway.reference_door`` stores them as it stores our own plugin's batches.
Guarantee: pure and stateless: an envelope gives the same spool, numbers and events whenever and however often it is
sent, so a second copy is dropped as a duplicate; arrival order does not matter.

What it rests on (the reference's public source, April 2026; no capture of a real install existed):
- ``session_start`` opens a run: its span is the run's root; ``parentSpanId`` is the root span of the parent's run.
- ``llm_before_call`` and ``llm_after_call`` are OpenClaw's llm_input and llm_output: one pair for each attempt, not for
  each model call, its usage the sum of the attempt. So an attempt is shown as one model call.
- ``traceId`` is the run id of the top run; children carry it too and have a ``runId`` of their own in the payload.
- ``tool_after_call`` comes twice for some tools; the second knows neither session nor tool call and is dropped.
- Nothing but ``session_end``, hours later, tells the end of a run: a run ends with its last ``llm_after_call``.

One spool for each span: seq has to grow with time (the stitcher orders facts of a run by it) and has to be the same
for a second copy. A spool per agent or trace would make every number a gap of its own, beyond the 512 gaps that a
spool remembers; events of one span are few. It costs the stitcher one small key (about 80 bytes) per span.
"""

import hashlib
import re
import uuid
from typing import Final, Literal

import msgspec

from producers.contracts.event import Source
from producers.contracts.wire import WireEvent

REFERENCE_SOURCE: Final = Source(name="reference-plugin")
# Any constant UUID; another one would make other ids of the same events.
SPOOL_NAMESPACE: Final = uuid.UUID("b5f0a6de-0c6b-5e55-8a2d-7a4a3c0f6b11")
UNKNOWN_SESSION: Final = "unknown"

# Milliseconds since 2020 times 2^13 stay below 2^53 until 2054.
_EPOCH_MS: Final = 1_577_836_800_000
_LAST_MS: Final = _EPOCH_MS + (1 << 40) - 1

EventType = Literal[
    "session_start",
    "session_end",
    "span_start",
    "span_end",
    "llm_before_call",
    "llm_after_call",
    "tool_before_call",
    "tool_after_call",
    "subagent_spawn",
    "subagent_join",
    "error",
]
# Order of events of the same millisecond.
_RANKS: Final[dict[str, int]] = {
    "session_start": 0,
    "llm_before_call": 1,
    "tool_before_call": 2,
    "subagent_spawn": 3,
    "tool_after_call": 4,
    "subagent_join": 5,
    "llm_after_call": 6,
    "session_end": 7,
}

_Raw = msgspec.Raw | msgspec.UnsetType
_ABSENT: Final = msgspec.UNSET


class _Assistant(msgspec.Struct, frozen=True, rename="camel"):
    content: _Raw = _ABSENT
    stop_reason: str | None = None
    error_message: _Raw = _ABSENT
    response_id: str | None = None


class _Payload(msgspec.Struct, frozen=True, rename="camel"):
    """Fields of all event types that are read; each type has some of them."""

    run_id: str | None = None
    session_key: str | None = None
    session_id: str | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None
    params: _Raw = _ABSENT
    result: _Raw = _ABSENT
    error: _Raw = _ABSENT
    duration_ms: _Raw = _ABSENT
    provider: str | None = None
    model: str | None = None
    prompt: _Raw = _ABSENT
    assistant_texts: _Raw = _ABSENT
    last_assistant: _Raw = _ABSENT
    usage: _Raw = _ABSENT
    requester_session_key: str | None = None
    child_session_key: str | None = None


class ReferenceEvent(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The event inside an envelope."""

    event_id: str
    event_type: EventType
    trace_id: str
    span_id: str
    parent_span_id: str | None = None
    ts_ms: int | float
    payload: _Payload = _Payload()


class ReferenceEnvelope(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What the reference's plugin sends; ``agentId`` is its own id of the agent, the key decides about ours."""

    schema_version: int = 1
    agent_id: str
    event: ReferenceEvent


class SpoolEvents(msgspec.Struct, frozen=True):
    """Wire events of one envelope and the spool they belong to; no events when the envelope says nothing new."""

    spool_id: str
    events: list[WireEvent]


_decode = msgspec.json.Decoder(ReferenceEnvelope).decode
_decode_assistant = msgspec.json.Decoder(_Assistant).decode
_encode = msgspec.json.Encoder().encode

# A hook, its event object and its ctx object.
_Hook = tuple[str, dict[str, object], dict[str, object]]


def adapt_envelope(raw: bytes | msgspec.Raw) -> SpoolEvents:
    """Read one envelope.

    Raises:
        ValueError: it is none; the text names the field.
    """
    envelope = _decode(raw)
    event = envelope.event
    if not _EPOCH_MS <= event.ts_ms <= _LAST_MS:
        raise ValueError(f"event.tsMs is {event.ts_ms}; must be milliseconds since 1970, after 2020")
    if not (event.event_id and event.trace_id and event.span_id):
        raise ValueError("event: eventId, traceId and spanId must not be empty")
    name = f"{envelope.agent_id}|{event.trace_id}|{event.span_id}"
    first_seq = _first_seq(event)
    return SpoolEvents(
        str(uuid.uuid5(SPOOL_NAMESPACE, name)),
        [
            WireEvent(
                seq=first_seq + number,
                at_us=int(event.ts_ms) * 1_000,
                hook=hook,
                event=msgspec.Raw(_encode(_without_unset(body))),
                ctx=msgspec.Raw(_encode(_without_unset(ctx))),
            )
            for number, (hook, body, ctx) in enumerate(_hooks(event))
        ],
    )


def trace_id_of(trace_id: str) -> str:
    """W3C trace id (32 hex digits) of the reference's trace id; a UUID stays readable in it."""
    digits = trace_id.replace("-", "").lower()
    if re.fullmatch(r"[0-9a-f]{32}", digits):
        return digits
    return hashlib.sha256(trace_id.encode()).hexdigest()[:32]


def span_id_of(span_id: str) -> str:
    """W3C span id (16 hex digits) of the reference's span id."""
    return hashlib.sha256(span_id.encode()).hexdigest()[:16]


def _first_seq(event: ReferenceEvent) -> int:
    # 40 bits of milliseconds, 3 of rank, 8 that tell two events of one span, type and millisecond apart, 2 for the
    # events made of one envelope.
    salt = hashlib.sha256(event.event_id.encode()).digest()[0]
    at_ms = int(event.ts_ms) - _EPOCH_MS
    return ((at_ms << 3 | _RANKS.get(event.event_type, 5)) << 8 | salt) << 2


def _hooks(event: ReferenceEvent) -> list[_Hook]:
    payload = event.payload
    match event.event_type:
        case "session_start":
            return [("agent_turn_prepare", {}, _ctx(event, event.span_id, event.parent_span_id))]
        case "llm_before_call":
            return _before_call(event)
        case "llm_after_call":
            return _after_call(event)
        case "tool_before_call":
            return [("before_tool_call", _tool(event), _ctx(event))]
        case "tool_after_call":
            # OpenClaw called after_tool_call a second time for some tools, a few milliseconds later.
            is_shadow = payload.session_key in (None, UNKNOWN_SESSION) and not payload.tool_call_id
            return [] if is_shadow else [("after_tool_call", _tool(event), _ctx(event))]
        case "subagent_spawn":
            return _spawn(event)
        case "session_end":
            # Of the session, hours after its runs have ended: it says nothing about when they did.
            keys: dict[str, object] = {"sessionKey": payload.session_key, "sessionId": payload.session_id}
            return [("session_end", keys, {})]
        case _:
            # The error repeats the error of a tool; a join and bare spans carry nothing that a run has not told.
            return []


def _before_call(event: ReferenceEvent) -> list[_Hook]:
    payload = event.payload
    body: dict[str, object] = {
        "runId": _run_id(event),
        "sessionId": payload.session_id,
        "provider": payload.provider,
        "model": payload.model,
    }
    return [
        ("llm_input", body | {"prompt": payload.prompt}, _ctx(event, event.parent_span_id)),
        ("model_call_started", body, _ctx(event, event.span_id)),
    ]


def _after_call(event: ReferenceEvent) -> list[_Hook]:
    payload = event.payload
    assistant = _Assistant()
    if payload.last_assistant is not msgspec.UNSET and bytes(payload.last_assistant).startswith(b"{"):
        assistant = _decode_assistant(payload.last_assistant)
    has_usage = payload.usage is not msgspec.UNSET and bytes(payload.usage) != b"null"
    has_failed = assistant.stop_reason in ("error", "aborted")
    body: dict[str, object] = {
        "runId": _run_id(event),
        "sessionId": payload.session_id,
        "provider": payload.provider,
        "model": payload.model,
    }
    message: dict[str, object] = {
        "role": "assistant",
        "content": payload.assistant_texts if assistant.content is msgspec.UNSET else assistant.content,
        "usage": payload.usage if has_usage else msgspec.UNSET,
        "stopReason": assistant.stop_reason or ("stop" if has_usage else None),
        "errorMessage": assistant.error_message,
        # Without an id a message without tokens would count as one of the host's own.
        "responseId": assistant.response_id or event.event_id,
    }
    return [
        (
            "model_call_ended",
            body | {"outcome": "error" if has_failed and not has_usage else "completed"},
            _ctx(event, event.span_id),
        ),
        ("before_message_write", {"message": _without_unset(message)}, {"sessionKey": _session_key(event)}),
        (
            "llm_output",
            body | {"assistantTexts": payload.assistant_texts, "usage": payload.usage},
            _ctx(event, event.parent_span_id),
        ),
    ]


def _spawn(event: ReferenceEvent) -> list[_Hook]:
    payload = event.payload
    hooks: list[_Hook] = [
        (
            "subagent_spawned",
            {"runId": payload.run_id, "childSessionKey": payload.child_session_key},
            {"requesterSessionKey": payload.requester_session_key, "childSessionKey": payload.child_session_key},
        )
    ]
    if not _is_child(payload.requester_session_key):
        # A child may name the span of its spawning as its parent: that span then leads to the run that spawned it.
        # The run id of a top run is its trace id; of a nested one it is not told here.
        ctx: dict[str, object] = {
            "runId": event.trace_id,
            "sessionKey": payload.requester_session_key,
            "trace": {"traceId": trace_id_of(event.trace_id), "spanId": span_id_of(event.span_id)},
        }
        hooks.append(("agent_turn_prepare", {}, ctx))
    return hooks if payload.run_id else hooks[1:]


def _is_child(session_key: str | None) -> bool:
    return session_key is None or ":subagent:" in session_key or ":acp:" in session_key


def _tool(event: ReferenceEvent) -> dict[str, object]:
    payload = event.payload
    return {
        "runId": _run_id(event),
        "toolCallId": payload.tool_call_id or event.span_id,
        "toolName": payload.tool_name,
        "params": payload.params,
        "result": payload.result,
        "error": payload.error,
        "durationMs": payload.duration_ms,
    }


def _run_id(event: ReferenceEvent) -> str:
    return event.payload.run_id or event.trace_id


def _session_key(event: ReferenceEvent) -> str:
    return event.payload.session_key or UNKNOWN_SESSION


def _ctx(event: ReferenceEvent, span_id: str | None = None, parent_span_id: str | None = None) -> dict[str, object]:
    trace = {"traceId": trace_id_of(event.trace_id)}
    if span_id:
        trace["spanId"] = span_id_of(span_id)
    if parent_span_id:
        trace["parentSpanId"] = span_id_of(parent_span_id)
    return {
        "runId": _run_id(event),
        "sessionKey": _session_key(event),
        "sessionId": event.payload.session_id,
        "trace": trace,
    }


def _without_unset(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not msgspec.UNSET and value is not None}
