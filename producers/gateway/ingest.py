"""``POST /v1/events``: from a request to an answer that may be believed.

Upstream: the plugin, a replay.
Downstream: ``clawtrace.events.v1``, and its dead letters.
Guarantee: tenant and agent come from the key alone; 202 only after the broker has every accepted event and every dead
letter; what could not be read is kept byte for byte.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, NoReturn

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from infra.runtime.access_keys import Principal
from infra.runtime.key_store import KeyStore
from infra.runtime.problem import FieldError, Problem, forbidden, invalid, too_busy, unavailable
from infra.runtime.token_buckets import TokenBuckets
from infra.runtime.topics import MAX_RECORD_BYTES
from producers import metrics
from producers.contracts.event import Event, EventBatch, Source, record_key
from producers.contracts.wire import IngestReceipt, WireBatch
from producers.gateway.batch import (
    SetAside,
    UnreadableBatch,
    decode_batch,
    encode_records,
    normalise_batch,
    salvage_batch,
)
from producers.gateway.body import BrokenGzip, check_headers, inflate, read_body
from producers.gateway.publisher import BrokerAway, OutgoingRecord, Publisher, QueueFull

STAGE: Final = "gateway"
# Below it, inflating takes less time than handing it to a thread.
INFLATE_IN_THREAD_BYTES: Final = 32 * 1024
RETRY_BUSY_S: Final = 1
RETRY_AWAY_S: Final = 2
# What came together while a tenant was cut off, or in its first seconds, goes through at once.
BURST_S: Final = 10


@dataclass(frozen=True, slots=True)
class Arrival:
    """Whose request it is and when it came."""

    tenant_id: str
    agent_id: str
    received_at_us: int

    @classmethod
    def now(cls, principal: Principal) -> "Arrival":
        if principal.agent_id is None:
            raise forbidden("this ingest key names no agent; make one with clawtrace keys create --agent")
        return cls(principal.tenant_id, principal.agent_id, time.time_ns() // 1000)

    @property
    def key(self) -> bytes:
        return record_key(self.tenant_id, self.agent_id)


@dataclass(frozen=True, slots=True)
class StoredSpool:
    """Events of one spool, ready to be written."""

    source: Source
    spool_id: str
    events: list[Event]


class Ingest:
    """The route; one per process."""

    def __init__(
        self, keys: KeyStore, publisher: Publisher, events_topic: str, *, tenant_events_per_s: float = 0
    ) -> None:
        """``tenant_events_per_s``: what one tenant may send; 0 is no limit."""
        self._keys = keys
        self._publisher = publisher
        self._topic = events_topic
        self._dead_letter_topic = f"{events_topic}.dlq"
        self._tenant_events_per_s = tenant_events_per_s
        burst = max(tenant_events_per_s * BURST_S, 1)
        self._shares = TokenBuckets(tenant_events_per_s, burst) if tenant_events_per_s else None
        # One at a time: it is slow, and only damaged or hostile bodies need it.
        self._salvaging = asyncio.Semaphore(1)

    async def answer(self, request: Request) -> Response:
        """Take a batch.

        Raises:
            Problem: see the route's documentation.
        """
        try:
            receipt = await self._take(request)
        except Problem as problem:
            metrics.REFUSALS.labels(problem.code).inc()
            raise
        return Response(msgspec.json.encode(receipt), status_code=202, media_type="application/json")

    async def _take(self, request: Request) -> IngestReceipt:
        arrival, body, sent = await self.receive(request)
        try:
            batch = decode_batch(body) or await self._salvage(body)
        except UnreadableBatch as error:
            await self.refuse_body(arrival, sent, error.field, str(error))
        spool_id = batch.spool_id.lower()
        events, aside = normalise_batch(spool_id, batch.events)
        return await self.store(arrival, [StoredSpool(batch.source, spool_id, events)], aside, spool_id)

    async def receive(self, request: Request) -> tuple[Arrival, bytes, bytes]:
        """Let a request in and read it; return whose it is, its body, and the body as it was sent.

        Raises:
            Problem: the key, the tenant's share, the broker, the headers or the gzip do not allow it.
        """
        principal = await self._keys.authenticate(request.headers.get("authorization"), "ingest")
        self._check_share(principal.tenant_id)
        self._check_publisher()
        is_gzip = check_headers(request)
        sent = await read_body(request)
        arrival = Arrival.now(principal)
        body = sent
        if is_gzip:
            try:
                body = await _inflate(sent)
            except BrokenGzip as error:
                await self.refuse_body(arrival, sent, "body", str(error))
        metrics.BODY_BYTES.inc(len(body))
        return arrival, body, sent

    async def refuse_body(self, arrival: Arrival, sent: bytes, field: str, reason: str) -> NoReturn:
        """Keep a body that could not be read, and say so.

        Raises:
            Problem: 422, always.
        """
        await self._publish(self._dead_letters(arrival, sent, reason))
        metrics.DEAD_LETTERS.labels("body").inc()
        raise invalid(reason, FieldError(field, reason))

    async def store(
        self, arrival: Arrival, spools: Sequence[StoredSpool], aside: Sequence[SetAside], spool_id: str = ""
    ) -> IngestReceipt:
        """Write events, and dead letters of those set aside; return when the broker has all of them.

        Raises:
            Problem: the broker does not take them.
        """
        started_s = time.perf_counter()
        records: list[OutgoingRecord] = []
        num_events = 0
        for spool in spools:
            if not spool.events:
                continue
            num_events += len(spool.events)
            stored = EventBatch(
                tenant_id=arrival.tenant_id,
                agent_id=arrival.agent_id,
                source=spool.source,
                spool_id=spool.spool_id,
                received_at_us=arrival.received_at_us,
                events=spool.events,
            )
            records += [OutgoingRecord(self._topic, arrival.key, value) for value in encode_records(stored)]
        for item in aside:
            records += self._dead_letters(arrival, item.raw, item.rejection.error, spool_id, item)
        if self._shares is not None:
            self._shares.spend(arrival.tenant_id.encode(), num_events + len(aside))
        await self._publish(records)
        metrics.ACK_SECONDS.observe(time.perf_counter() - started_s)
        metrics.BATCHES.inc()
        metrics.EVENTS.labels("accepted").inc(num_events)
        if aside:
            metrics.EVENTS.labels("rejected").inc(len(aside))
            metrics.DEAD_LETTERS.labels("event").inc(len(aside))
        return IngestReceipt(accepted=num_events, rejected=[item.rejection for item in aside])

    async def _salvage(self, body: bytes) -> WireBatch:
        metrics.SALVAGED.inc()
        async with self._salvaging:
            return await asyncio.to_thread(salvage_batch, body)

    def _check_share(self, tenant_id: str) -> None:
        """Refuse before the body is read: a tenant that sends too much must cost little."""
        wait_s = self._shares.wait_s(tenant_id.encode()) if self._shares is not None else 0.0
        if wait_s > 0:
            raise too_busy(
                f"this tenant sends more than {self._tenant_events_per_s:g} events a second; "
                "send the same batch again after Retry-After",
                retry_after_s=ceil(wait_s),
            )

    def _check_publisher(self) -> None:
        try:
            self._publisher.check()
        except (BrokerAway, QueueFull) as error:
            raise _not_now(error) from None

    async def _publish(self, records: Sequence[OutgoingRecord]) -> None:
        try:
            await self._publisher.publish(records)
        except (BrokerAway, QueueFull) as error:
            raise _not_now(error) from None

    def _dead_letters(
        self, arrival: Arrival, raw: bytes, reason: str, spool_id: str = "", item: SetAside | None = None
    ) -> list[OutgoingRecord]:
        """Keep bytes that could not be read; in several records, numbered, when they do not fit into one."""
        headers = {
            "stage": STAGE,
            "reason": reason,
            "tenant": arrival.tenant_id,
            "agent": arrival.agent_id,
            "spool_id": spool_id,
            "index": str(item.rejection.index) if item else "",
            "received_at": str(arrival.received_at_us),
        }
        pieces = [raw[at : at + MAX_RECORD_BYTES] for at in range(0, len(raw), MAX_RECORD_BYTES)] or [b""]
        return [
            OutgoingRecord(
                self._dead_letter_topic,
                arrival.key,
                piece,
                [
                    (f"clawtrace.{name}", value.encode(errors="replace"))
                    for name, value in (headers | {"part": f"{number}/{len(pieces)}"}).items()
                ],
            )
            for number, piece in enumerate(pieces, start=1)
        ]


async def _inflate(sent: bytes) -> bytes:
    if len(sent) < INFLATE_IN_THREAD_BYTES:
        return inflate(sent)
    return await asyncio.to_thread(inflate, sent)


def _not_now(error: BrokerAway | QueueFull) -> Problem:
    if isinstance(error, QueueFull):
        return too_busy(
            "too much is waiting for the broker; send the same batch again after Retry-After",
            retry_after_s=RETRY_BUSY_S,
        )
    return unavailable(
        f"Kafka did not take the batch ({error}); keep it and send it again after Retry-After",
        retry_after_s=RETRY_AWAY_S,
    )
