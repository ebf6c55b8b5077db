"""What a record of a topic tells people: spans, traces, alerts, verdicts.

Upstream: values of records of the four topics, as bytes.
Downstream: api/live/hub.py, api/live/history.py.
Guarantee: pure. Payloads are left out: they are read with the single span. Tenant and agent are those of the record's
head, which the stitcher wrote from the key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec

from infra.runtime.topics import TopicSpec
from producers.contracts.guard import GuardMessage, Verdict
from producers.contracts.topics import GUARD
from stream_jobs.contracts.alert import Alert, AlertBatch
from stream_jobs.contracts.span import Span, SpanBatch
from stream_jobs.contracts.topics import ALERTS, SPANS, TRACES
from stream_jobs.contracts.trace import Trace, TraceBatch

EventKind = Literal["span", "trace", "alert", "verdict"]
EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)

# In this order the topics stand in every position.
LIVE_TOPICS: tuple[TopicSpec, ...] = (SPANS, TRACES, ALERTS, GUARD)

# Where a record stands among those of its partition; the guard's have none, they are told apart by their ids.
Mark = tuple[int, int]
LiveValue = Span | Trace | Alert | GuardMessage


@dataclass(frozen=True, slots=True)
class LiveItem:
    """One event. ``packed`` is the value as JSON, as small as it gets; ``key`` names what it is a revision of."""

    kind: EventKind
    agent_id: str
    trace_id: str | None
    key: str
    packed: bytes

    def value(self) -> LiveValue:
        """Return the value."""
        value: LiveValue = _DECODERS[self.kind](self.packed)
        return value


@dataclass(frozen=True, slots=True)
class Decoded:
    """One record. ``identity`` is set where there is no mark."""

    tenant_id: str
    mark: Mark | None
    identity: str
    items: tuple[LiveItem, ...]


def decode_record(topic: int, value: bytes) -> Decoded:
    """Read a record; ``topic`` is its place in LIVE_TOPICS.

    Raises:
        msgspec.DecodeError: not JSON, or (as ValidationError) not of the topic's contract.
    """
    return _READERS[topic](value)


_encode = msgspec.json.Encoder().encode
_span_batch = msgspec.json.Decoder(SpanBatch).decode
_trace_batch = msgspec.json.Decoder(TraceBatch).decode
_alert_batch = msgspec.json.Decoder(AlertBatch).decode
_guard_message = msgspec.json.Decoder(GuardMessage).decode
_DECODERS: dict[str, Callable[[bytes], Any]] = {
    "span": msgspec.json.Decoder(Span).decode,
    "trace": msgspec.json.Decoder(Trace).decode,
    "alert": msgspec.json.Decoder(Alert).decode,
    "verdict": _guard_message,
}


def _spans(value: bytes) -> Decoded:
    batch = _span_batch(value)
    items = tuple(
        LiveItem("span", batch.agent_id, span.trace_id, span.span_id, _encode(_without_payload(span)))
        for span in batch.spans
    )
    return Decoded(batch.tenant_id, (batch.rev, batch.part), "", items)


def _without_payload(span: Span) -> Span:
    return msgspec.structs.replace(span, input=None, output=None)


def _traces(value: bytes) -> Decoded:
    batch = _trace_batch(value)
    items = tuple(
        LiveItem("trace", batch.agent_id, trace.trace_id, trace.trace_id, _encode(trace)) for trace in batch.traces
    )
    return Decoded(batch.tenant_id, (batch.rev, batch.part), "", items)


def _alerts(value: bytes) -> Decoded:
    batch = _alert_batch(value)
    items = tuple(
        LiveItem("alert", batch.agent_id, alert.trace_id, alert.alert_id, _encode(alert)) for alert in batch.alerts
    )
    return Decoded(batch.tenant_id, (batch.rev, batch.part), "", items)


def _guard(value: bytes) -> Decoded:
    message = _guard_message(value)
    # Allowances are between the stream and the guard; people see what they lead to.
    items: tuple[LiveItem, ...] = ()
    identity = ""
    if isinstance(message.body, Verdict):
        identity = f"{message.rev}/{message.body.verdict_id}"
        items = (LiveItem("verdict", message.agent_id, None, message.body.verdict_id, value),)
    return Decoded(message.tenant_id, None, identity, items)


_READERS: tuple[Callable[[bytes], Decoded], ...] = (_spans, _traces, _alerts, _guard)
