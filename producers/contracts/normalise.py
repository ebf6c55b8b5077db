"""Reads the ids out of a hook's own objects, so that nothing downstream has to know OpenClaw's shapes.

Upstream: ``producers.contracts.wire``: what the plugin sent, unchanged.
Downstream: the gateway writes the result to ``clawtrace.events.v1``.
Guarantee: pure; never raises anything but ValueError, whatever the bytes are; the hook's event stays byte for
byte, and of ctx only what matters is kept.
"""

import re
import unicodedata
from typing import Final

import msgspec

from producers.contracts.event import Event, TraceContext, event_id_of
from producers.contracts.reprice import HOOK as REPRICE
from producers.contracts.reprice import check_reprice
from producers.contracts.wire import WireEvent

MAX_ID_BYTES: Final = 512
# Every parser downstream (Trino, browsers, msgspec) takes this much; real events reach about 12.
MAX_NESTING: Final = 64


# gc=False below: these live for microseconds and hold no cycles; the collector took a tenth of the time.
class _Trace(msgspec.Struct, frozen=True, rename="camel", gc=False):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None


class _EventIds(msgspec.Struct, frozen=True, rename="camel", gc=False):
    run_id: str | None = None
    session_key: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    tool_call_id: str | None = None
    call_id: str | None = None


class _DiagnosticIds(_EventIds, frozen=True, rename="camel", gc=False):
    trace: _Trace | None = None


class _AgentEventData(msgspec.Struct, frozen=True, rename="camel", gc=False):
    tool_call_id: str | None = None


class _AgentEventIds(_EventIds, frozen=True, rename="camel", gc=False):
    data: _AgentEventData | None = None


class _CtxIds(_EventIds, frozen=True, rename="camel", gc=False):
    trace: _Trace | None = None


class _KeptCtx(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Fields of ctx that stay in the payload, as they were sent.

    The rest is read into the columns of the event, repeated in the event object, or the host's own business
    (paths, config, functions).
    """

    trigger: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    model_provider_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    model_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    requester_session_key: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    child_session_key: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    channel_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    channel: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    job_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    input_provenance: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Payload(msgspec.Struct, frozen=True, gc=False):
    event: msgspec.Raw
    ctx: _KeptCtx


_decode_ctx_ids = msgspec.json.Decoder(_CtxIds).decode
_decode_kept_ctx = msgspec.json.Decoder(_KeptCtx).decode
_decode_event_ids = msgspec.json.Decoder(_EventIds).decode
_decode_diagnostic_ids = msgspec.json.Decoder(_DiagnosticIds).decode
_decode_agent_event_ids = msgspec.json.Decoder(_AgentEventIds).decode
_encode = msgspec.json.Encoder().encode


def normalise_event(spool_id: str, wire: WireEvent) -> Event:
    """Make the event of one hook call.

    Raises:
        ValueError: the event cannot be taken; the text names the field and what it must be.
    """
    ctx, kept = _read_ctx(wire.ctx)
    found: _EventIds
    trace = ctx.trace
    tool_call_id = None
    if wire.hook == "agent_event":
        agent_event = _read_agent_event(wire.event)
        found = agent_event
        tool_call_id = agent_event.data.tool_call_id if agent_event.data else None
    elif wire.hook == "diagnostic":
        diagnostic = _read_diagnostic(wire.event)
        found = diagnostic
        trace = trace or diagnostic.trace
    else:
        found = _read_event(wire.event)
        if wire.hook == REPRICE:
            check_reprice(wire.event)
    run_id = found.run_id or ctx.run_id or None
    session_key = found.session_key or ctx.session_key or None
    session_id = found.session_id or ctx.session_id or None
    agent_id = found.agent_id or ctx.agent_id or _agent_of(session_key)
    tool_call_id = found.tool_call_id or ctx.tool_call_id or tool_call_id or None
    call_id = found.call_id or ctx.call_id or None
    context = None
    if trace is not None and trace.trace_id:
        context = TraceContext(
            trace_id=trace.trace_id,
            span_id=trace.span_id or None,
            parent_span_id=trace.parent_span_id or None,
        )
        _check_ids(_TRACE_FIELDS, (trace.trace_id, trace.span_id, trace.parent_span_id))
    _check_ids(_ID_FIELDS, (run_id, session_key, session_id, agent_id, tool_call_id, call_id))
    return Event(
        seq=wire.seq,
        event_id=event_id_of(spool_id, wire.seq),
        hook=wire.hook,
        at_us=wire.at_us,
        trace=context,
        run_id=run_id,
        session_key=session_key,
        session_id=session_id,
        openclaw_agent_id=agent_id,
        tool_call_id=tool_call_id,
        call_id=call_id,
        payload=msgspec.Raw(_payload(wire.event, kept)),
    )


_TRACE_FIELDS: Final = ("trace.traceId", "trace.spanId", "trace.parentSpanId")
_ID_FIELDS: Final = ("runId", "sessionKey", "sessionId", "agentId", "toolCallId", "callId")


# A JSON escape, tried from the left so that a literal backslash before "ud800" is not mistaken for one.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL
)
_LONE_SURROGATE_LENGTH: Final = len(b"\\ud800")


def repair_surrogates(json_text: bytes) -> bytes:
    """Replace every lone surrogate escape by U+FFFD.

    JavaScript cuts strings between the halves of an emoji and JSON.stringify then writes half a pair, so such text
    is ordinary data; but no strict parser takes it, not even to skip over it. For bytes that did not decode.
    """
    if b"\\ud" not in json_text and b"\\uD" not in json_text:
        return json_text
    return _ESCAPE.sub(_repaired_escape, json_text)


def _repaired_escape(match: re.Match[bytes]) -> bytes:
    escape = match.group()
    return b"\\ufffd" if len(escape) == _LONE_SURROGATE_LENGTH else escape


def _read_ctx(raw: msgspec.Raw) -> tuple[_CtxIds, _KeptCtx]:
    try:
        return _decode_ctx_ids(raw), _decode_kept_ctx(raw)
    except (ValueError, RecursionError) as error:
        raise _unreadable("ctx", error) from None


def _read_event(raw: msgspec.Raw) -> _EventIds:
    try:
        return _decode_event_ids(raw)
    except (ValueError, RecursionError) as error:
        raise _unreadable("event", error) from None


def _read_diagnostic(raw: msgspec.Raw) -> _DiagnosticIds:
    try:
        return _decode_diagnostic_ids(raw)
    except (ValueError, RecursionError) as error:
        raise _unreadable("event", error) from None


def _read_agent_event(raw: msgspec.Raw) -> _AgentEventIds:
    try:
        return _decode_agent_event_ids(raw)
    except (ValueError, RecursionError) as error:
        raise _unreadable("event", error) from None


def _unreadable(field: str, error: Exception) -> ValueError:
    if isinstance(error, RecursionError):
        return _too_deep(field)
    if isinstance(error, UnicodeDecodeError):
        return ValueError(f"{field}: not valid UTF-8 ({error.reason}); send UTF-8 text")
    return ValueError(f"{field}: {str(error).replace('$', field)}; send a JSON object with text ids")


def _too_deep(field: str) -> ValueError:
    return ValueError(f"{field}: nested deeper than {MAX_NESTING} levels; flatten it or cut it off")


def _check_ids(fields: tuple[str, ...], values: tuple[str | None, ...]) -> None:
    # All at once: nearly always they are good, and one by one costs as much as reading them.
    together = "".join([value for value in values if value])
    if len(together) <= MAX_ID_BYTES and together.isascii() and together.isprintable():
        return
    for field, value in zip(fields, values, strict=True):
        if value:
            _check_id(field, value)


def _check_id(field: str, value: str) -> None:
    if len(value.encode()) > MAX_ID_BYTES:
        raise ValueError(f"{field}: longer than {MAX_ID_BYTES} bytes; send the id that OpenClaw gave")
    # Cc control, Cf invisible format characters (two ids that look the same).
    if any(unicodedata.category(character) in ("Cc", "Cf") for character in value):
        raise ValueError(f"{field}: has control or invisible characters; send the id that OpenClaw gave")


def _agent_of(session_key: str | None) -> str | None:
    """Agent inside a session key ``agent:<agentId>:<name>``; model call hooks name it nowhere else."""
    if session_key is None or not session_key.startswith("agent:"):
        return None
    agent_id, separator, _ = session_key[len("agent:") :].partition(":")
    return agent_id if agent_id and separator else None


def _payload(event: msgspec.Raw, ctx: _KeptCtx) -> bytes:
    payload = _encode(_Payload(event, ctx))
    if not payload.isascii():
        try:
            payload.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"event: not valid UTF-8 ({error.reason}); send UTF-8 text") from None
    if _is_too_deep(payload):
        raise _too_deep("event")
    return payload


_NOT_OPENING: Final = bytes(byte for byte in range(256) if byte not in b"[{")
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")


def _is_too_deep(json_text: bytes) -> bool:
    """Tell whether well-formed JSON nests deeper than MAX_NESTING, without building it.

    Each pass takes the innermost brackets away, so the number of passes is the depth.
    """
    # One pass for both kinds, over bytes that are nearly all left out: two thirds of what counting each takes.
    if len(json_text.translate(None, _NOT_OPENING)) <= MAX_NESTING:
        return False
    # Without escaped quotes, every second piece between quotes is outside of a string. (bytes methods only: a regular
    # expression over strings takes four times as long, and this runs for every large event.)
    outside = b"".join(json_text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    brackets = outside.translate(_ONE_KIND, _NOT_BRACKETS)
    # The payload wraps the event in one level of its own.
    for _ in range(MAX_NESTING + 1):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return True
