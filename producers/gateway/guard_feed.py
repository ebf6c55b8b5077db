"""Reads the guard topic from its beginning and goes on reading; writes to it what a person decides by hand.

Upstream: ``clawtrace.guard.v1``.
Downstream: the gateway's guard state; ``clawtrace guard verdict``.
Guarantee: one consumer per gateway process, without a group, so that every gateway knows all; says when it has read
what was there at the start; an unreadable record is counted and passed over.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, Producer, TopicPartition
from msgspec import DecodeError
from msgspec import json as msgspec_json

from infra.runtime.kafka import KafkaAway
from infra.runtime.kafka_security import kafka_connection
from producers.contracts.event import record_key
from producers.contracts.guard import GUARD_SCHEMA_VERSION, GuardMessage, decode_guard_message
from producers.metrics import GUARD_FEED_UP, GUARD_MESSAGES

_log = structlog.get_logger(__name__)

POLL_S: Final = 0.2
BATCH_RECORDS: Final = 500
LOOK_TIMEOUT_S: Final = 5.0
RETRY_S: Final = 1.0
STOP_TIMEOUT_S: Final = 1.0
SEND_TIMEOUT_S: Final = 15.0


class GuardFeed:
    """The one reader of this process, on a thread of its own."""

    def __init__(self, bootstrap: str, topic: str, on_messages: Callable[[list[GuardMessage]], None]) -> None:
        self._bootstrap, self._topic, self._on_messages = bootstrap, topic, on_messages
        self._stopping = threading.Event()
        self._caught_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guard-feed", daemon=True)
        self._thread.start()

    @property
    def is_caught_up(self) -> bool:
        """Whether all that was there when reading began has been read; it stays so."""
        return self._caught_up.is_set()

    def close(self) -> None:
        """Stop reading."""
        self._stopping.set()
        # No longer: it may be asking a broker that is away, and there is nothing to bring to an end.
        self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        reason = ""
        while not self._stopping.is_set():
            try:
                self._read()
            except KafkaException as error:
                GUARD_FEED_UP.set(0)
                if str(error) != reason:
                    reason = str(error)
                    _log.warning("guard_topic_away", topic=self._topic, reason=reason)
                self._stopping.wait(RETRY_S)
            except Exception:
                # Agents would go on by a state that never changes again; better to begin anew.
                GUARD_FEED_UP.set(0)
                _log.exception("guard_feed_failed")
                self._stopping.wait(RETRY_S)

    def _read(self) -> None:
        consumer = Consumer(_configuration(self._bootstrap))
        try:
            ends = self._assign(consumer)
            while not self._stopping.is_set():
                first = consumer.poll(POLL_S)
                # A consume with a timeout waits until it is over, even when it has something.
                records = [] if first is None else [first, *consumer.consume(BATCH_RECORDS, 0)]
                for record in records:
                    if (failure := record.error()) is not None:
                        raise KafkaException(failure)
                messages = [message for record in records if (message := _decode(record)) is not None]
                if messages:
                    self._on_messages(messages)
                if ends:
                    positions = consumer.position([TopicPartition(self._topic, number) for number in ends])
                    ends = {it.partition: ends[it.partition] for it in positions if it.offset < ends[it.partition]}
                    if not ends:
                        self._say_caught_up()
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> dict[int, int]:
        """Start at the beginning of every partition; return where each ends now, without those that are empty."""
        topic = consumer.list_topics(self._topic, timeout=LOOK_TIMEOUT_S).topics[self._topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in topic.partitions])
        ends = {}
        for number in topic.partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(self._topic, number), timeout=LOOK_TIMEOUT_S)
            if high > low:
                ends[number] = high
        if not ends:
            self._say_caught_up()
        return ends

    def _say_caught_up(self) -> None:
        GUARD_FEED_UP.set(1)
        self._caught_up.set()
        # Whoever waits for a state can have it now.
        self._on_messages([])


def send_guard_message(bootstrap: str, topic: str, message: GuardMessage) -> None:
    """Write one message; return when the broker has it.

    Raises:
        KafkaAway: it has not.
    """
    failures: list[Any] = []
    producer = Producer({**_common(bootstrap), "acks": "all", "message.timeout.ms": int(SEND_TIMEOUT_S * 1000)})
    producer.produce(
        topic,
        msgspec_json.encode(message),
        record_key(message.tenant_id, message.agent_id),
        on_delivery=lambda error, _: failures.append(error) if error is not None else None,
    )
    left = producer.flush(SEND_TIMEOUT_S + 1)
    if left or failures:
        reason = failures[0].str() if failures else "no answer"
        raise KafkaAway(f"Kafka at {bootstrap} did not take the message ({reason}); is the stack running? (make up)")


def _decode(record: Message) -> GuardMessage | None:
    try:
        message = decode_guard_message(record.value() or b"")
    except DecodeError as error:
        GUARD_MESSAGES.labels("unreadable").inc()
        _log.error("guard_message_unreadable", partition=record.partition(), offset=record.offset(), reason=str(error))
        return None
    if message.schema_version != GUARD_SCHEMA_VERSION:
        GUARD_MESSAGES.labels("unreadable").inc()
        return None
    GUARD_MESSAGES.labels("read").inc()
    return message


def _common(bootstrap: str) -> dict[str, Any]:
    return {
        **kafka_connection(bootstrap),
        "client.id": "clawtrace-guard",
        "partitioner": "murmur2_random",
        "logger": logging.getLogger("librdkafka"),
    }


def _configuration(bootstrap: str) -> dict[str, Any]:
    common = _common(bootstrap)
    del common["partitioner"]
    return {
        **common,
        # The library wants a name; without subscribe and commits it is no group.
        "group.id": "clawtrace-guard-feed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "reconnect.backoff.max.ms": 1_000,
        "fetch.wait.max.ms": 100,
    }
