"""What comes in at the gateway's door: ``POST /v1/events``.

Upstream: the plugin, or a replay.
Downstream: ``producers.contracts.normalise``.
Guarantee: the batch head is decoded strictly, each event by itself: one bad event never sinks its batch.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from producers.contracts.event import SCHEMA_VERSION, Source

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_EVENTS = 5_000
MAX_EVENT_BYTES = 512 * 1024

UUID_PATTERN = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"


class WireBatch(msgspec.Struct, frozen=True, kw_only=True):
    """The request body; events stay undecoded until each is looked at by itself."""

    schema_version: Annotated[int, Meta(description="1.", ge=SCHEMA_VERSION, le=SCHEMA_VERSION)]
    source: Annotated[Source, Meta(description="Who captured the batch.")]
    spool_id: Annotated[str, Meta(description="UUID of the spool.", pattern=UUID_PATTERN)]
    events: Annotated[
        list[msgspec.Raw],
        Meta(description="The events (WireEvent), in spool order.", min_length=1, max_length=MAX_EVENTS),
    ]


class WireEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One hook call as the plugin saw it: the hook's own objects, redacted, never renamed."""

    seq: Annotated[int, Meta(description="Number of the event in its spool.", ge=0, le=2**53)]
    at_us: Annotated[int, Meta(description="When the hook was called (UTC, microseconds).", ge=0, le=2**53)]
    hook: Annotated[str, Meta(description="Name of the hook.", pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    event: Annotated[msgspec.Raw, Meta(description="The hook's event object.")] = msgspec.field(
        default_factory=lambda: msgspec.Raw(b"{}")
    )
    ctx: Annotated[msgspec.Raw, Meta(description="The hook's context object.")] = msgspec.field(
        default_factory=lambda: msgspec.Raw(b"{}")
    )


class RejectedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Why one event of a batch was not taken."""

    index: int
    error: str


class IngestReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a batch: sent only after the broker has every accepted event on disk of all its replicas."""

    accepted: int
    rejected: list[RejectedEvent]
