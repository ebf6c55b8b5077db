"""Writes records to Kafka and says when the broker has them.

Upstream: ``producers.gateway.ingest``.
Downstream: the events topic and its dead letters.
Guarantee: ``publish`` returns only after every record's delivery report (acks=all, idempotent, so order in a partition
is kept over retries); nothing is taken that the queue cannot hold; a broker that is away is told at once.
"""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from infra.runtime.fail_points import reach
from infra.runtime.kafka_security import kafka_connection
from producers.metrics import BROKER_UP, QUEUE_BYTES
from producers.settings import GatewaySettings

_log = structlog.get_logger(__name__)

POLL_S: Final = 0.1
# How often a broker that is away is asked for, and how long it may take to answer.
PROBE_EVERY_S: Final = 1.0
PROBE_TIMEOUT_S: Final = 0.5
FLUSH_TIMEOUT_S: Final = 10.0
# Above MAX_RECORD_BYTES by what a record's key, headers and framing take.
MAX_MESSAGE_BYTES: Final = 1_000_000


class QueueFull(Exception):
    """More waits for the broker than may."""


class BrokerAway(Exception):
    """The broker did not take a record; whoever sent it must send it again."""


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """One record to write."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, str | bytes | None]] = field(default_factory=list)


class _Delivery:
    """The records of one request: done when the broker has spoken about each."""

    __slots__ = ("error", "future", "num_bytes", "num_waiting")

    def __init__(self, records: Sequence[OutgoingRecord], future: asyncio.Future[None]) -> None:
        self.num_waiting = len(records)
        self.num_bytes = sum(len(record.value) for record in records)
        self.future = future
        self.error: KafkaError | None = None


class Publisher:
    """The one producer of this process, with the one thread that polls it."""

    def __init__(self, settings: GatewaySettings, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._topic = settings.gateway_events_topic
        self._bootstrap = settings.kafka_bootstrap
        self._queue_bytes_limit = settings.gateway_queue_bytes
        self._queue_bytes = 0
        self._reported: list[_Delivery] = []
        self._down_reason = "no answer yet"
        self._probe_at_s = 0.0
        self._stopping = threading.Event()
        self._producer = Producer(_configuration(settings, self._on_error))
        self._thread = threading.Thread(target=self._poll_until_stopped, name="kafka-poll", daemon=True)
        self._thread.start()

    def missing(self) -> list[str]:
        """Return what keeps records from being written, in plain words; empty when nothing does."""
        return [f"Kafka at {self._bootstrap}: {self._down_reason}"] if self._down_reason else []

    def check(self) -> None:
        """Refuse early, before a body is read.

        Raises:
            BrokerAway: the broker does not answer.
            QueueFull: enough is waiting already.
        """
        if self._down_reason:
            raise BrokerAway(self._down_reason)
        if self._queue_bytes >= self._queue_bytes_limit:
            raise QueueFull

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        """Write records in their order; return when the broker has all of them on every in-sync replica.

        Raises:
            BrokerAway: at least one was not taken; others may have been.
            QueueFull: at least one did not fit into the queue; others may have been taken.
        """
        if not records:
            return
        self.check()
        delivery = _Delivery(records, self._loop.create_future())
        self._queue_bytes += delivery.num_bytes
        QUEUE_BYTES.set(self._queue_bytes)

        def on_delivery(error: KafkaError | None, _: Message) -> None:
            self._on_report(delivery, error)

        try:
            # No await in this loop: the records of two requests must not mix.
            for record in records:
                self._producer.produce(
                    record.topic, record.value, record.key, headers=record.headers, on_delivery=on_delivery
                )
        except (BufferError, KafkaException) as error:
            # What was produced before still reports to this delivery, which can no longer come to its end.
            self._release(delivery)
            if isinstance(error, BufferError):
                raise QueueFull from None
            raise BrokerAway(str(error)) from None
        reach("gateway.handed_over")
        await delivery.future
        reach("gateway.acknowledged")

    def close(self) -> None:
        """Wait for what is on its way, then stop."""
        self._stopping.set()
        self._thread.join()
        left = self._producer.flush(FLUSH_TIMEOUT_S)
        if left:
            _log.error("records_left_at_stop", num_records=left)

    def _release(self, delivery: _Delivery) -> None:
        self._queue_bytes -= delivery.num_bytes
        QUEUE_BYTES.set(self._queue_bytes)

    # From here on: the polling thread.

    def _poll_until_stopped(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(POLL_S)
            # One wake-up of the event loop for all reports of a poll; one for each would cost more than the produce.
            if self._reported:
                reported, self._reported = self._reported, []
                self._loop.call_soon_threadsafe(self._settle, reported)
            if self._down_reason and time.monotonic() >= self._probe_at_s:
                self._probe()

    def _on_report(self, delivery: _Delivery, error: KafkaError | None) -> None:
        if error is not None:
            delivery.error = error
        delivery.num_waiting -= 1
        if delivery.num_waiting == 0:
            self._reported.append(delivery)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            # An idempotent producer does not work again after this; a new process does.
            _log.critical("producer_broken", reason=error.str())
            os.kill(os.getpid(), signal.SIGTERM)
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._set_down("no broker answers")

    def _set_down(self, reason: str) -> None:
        if not self._down_reason:
            _log.warning("broker_away", reason=reason)
        self._down_reason = reason
        BROKER_UP.set(0)

    def _probe(self) -> None:
        try:
            topic = self._producer.list_topics(self._topic, timeout=PROBE_TIMEOUT_S).topics[self._topic]
        except KafkaException as error:
            self._set_down(error.args[0].str())
        else:
            if topic.error is None:
                _log.info("broker_up", bootstrap=self._bootstrap)
                self._down_reason = ""
                BROKER_UP.set(1)
            else:
                self._set_down(f"topic {self._topic}: {topic.error.str()}; run clawtrace topics provision")
        self._probe_at_s = time.monotonic() + PROBE_EVERY_S

    # From here on: the event loop again.

    def _settle(self, deliveries: list[_Delivery]) -> None:
        for delivery in deliveries:
            self._release(delivery)
            if delivery.future.done():
                continue  # its request was cancelled
            if delivery.error is None:
                delivery.future.set_result(None)
            else:
                # The probe says within a second whether it was the broker or only this record.
                self._set_down(delivery.error.str())
                delivery.future.set_exception(BrokerAway(delivery.error.str()))


def _configuration(settings: GatewaySettings, on_error: Any) -> dict[str, Any]:
    return {
        **kafka_connection(settings.kafka_bootstrap, settings),
        "client.id": "clawtrace-gateway",
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": settings.gateway_linger_ms,
        "compression.type": "lz4",
        # The partitioner of the Java clients: any other client that writes this topic finds the same partition.
        "partitioner": "murmur2_random",
        "delivery.timeout.ms": settings.gateway_delivery_timeout_ms,
        "message.max.bytes": MAX_MESSAGE_BYTES,
        # Our own bound comes first, with an answer; librdkafka's is only the wall behind it.
        "queue.buffering.max.kbytes": settings.gateway_queue_bytes * 2 // 1024,
        "reconnect.backoff.max.ms": 1_000,
        "error_cb": on_error,
        "logger": logging.getLogger("librdkafka"),
    }
