"""The event: one record of what an agent did, as it lies in the topic ``clawtrace.events.v1``.

Upstream: ``producers.contracts.normalise`` makes it from what the plugin sent.
Downstream: the stitcher, and the sink of ``silver.events``.
Guarantee: ``event_id`` depends on nothing but spool and sequence number, so a replay makes the same ids; the
payload is kept as it came, and decoding a batch never parses it.
"""

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

SCHEMA_VERSION = 1

# Hooks that are ours, beside OpenClaw's own names.
OWN_HOOKS = ("agent_config", "agent_event", "diagnostic", "gap", "guard_decision", "reprice", "run_labels")

# Earliest and latest instant a row may be filed under: an agent's clock may say anything.
EARLIEST_AT_US = 1_577_836_800_000_000  # 2020-01-01
LATEST_AT_US = 4_102_444_800_000_000  # 2100-01-01


class TraceContext(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """OpenClaw's own W3C trace context (``ctx.trace``)."""

    trace_id: Annotated[str, Meta(description="W3C trace id, one for a run and everything it started.")]
    span_id: Annotated[str | None, Meta(description="OpenClaw's span id of what the hook is about.")] = None
    parent_span_id: Annotated[str | None, Meta(description="OpenClaw's id of the enclosing span.")] = None


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who captured a batch."""

    name: Annotated[str, Meta(description="Name of the capturing program.", min_length=1, max_length=64)]
    version: Annotated[str, Meta(description="Version of the capturing program.", max_length=64)] = ""
    host_version: Annotated[str, Meta(description="Version of the host, that is OpenClaw.", max_length=64)] = ""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened in one OpenClaw process."""

    seq: Annotated[int, Meta(description="Sequence number, monotonic in its spool.", ge=0)]
    event_id: Annotated[str, Meta(description="Deterministic id from spool_id and seq (32 hex digits).")]
    hook: Annotated[str, Meta(description="OpenClaw's name of the hook, or one of ours (OWN_HOOKS).")]
    at_us: Annotated[int, Meta(description="When it happened, by the agent's clock (UTC, microseconds).", ge=0)]
    trace: Annotated[TraceContext | None, Meta(description="Trace context, when the hook has it.")] = None
    run_id: Annotated[str | None, Meta(description="OpenClaw's run id.")] = None
    session_key: Annotated[str | None, Meta(description="OpenClaw's session key.")] = None
    session_id: Annotated[str | None, Meta(description="OpenClaw's session id.")] = None
    openclaw_agent_id: Annotated[str | None, Meta(description="The agent inside the OpenClaw install.")] = None
    tool_call_id: Annotated[str | None, Meta(description="Id of the tool call, in tool hooks.")] = None
    call_id: Annotated[str | None, Meta(description="OpenClaw's model call id; repeats over attempts.")] = None
    payload: Annotated[
        msgspec.Raw, Meta(description='{"event": …, "ctx": …}: the hook\'s own objects, as they were sent.')
    ]
    payload_ref: Annotated[str | None, Meta(description="SHA-256 of a payload that is stored apart.")] = None


class EventBatch(msgspec.Struct, frozen=True, kw_only=True):
    """One Kafka record: events of one agent, in the order of their spool."""

    schema_version: Annotated[int, Meta(description="Major version of this contract.")] = SCHEMA_VERSION
    tenant_id: Annotated[str, Meta(description="Who pays and sees; from the key.", pattern=r"^[a-z0-9]{6,32}$")]
    agent_id: Annotated[str, Meta(description="The OpenClaw install, as registered with its key.")]
    source: Annotated[Source, Meta(description="Who captured the batch.")]
    spool_id: Annotated[str, Meta(description="Id of the spool (UUID) the events were read from.")]
    received_at_us: Annotated[int, Meta(description="When the gateway took the batch (UTC, microseconds).")]
    events: Annotated[list[Event], Meta(description="The events, at least one; none in a tick.")]
    tick_at_us: Annotated[
        int | msgspec.UnsetType, Meta(description="Only in ticks of the server's clock: the time (UTC, microseconds).")
    ] = msgspec.UNSET

    @property
    def is_tick(self) -> bool:
        """Whether this is no batch of an agent, but the server's clock."""
        return self.tick_at_us is not msgspec.UNSET


# Whom ticks come from. Nothing is kept about it.
TICKER_TENANT_ID = "clawtrace"
TICKER_AGENT_ID = "ticker"


def make_tick(at_us: int) -> EventBatch:
    """Make a tick: a batch without events that brings the time (UTC, microseconds) to a partition."""
    return EventBatch(
        tenant_id=TICKER_TENANT_ID,
        agent_id=TICKER_AGENT_ID,
        source=Source(name="ticker"),
        spool_id="",
        received_at_us=at_us,
        events=[],
        tick_at_us=at_us,
    )


def event_id_of(spool_id: str, seq: int) -> str:
    """Make the id of the event number ``seq`` of a spool: 32 hex digits."""
    return hashlib.sha256(f"{spool_id}:{seq}".encode()).hexdigest()[:32]


def filed_at_us(at_us: int) -> int:
    """Clamp an instant to what a table may be partitioned by; the event itself keeps the original."""
    return min(max(at_us, EARLIEST_AT_US), LATEST_AT_US)


def record_key(tenant_id: str, agent_id: str) -> bytes:
    """Kafka key of everything that belongs to one agent: it keeps an agent in one partition, in order."""
    return f"{tenant_id}|{agent_id}".encode()


DeadLetterStage = Literal["gateway", "stitcher", "sink", "budgets"]

_batch_decoder = msgspec.json.Decoder(EventBatch)
_encoder = msgspec.json.Encoder()


def decode_event_batch(value: bytes) -> EventBatch:
    """Decode the value of a record of ``clawtrace.events.v1``; payloads stay undecoded bytes.

    Raises:
        msgspec.DecodeError: not JSON, or (as ValidationError) not of this contract; the text names the field.
    """
    return _batch_decoder.decode(value)


def encode_event_batch(batch: EventBatch) -> bytes:
    """Encode a batch as the value of a record."""
    return _encoder.encode(batch)
