"""The few fields of OpenClaw's hook objects that the stitcher reads; all else is skipped, not parsed.

Upstream: ``Event.payload``, raw JSON ``{"event": …, "ctx": …}``.
Downstream: the rules of ``stream_jobs.core``.
Guarantee: texts stay raw JSON; a text above MAX_TEXT_BYTES is cut with a marker; what cannot be decoded raises
ValueError and nothing else.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from producers.contracts.normalise import repair_surrogates
from producers.contracts.usage import OpenClawUsage

MAX_TEXT_BYTES: Final = 64 * 1024
MAX_ERROR_CHARS: Final = 2_000

_ABSENT: Final = msgspec.Raw(b"")
_EMPTY: Final = (b"", b"null", b'""', b"[]", b"{}")

Number = int | float | None


class Context(msgspec.Struct, rename="camel"):
    """What is read of ctx."""

    trigger: str | None = None
    model_provider_id: str | None = None
    model_id: str | None = None
    requester_session_key: str | None = None
    child_session_key: str | None = None


class RunEvent(msgspec.Struct, rename="camel"):
    """Hooks of a run and of its model calls."""

    cleaned_body: msgspec.Raw = _ABSENT
    prompt: msgspec.Raw = _ABSENT
    provider: str | None = None
    model: str | None = None
    assistant_texts: msgspec.Raw = _ABSENT
    usage: OpenClawUsage | None = None
    success: bool | None = None
    error: msgspec.Raw = _ABSENT
    duration_ms: Number = None
    outcome: str | None = None
    error_category: str | None = None
    failure_kind: str | None = None
    type: str | None = None
    trigger: str | None = None
    label: msgspec.Raw = _ABSENT


class RunHook(msgspec.Struct):
    """Payload of the hooks of a run, and of diagnostic events."""

    event: RunEvent
    ctx: Context = msgspec.field(default_factory=Context)


class SubagentEnd(msgspec.Struct, rename="camel"):
    """Hook subagent_ended."""

    target_session_key: str | None = None
    outcome: str | None = None
    reason: str | None = None
    error: msgspec.Raw = _ABSENT
    ended_at: Number = None


class SubagentEndHook(msgspec.Struct):
    """Payload of subagent_ended."""

    event: SubagentEnd


class CompactionEvent(msgspec.Struct, rename="camel", omit_defaults=True):
    """Hooks before_compaction and after_compaction."""

    message_count: Number = None
    token_count: Number = None
    compacted_count: Number = None


class CompactionHook(msgspec.Struct):
    """Payload of the hooks around a compaction."""

    event: CompactionEvent


class GuardDecision(msgspec.Struct):
    """Our own event guard_decision."""

    decision_id: str | None = None
    action: str | None = None
    reason: str | None = None
    scope: str | None = None
    scope_id: str | None = None
    verdict_id: str | None = None


class GuardDecisionHook(msgspec.Struct):
    """Payload of guard_decision."""

    event: GuardDecision


class LabelsEvent(msgspec.Struct):
    """Our own event run_labels."""

    labels: dict[str, str] = {}


class LabelsHook(msgspec.Struct):
    """Payload of run_labels."""

    event: LabelsEvent


class _RawHook(msgspec.Struct):
    event: msgspec.Raw = _ABSENT


class DiagnosticEvent(msgspec.Struct):
    """The kind of a diagnostic event; most kinds say nothing new."""

    type: str | None = None


class DiagnosticHook(msgspec.Struct):
    """Payload of a diagnostic event."""

    event: DiagnosticEvent


class ToolEvent(msgspec.Struct, rename="camel"):
    """Hooks of a tool call."""

    tool_name: str | None = None
    params: msgspec.Raw = _ABSENT
    result: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT
    duration_ms: Number = None


class ToolHook(msgspec.Struct):
    """Payload of the hooks of a tool call."""

    event: ToolEvent


class _ToolResult(msgspec.Struct):
    details: msgspec.Raw = _ABSENT


class ToolDetails(msgspec.Struct, rename="camel"):
    """``result.details`` of a tool call, where the tool writes these."""

    status: msgspec.Raw = _ABSENT
    exit_code: msgspec.Raw = _ABSENT
    run_id: msgspec.Raw = _ABSENT
    child_session_key: msgspec.Raw = _ABSENT


class Message(msgspec.Struct, rename="camel"):
    """A message of the session."""

    role: str | None = None
    content: msgspec.Raw = _ABSENT
    usage: OpenClawUsage | None = None
    stop_reason: str | None = None
    error_message: msgspec.Raw = _ABSENT
    response_id: str | None = None


class MessageEvent(msgspec.Struct):
    """Hook before_message_write."""

    message: Message


class MessageHook(msgspec.Struct):
    """Payload of before_message_write."""

    event: MessageEvent


class AgentEvent(msgspec.Struct):
    """An agent event; its data are looked at only when its stream is the lifecycle."""

    stream: str | None = None
    data: msgspec.Raw = _ABSENT


class AgentEventHook(msgspec.Struct):
    """Payload of an agent event."""

    event: AgentEvent


class Lifecycle(msgspec.Struct, rename="camel"):
    """Data of a lifecycle event."""

    phase: str | None = None
    error: msgspec.Raw = _ABSENT
    aborted: bool | None = None
    execution_settled: bool | None = None


Payload = TypeVar("Payload")


def _reader_of(type_: type[Payload]) -> Callable[[bytes], Payload]:
    decode = msgspec.json.Decoder(type_).decode

    def read(raw: bytes) -> Payload:
        try:
            return decode(raw)
        except msgspec.ValidationError:
            raise
        except (ValueError, RecursionError) as error:
            # Texts cut between the halves of an emoji are ordinary: no strict parser can even skip them.
            try:
                return decode(repair_surrogates(bytes(raw)))
            except (ValueError, RecursionError):
                raise ValueError(f"payload: {error}") from None

    return read


read_run_hook = _reader_of(RunHook)
read_diagnostic = _reader_of(DiagnosticHook)
read_tool_hook = _reader_of(ToolHook)
read_message_hook = _reader_of(MessageHook)
read_agent_event = _reader_of(AgentEventHook)
read_lifecycle = _reader_of(Lifecycle)
read_subagent_end = _reader_of(SubagentEndHook)
read_compaction = _reader_of(CompactionHook)
read_guard_decision = _reader_of(GuardDecisionHook)
read_labels = _reader_of(LabelsHook)
_read_raw = _reader_of(_RawHook)
_read_result = _reader_of(_ToolResult)
_read_details = _reader_of(ToolDetails)
_read_text = _reader_of(str)


def read_raw_event(payload: msgspec.Raw) -> msgspec.Raw:
    """Return the event object of a payload as it was sent."""
    return _read_raw(payload).event


def read_tool_details(result: msgspec.Raw) -> ToolDetails | None:
    """Read ``result.details`` when it is an object; tools may return anything else."""
    text = bytes(result)
    if not text.startswith(b"{"):
        return None
    details = bytes(_read_result(text).details)
    return _read_details(details) if details.startswith(b"{") else None


def text_of(value: msgspec.Raw) -> str:
    """Return a JSON string's text, or any other value as JSON; "" for nothing; cut when very long."""
    raw = bytes(value)
    if raw in _EMPTY:
        return ""
    text = _read_text(raw) if raw.startswith(b'"') else raw.decode(errors="replace")
    return text[:MAX_ERROR_CHARS]


def first_words(raw: msgspec.Raw, max_chars: int) -> str:
    """Return the beginning of a text in one line."""
    return " ".join(text_of(raw)[: 4 * max_chars].split())[:max_chars].rstrip()


def cut_text(value: msgspec.Raw) -> tuple[bytes, bool]:
    """Return raw JSON to keep and whether it was cut; cut JSON becomes a JSON string that says so."""
    raw = bytes(value)
    if len(raw) <= MAX_TEXT_BYTES:
        return raw, False
    kept = raw[:MAX_TEXT_BYTES].decode(errors="ignore")
    return msgspec.json.encode(f"{kept}… [cut: {len(raw)} bytes in all]"), True


def is_empty(value: msgspec.Raw) -> bool:
    """Whether a raw value says nothing."""
    return len(value) <= len(b"null") and bytes(value) in _EMPTY


def whole_ms(number: Number) -> int:
    """Milliseconds as a whole number; -1 when unknown or senseless."""
    if number is None or not 0 <= number < 2**53:
        return -1
    return round(number)
