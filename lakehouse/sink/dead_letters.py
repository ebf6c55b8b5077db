"""Puts records that nobody can read aside, byte for byte.

Upstream: the consumer (undecodable records), the cycle (rows that fit no column).
Downstream: topic ``<topic>.dlq``.
Guarantee: a dead letter is delivered before the commit that passes its record over; a restart in between may
write it twice, never lose it.
"""

import structlog
from confluent_kafka import KafkaError, Message, Producer

from infra.runtime.kafka_security import kafka_connection
from lakehouse import metrics
from lakehouse.sink.feeds import Record

_log = structlog.get_logger(__name__)

STAGE = "sink"
_FLUSH_TIMEOUT_S = 30.0
_MAX_REASON_CHARS = 500


class DeadLetterUndelivered(Exception):
    """The broker did not take a dead letter; the record must not be passed over."""


class DeadLetters:
    """Sends dead letters and remembers what is not delivered yet."""

    def __init__(self, bootstrap: str, topic_prefix: str) -> None:
        self._bootstrap = bootstrap
        self._topic_prefix = topic_prefix
        # Most sinks never meet a dead letter: no producer, no threads.
        self._producer: Producer | None = None
        self._failure: str | None = None

    def send(self, record: Record, reason: str) -> None:
        """Queue a record for its dead-letter topic."""
        if self._producer is None:
            self._producer = Producer({**kafka_connection(self._bootstrap), "enable.idempotence": True, "acks": "all"})
        topic = f"{self._topic_prefix}{record.topic}"
        headers = {
            "stage": STAGE,
            "reason": reason[:_MAX_REASON_CHARS],
            "original_topic": topic,
            "original_partition": str(record.partition),
            "original_offset": str(record.offset),
        }
        self._producer.produce(
            f"{topic}.dlq",
            value=record.value,
            headers=[(name, text.encode()) for name, text in headers.items()],
            on_delivery=self._on_delivery,
        )
        metrics.DEAD_LETTERS.labels(topic=record.topic).inc()
        _log.warning(
            "dead_letter",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=reason,
        )

    def flush(self) -> None:
        """Wait until all are delivered.

        Raises:
            DeadLetterUndelivered: at least one is not.
        """
        if self._producer is None:
            return
        num_left = self._producer.flush(_FLUSH_TIMEOUT_S)
        failure, self._failure = self._failure, None
        if num_left or failure:
            raise DeadLetterUndelivered(failure or f"{num_left} dead letters not delivered")

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failure = str(error)
