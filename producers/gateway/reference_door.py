"""``POST /v1/traces/events``: the door for the reference system's plugin, which sends its own envelopes.

Upstream: that plugin, its endpoint set to this gateway and its observe key to an ingest key.
Downstream: ``producers.contracts.reference_envelope`` for what they mean, ``producers.gateway.ingest`` to store them.
Guarantee: the same as at ``/v1/events``: 202 after the broker's word, a bad envelope in sound JSON sinks no other, what
could not be read is kept.
"""

from collections import defaultdict
from typing import Final, cast

import msgspec
from fastapi import FastAPI, Request, Response

from infra.runtime.problem import Problem, problem_responses
from producers import metrics
from producers.contracts.event import Event
from producers.contracts.normalise import normalise_event, repair_surrogates
from producers.contracts.reference_envelope import REFERENCE_SOURCE, adapt_envelope
from producers.contracts.wire import MAX_EVENT_BYTES, MAX_EVENTS, RejectedEvent
from producers.gateway.batch import MAX_REASON_LENGTH, SetAside
from producers.gateway.ingest import Ingest, StoredSpool

REFERENCE_PATH: Final = "/v1/traces/events"
MEDIA_TYPES: Final = ("application/json", "application/x-ndjson")

_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_one = msgspec.json.Decoder(msgspec.Raw).decode


def split_envelopes(body: bytes) -> list[bytes]:
    """Cut a body into its envelopes: one envelope, an array of them, or one on each line.

    Raises:
        ValueError: there is none, or there are too many.
    """
    text = body.strip()
    envelopes = _split(text)
    if not envelopes:
        raise ValueError("the body has no envelope; send one, an array of them, or one on each line")
    if len(envelopes) > MAX_EVENTS:
        raise ValueError(f"the body has {len(envelopes)} envelopes; send at most {MAX_EVENTS}")
    return envelopes


def _split(text: bytes) -> list[bytes]:
    if text.startswith(b"["):
        try:
            return [bytes(raw) for raw in _decode_array(text)]
        except (ValueError, RecursionError) as error:
            repaired = repair_surrogates(text)
            if repaired != text:
                return _split(repaired)
            raise ValueError(f"the body is not JSON: {error}") from None
    try:
        # Also skips over line breaks inside one envelope.
        return [bytes(_decode_one(text))] if text else []
    except (ValueError, RecursionError):
        return [line for line in (line.strip() for line in text.splitlines()) if line]


def adapt_envelopes(envelopes: list[bytes]) -> tuple[list[StoredSpool], list[SetAside]]:
    """Turn envelopes into events, by spool, in the order of first mention; and those set aside."""
    spools: dict[str, list[Event]] = defaultdict(list)
    aside: list[SetAside] = []
    for index, raw in enumerate(envelopes):
        try:
            if len(raw) > MAX_EVENT_BYTES:
                raise ValueError(f"the envelope has {len(raw)} bytes, at most {MAX_EVENT_BYTES}; cut its payload")
            adapted = adapt_envelope(repair_surrogates(raw))
            events = [normalise_event(adapted.spool_id, wire) for wire in adapted.events]
        except RecursionError:
            aside.append(_set_aside(index, raw, "nested too deep; flatten it or cut it off"))
        except UnicodeDecodeError as error:
            aside.append(_set_aside(index, raw, f"not valid UTF-8 ({error.reason}); send UTF-8 text"))
        except ValueError as error:
            aside.append(_set_aside(index, raw, str(error).replace("$.", "")))
        else:
            spools[adapted.spool_id] += events
    return [StoredSpool(REFERENCE_SOURCE, spool_id, events) for spool_id, events in spools.items()], aside


def _set_aside(index: int, raw: bytes, reason: str) -> SetAside:
    return SetAside(RejectedEvent(index=index, error=reason[:MAX_REASON_LENGTH]), raw)


def add_reference_route(app: FastAPI) -> None:
    """Add the route; the gateway's ``Ingest`` is taken from the app's state at each request."""

    @app.post(
        REFERENCE_PATH,
        summary="Send envelopes of the reference system's plugin",
        status_code=202,
        response_class=Response,
        responses={
            202: {
                "description": "The broker has every event made of them; rejected envelopes are in the dead letters.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/IngestReceipt"}}},
            },
            **problem_responses(401, 403, 413, 415, 422, 429, 503),
        },
        openapi_extra={
            "security": [{"key": []}],
            "requestBody": {
                "required": True,
                "description": "One envelope, an array of them, or one on each line; gzip is welcome.",
                "content": {media_type: {"schema": {}} for media_type in MEDIA_TYPES},
            },
        },
    )
    async def post_reference_envelopes(request: Request) -> Response:
        ingest = cast(Ingest, app.state.ingest)
        try:
            arrival, body, sent = await ingest.receive(request)
            try:
                envelopes = split_envelopes(body)
            except ValueError as error:
                await ingest.refuse_body(arrival, sent, "body", str(error))
            receipt = await ingest.store(arrival, *adapt_envelopes(envelopes))
        except Problem as problem:
            metrics.REFUSALS.labels(problem.code).inc()
            raise
        return Response(msgspec.json.encode(receipt), status_code=202, media_type="application/json")
