"""Capture files as wire batches.

Upstream: ``<scenario>.jsonl`` (hook calls) and its sibling ``agent-events/<scenario>.jsonl`` (other event sources).
Downstream: ``producers.replay.sender``.
Guarantee: spool id and sequence numbers depend on the files' bytes alone, so a second replay sends the same ids; each
event object goes out byte for byte.
"""

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from producers.contracts.event import Source
from producers.contracts.wire import MAX_BODY_BYTES, MAX_EVENTS, WireBatch, WireEvent

SOURCE: Final = Source(name="clawtrace-replay", version="1", host_version="2026.9.6")
# Any constant UUID; another one would make other ids of the same file.
SPOOL_NAMESPACE: Final = uuid.UUID("6f1d3c1e-6a0b-5c0e-9f58-2b7c1f3a9d04")
AGENT_EVENTS_FOLDER: Final = "agent-events"

MAX_BATCH_EVENTS: Final = 200
# Well below what the gateway takes, and usually one Kafka record.
MAX_BATCH_BYTES: Final = 700_000
assert MAX_BATCH_EVENTS <= MAX_EVENTS
assert MAX_BATCH_BYTES <= MAX_BODY_BYTES

# Source of a line in an agent-events file -> hook. The third source, onSessionTranscriptUpdate, repeats the messages
# of before_message_write and has no hook of its own.
_HOOK_OF_SOURCE: Final = {"agentEventSubscription": "agent_event", "onInternalDiagnosticEvent": "diagnostic"}


class UnreadableCapture(ValueError):
    """A file is no capture; the text names file and line."""


class _HookLine(msgspec.Struct, frozen=True, rename="camel"):
    hook: str
    ts_ms: int
    event: msgspec.Raw
    ctx: msgspec.Raw


class _AgentEventLine(msgspec.Struct, frozen=True, rename="camel"):
    src: str
    ts_ms: int
    event: msgspec.Raw


_Line = TypeVar("_Line", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Capture:
    """A capture, ready to be sent."""

    path: Path
    spool_id: str
    events: list[WireEvent]
    num_skipped: int
    source: Source = SOURCE


def read_capture(path: Path, agent_events_path: Path | None = None, *, shift_us: int = 0) -> Capture:
    """Read a capture; with ``shift_us`` its instants are moved and it counts as another spool.

    Raises:
        UnreadableCapture: a line is not what it should be.
        OSError: a file cannot be read.
    """
    hook_bytes = path.read_bytes()
    agent_bytes = agent_events_path.read_bytes() if agent_events_path else b""
    hooks = [(line.ts_ms, line.hook, line.event, line.ctx) for line in _lines(path, hook_bytes, _HookLine)]
    agent_lines = list(_lines(agent_events_path, agent_bytes, _AgentEventLine)) if agent_events_path else []
    others = [
        (line.ts_ms, _HOOK_OF_SOURCE[line.src], line.event, msgspec.Raw(b"{}"))
        for line in agent_lines
        if line.src in _HOOK_OF_SOURCE
    ]
    digest = hashlib.sha256(hook_bytes + b"\0" + agent_bytes).hexdigest()
    name = f"{digest}:{shift_us}" if shift_us else digest
    # merge keeps the order inside each file, whatever its clock did.
    in_order = merge(hooks, others, key=lambda line: line[0])
    return Capture(
        path=path,
        spool_id=str(uuid.uuid5(SPOOL_NAMESPACE, name)),
        events=[
            WireEvent(seq=seq, at_us=ts_ms * 1000 + shift_us, hook=hook, event=event, ctx=ctx)
            for seq, (ts_ms, hook, event, ctx) in enumerate(in_order)
        ],
        num_skipped=len(agent_lines) - len(others),
    )


def agent_events_beside(path: Path) -> Path | None:
    """Return the agent-events file that belongs to a capture, when there is one."""
    sibling = path.parent / AGENT_EVENTS_FOLDER / path.name
    return sibling if sibling.is_file() else None


def wire_batches(capture: Capture, max_events: int = MAX_BATCH_EVENTS) -> Iterator[tuple[bytes, list[WireEvent]]]:
    """Cut a capture into request bodies, in order; each comes with its events."""
    group: list[WireEvent] = []
    encoded: list[msgspec.Raw] = []
    num_bytes = 0
    for event in capture.events:
        raw = msgspec.Raw(msgspec.json.encode(event))
        size = memoryview(raw).nbytes
        if group and (len(group) >= max_events or num_bytes + size > MAX_BATCH_BYTES):
            yield _body(capture, encoded), group
            group, encoded, num_bytes = [], [], 0
        group.append(event)
        encoded.append(raw)
        num_bytes += size
    if group:
        yield _body(capture, encoded), group


def _body(capture: Capture, events: Sequence[msgspec.Raw]) -> bytes:
    return msgspec.json.encode(
        WireBatch(schema_version=1, source=capture.source, spool_id=capture.spool_id, events=list(events))
    )


def _lines(path: Path, content: bytes, shape: type[_Line]) -> Iterator[_Line]:
    decoder = msgspec.json.Decoder(shape)
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            yield decoder.decode(line)
        except (ValueError, RecursionError) as error:
            raise UnreadableCapture(f"{path} line {number} is no captured event: {error}") from None
