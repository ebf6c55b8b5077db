"""The event ``reprice``: a person asks that model calls be priced again.

Upstream: ``clawtrace prices reprice --apply``, through the gateway like any event of the agent.
Downstream: ``stream_jobs.core.reprice``.
Guarantee: it carries no dollars: what a call costs is decided by the stitcher's own price list, so whoever may send
events of an agent can at most have its calls priced as they should be.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

HOOK: Final = "reprice"
# Every call named makes a span to be sent again, in the outputs of one record.
MAX_SPANS: Final = 500


class RepricedSpan(msgspec.Struct, frozen=True, kw_only=True):
    """One model call."""

    span_id: Annotated[str, Meta(description="The call.", min_length=1, max_length=128)]
    price_id: Annotated[
        str,
        Meta(description="The price that is expected; empty for none. By another one nothing changes.", max_length=512),
    ]


class Reprice(msgspec.Struct, frozen=True, kw_only=True):
    """What the event says."""

    spans: Annotated[list[RepricedSpan], Meta(description="Calls of this agent.", min_length=1, max_length=MAX_SPANS)]
    reason: Annotated[str, Meta(description="Why, in plain words.", max_length=500)] = ""


class _Payload(msgspec.Struct, frozen=True):
    event: Reprice


_decode_event = msgspec.json.Decoder(Reprice).decode
_decode_payload = msgspec.json.Decoder(_Payload).decode


def check_reprice(event: msgspec.Raw) -> None:
    """Refuse what is no such event, before it is taken.

    Raises:
        ValueError: the text names the field.
    """
    _decode_event(event)


def read_reprice(payload: msgspec.Raw) -> Reprice:
    """Read the payload of an ``Event``.

    Raises:
        ValueError: it is none; the text names the field.
    """
    return _decode_payload(payload).event
