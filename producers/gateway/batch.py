"""Takes a body apart into events, and puts the events together as records.

Upstream: the bytes of a request.
Downstream: ``producers.gateway.publisher``.
Guarantee: pure; a bad event is set aside with its bytes and its reason and never sinks its neighbours; the order of
events is kept; no record is over MAX_RECORD_BYTES.
"""

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from infra.runtime.topics import MAX_RECORD_BYTES
from producers.contracts.event import Event, EventBatch, encode_event_batch
from producers.contracts.normalise import MAX_NESTING, normalise_event, repair_surrogates
from producers.contracts.wire import MAX_EVENT_BYTES, RejectedEvent, WireBatch, WireEvent

MAX_REASON_LENGTH: Final = 300

_decode_batch = msgspec.json.Decoder(WireBatch).decode
_decode_event = msgspec.json.Decoder(WireEvent).decode
_encode = msgspec.json.Encoder().encode


class UnreadableBatch(ValueError):
    """The head of a batch is wrong or the body is no JSON; ``field`` says where."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class SetAside:
    """An event that was not taken, as it was sent."""

    rejection: RejectedEvent
    raw: bytes


def decode_batch(body: bytes) -> WireBatch | None:
    """Decode a body; None when the JSON does not hold as a whole, so that only ``salvage_batch`` can tell more.

    Raises:
        UnreadableBatch: a field of the head is wrong.
    """
    try:
        return _decode_batch(body)
    except msgspec.ValidationError as error:
        raise _head_error(error) from None
    except (ValueError, RecursionError):
        return None


def salvage_batch(body: bytes) -> WireBatch:
    """Decode a body that is no JSON as a whole, because of one or more of its events.

    Slow (a Python loop over brackets), so run it in a thread.

    Raises:
        UnreadableBatch: there is no telling where one event ends and the next begins, or the head is wrong.
    """
    body = repair_surrogates(body)
    try:
        return _decode_batch(body)
    except msgspec.ValidationError as error:
        raise _head_error(error) from None
    except (ValueError, RecursionError) as error:
        reason = f"nested deeper than {MAX_NESTING} levels" if isinstance(error, RecursionError) else str(error)
    parts = split_events(body)
    if parts is None:
        raise UnreadableBatch("body", f"the body is not JSON: {reason}")
    before, events, after = parts
    try:
        # One stand-in event, because the head alone has none and the contract wants one.
        head = _decode_batch(before + b"0" + after)
    except msgspec.ValidationError as error:
        raise _head_error(error) from None
    except (ValueError, RecursionError) as error:
        raise UnreadableBatch("body", f"the body is not JSON: {error}") from None
    return msgspec.structs.replace(head, events=[msgspec.Raw(event) for event in events])


def _head_error(error: msgspec.ValidationError) -> UnreadableBatch:
    text, _, path = str(error).partition(" - at `$")
    field = path.rstrip("`").lstrip(".") or "body"
    missing = re.search(r"missing required field `(\w+)`", text)
    if missing:
        field = missing[1] if field == "body" else f"{field}.{missing[1]}"
    return UnreadableBatch(field, f"{field}: {text}")


# Brackets, commas and whole strings; the rest is skipped. Possessive, so that hostile text cannot make it slow.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},]', re.DOTALL)
_ARRAY_START: Final = re.compile(rb"\s*:\s*\[")


def split_events(body: bytes) -> tuple[bytes, list[bytes], bytes] | None:
    """Cut the elements of the top-level array ``events`` out by counting brackets, without recursion.

    Returns what is before the first event, the events, and what is behind the last; None when there is no such array
    or it never ends.
    """
    start = _events_start(body)
    if start is None:
        return None
    events = []
    depth = 0
    begin = start
    for token in _TOKEN.finditer(body, start):
        kind = body[token.start()]
        if kind in b"[{":
            depth += 1
        elif kind in b"]}":
            depth -= 1
            if depth < 0:
                events.append(body[begin : token.start()].strip())
                return body[:start], events, body[token.start() :]
        elif kind == ord(",") and depth == 0:
            events.append(body[begin : token.start()].strip())
            begin = token.end()
    return None


def _events_start(body: bytes) -> int | None:
    depth = 0
    for token in _TOKEN.finditer(body):
        kind = body[token.start()]
        if kind in b"[{":
            depth += 1
        elif kind in b"]}":
            depth -= 1
        elif depth == 1 and token.group() == b'"events"':
            array = _ARRAY_START.match(body, token.end())
            if array:
                return array.end()
    return None


def normalise_batch(spool_id: str, raw_events: list[msgspec.Raw]) -> tuple[list[Event], list[SetAside]]:
    """Read each event by itself; return those taken, in order, and those set aside."""
    events: list[Event] = []
    aside: list[SetAside] = []
    for index, raw in enumerate(raw_events):
        try:
            # len(Raw) does not exist; a memoryview has it without a copy.
            if memoryview(raw).nbytes > MAX_EVENT_BYTES:
                raise ValueError(
                    f"the event has {memoryview(raw).nbytes} bytes, at most {MAX_EVENT_BYTES}; cut its payload"
                )
            events.append(normalise_event(spool_id, _decode_event(raw)))
        except RecursionError:
            aside.append(_set_aside(index, raw, f"nested deeper than {MAX_NESTING} levels; flatten it or cut it"))
        except UnicodeDecodeError as error:
            aside.append(_set_aside(index, raw, f"not valid UTF-8 ({error.reason}); send UTF-8 text"))
        except ValueError as error:
            aside.append(_set_aside(index, raw, str(error).replace("$.", "")))
    return events, aside


def _set_aside(index: int, raw: msgspec.Raw, reason: str) -> SetAside:
    return SetAside(RejectedEvent(index=index, error=reason[:MAX_REASON_LENGTH]), bytes(raw))


def encode_records(batch: EventBatch) -> list[bytes]:
    """Encode a batch as one record, or as several in order when it is too large for one."""
    whole = encode_event_batch(batch)
    if len(whole) <= MAX_RECORD_BYTES:
        return [whole]
    head_bytes = len(encode_event_batch(msgspec.structs.replace(batch, events=[])))
    records: list[bytes] = []
    group: list[Event] = []
    group_bytes = head_bytes
    for event in batch.events:
        event_bytes = len(_encode(event)) + 1  # and its comma
        if group and group_bytes + event_bytes > MAX_RECORD_BYTES:
            records.append(encode_event_batch(msgspec.structs.replace(batch, events=group)))
            group, group_bytes = [], head_bytes
        group.append(event)
        group_bytes += event_bytes
    records.append(encode_event_batch(msgspec.structs.replace(batch, events=group)))
    return records
