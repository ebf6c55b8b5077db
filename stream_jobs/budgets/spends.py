"""The spend topic as the keeper reads it.

Upstream: ``clawtrace.spend.v1``.
Downstream: ``keeper``.
Guarantee: every partition is read from where Postgres says, never from where a consumer group says; a place that the
log does not reach is an error with words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.runtime.kafka import KafkaAway
from stream_jobs.budgets import metrics
from stream_jobs.budgets.ledger import Mark

_log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 10.0
MAX_RECORDS: Final = 500
_PLACE_GONE: Final = (
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
)


class NeedsPerson(Exception):
    """Going on would lose or spoil something; the text says what a person has to settle."""


class PlaceGone(Exception):
    """The broker no longer has the place we read at; begin anew."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the spend topic."""

    partition: int
    offset: int
    value: bytes


class SpendSource:
    """All partitions of the spend topic, from where they were counted."""

    def __init__(self, bootstrap: str, topic: str, group: str) -> None:
        self.topic = topic
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "socket.timeout.ms": int(TIMEOUT_S * 1000)})
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                # Any other value would jump over records without a word.
                "auto.offset.reset": "error",
                "allow.auto.create.topics": False,
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 100,
                "reconnect.backoff.max.ms": 1_000,
            }
        )
        self.topic_id = ""

    def open(self, counted: Mapping[int, Mark]) -> None:
        """Read on from what was counted.

        Raises:
            KafkaAway: the broker does not answer, or the topic is missing.
            NeedsPerson: more was counted than the log has.
        """
        places = []
        for partition in self._describe():
            mark = counted.get(partition)
            if mark is not None and mark.topic_id != self.topic_id:
                _log.error("spend_topic_made_anew", partition=partition, old_id=mark.topic_id)
                mark = None
            low, high = self._ends(partition)
            offset = mark.next_offset if mark else low
            if offset > high:
                raise NeedsPerson(
                    f"{self.topic} partition {partition} was counted up to offset {offset}, but the log ends at "
                    f"{high}. Records were lost on the broker, or this is another cluster. Nothing was changed."
                )
            if offset < low:
                metrics.LOST_RECORDS.inc(low - offset)
                _log.error("spends_gone", partition=partition, next_offset=offset, log_start=low)
            places.append(TopicPartition(self.topic, partition, max(offset, low)))
        self._consumer.assign(places)
        _log.info("reading_from", offsets={place.partition: place.offset for place in places})

    def poll(self, timeout_s: float) -> list[Record]:
        """Fetch what is there; waits for the first record at most that long.

        Raises:
            PlaceGone: the log was cut or the topic made anew below us.
        """
        first = self._consumer.poll(timeout_s)
        # A consume with a timeout waits until it is over, even when it has something.
        messages = [] if first is None else [first, *self._consumer.consume(MAX_RECORDS, 0)]
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                partition, offset = message.partition(), message.offset()
                assert partition is not None
                assert offset is not None
                records.append(Record(partition, offset, message.value() or b""))
            elif error.code() in _PLACE_GONE:
                raise PlaceGone(str(error))
            else:
                # The client reconnects by itself.
                _log.warning("kafka_error", error=str(error))
        return records

    def note_lag(self, counted: Mapping[int, Mark]) -> None:
        """Tell dashboards how much is not counted yet, by the last fetch."""
        lag = 0
        for partition, mark in counted.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self.topic, partition), cached=True)
            lag += max(high - mark.next_offset, 0)
        metrics.LAG.set(lag)

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def _describe(self) -> list[int]:
        try:
            (future,) = self._admin.describe_topics(TopicCollection([self.topic]), request_timeout=TIMEOUT_S).values()
            found: Any = future.result(TIMEOUT_S)
        except (KafkaException, TimeoutError) as error:
            raise KafkaAway(
                f"{self.topic} cannot be described: {error}; clawtrace topics provision makes it"
            ) from error
        self.topic_id = str(found.topic_id)
        return sorted(partition.id for partition in found.partitions)

    def _ends(self, partition: int) -> tuple[int, int]:
        try:
            ends = self._consumer.get_watermark_offsets(
                TopicPartition(self.topic, partition), timeout=TIMEOUT_S, cached=False
            )
        except KafkaException as error:
            raise KafkaAway(f"log ends of {self.topic} cannot be read: {error}") from error
        if ends is None:
            raise KafkaAway(f"log ends of {self.topic} cannot be read in {TIMEOUT_S} s")
        return int(ends[0]), int(ends[1])
