"""Topics as they are read by a process that keeps its place in Postgres.

Upstream: Kafka.
Downstream: ``batch_reader``.
Guarantee: every partition is read from where Postgres says, never from where a consumer group says; a place that the
log does not reach is an error with words.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.runtime.kafka import KafkaAway
from infra.runtime.kafka_security import kafka_connection
from stream_jobs.marks import Mark, Place

_log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 10.0
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
    """One record; ``written_at_ms`` is when its writer sent it."""

    topic: str
    partition: int
    offset: int
    value: bytes
    written_at_ms: int

    @property
    def place(self) -> Place:
        """Topic and partition."""
        return self.topic, self.partition


class LogSource:
    """All partitions of some topics, from where they were counted."""

    def __init__(
        self,
        bootstrap: str,
        topics: Sequence[str],
        group: str,
        *,
        on_lost: Callable[[int], None],
        num_records: int = 500,
        fetch_bytes: int = 1,
    ) -> None:
        """``on_lost`` hears how many records retention deleted before they were read.

        The broker answers when it has ``fetch_bytes``, or after a tenth of a second.
        """
        self.topics, self._on_lost, self._num_records = tuple(topics), on_lost, num_records
        self._admin = AdminClient({**kafka_connection(bootstrap), "socket.timeout.ms": int(TIMEOUT_S * 1000)})
        self._consumer = Consumer(
            {
                **kafka_connection(bootstrap),
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                # Any other value would jump over records without a word.
                "auto.offset.reset": "error",
                "allow.auto.create.topics": False,
                "fetch.min.bytes": fetch_bytes,
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 100,
                "reconnect.backoff.max.ms": 1_000,
            }
        )
        self.topic_ids: dict[str, str] = {}

    def open(self, counted: Mapping[Place, Mark]) -> None:
        """Read on from what was counted.

        Raises:
            KafkaAway: the broker does not answer, or a topic is missing.
            NeedsPerson: more was counted than the log has.
        """
        places = [place for topic in self.topics for place in self._places(topic, counted)]
        self._consumer.assign(places)
        _log.info("reading_from", offsets={f"{place.topic}/{place.partition}": place.offset for place in places})

    def poll(self, timeout_s: float) -> list[Record]:
        """Fetch what is there; waits for the first record at most that long.

        Raises:
            PlaceGone: the log was cut or the topic made anew below us.
        """
        first = self._consumer.poll(timeout_s)
        # A consume with a timeout waits until it is over, even when it has something.
        messages = [] if first is None else [first, *self._consumer.consume(self._num_records, 0)]
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                topic, partition, offset = message.topic(), message.partition(), message.offset()
                assert topic is not None
                assert partition is not None
                assert offset is not None
                records.append(Record(topic, partition, offset, message.value() or b"", message.timestamp()[1]))
            elif error.code() in _PLACE_GONE:
                raise PlaceGone(str(error))
            else:
                # The client reconnects by itself.
                _log.warning("kafka_error", error=str(error))
        return records

    def lag(self, counted: Mapping[Place, Mark]) -> int:
        """Records not counted yet, by the last fetch."""
        lag = 0
        for place, mark in counted.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            lag += max(high - mark.next_offset, 0)
        return lag

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def _places(self, topic: str, counted: Mapping[Place, Mark]) -> list[TopicPartition]:
        places = []
        for partition in self._describe(topic):
            mark = counted.get((topic, partition))
            if mark is not None and mark.topic_id != self.topic_ids[topic]:
                _log.error("topic_made_anew", topic=topic, partition=partition, old_id=mark.topic_id)
                mark = None
            low, high = self._ends(topic, partition)
            offset = mark.next_offset if mark else low
            if offset > high:
                raise NeedsPerson(
                    f"{topic} partition {partition} was counted up to offset {offset}, but the log ends at "
                    f"{high}. Records were lost on the broker, or this is another cluster. Nothing was changed."
                )
            if offset < low:
                self._on_lost(low - offset)
                _log.error("records_gone", topic=topic, partition=partition, next_offset=offset, log_start=low)
            places.append(TopicPartition(topic, partition, max(offset, low)))
        return places

    def _describe(self, topic: str) -> list[int]:
        try:
            (future,) = self._admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_S).values()
            found: Any = future.result(TIMEOUT_S)
        except (KafkaException, TimeoutError) as error:
            raise KafkaAway(f"{topic} cannot be described: {error}; clawtrace topics provision makes it") from error
        self.topic_ids[topic] = str(found.topic_id)
        return sorted(partition.id for partition in found.partitions)

    def _ends(self, topic: str, partition: int) -> tuple[int, int]:
        try:
            ends = self._consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=TIMEOUT_S, cached=False
            )
        except KafkaException as error:
            raise KafkaAway(f"log ends of {topic} cannot be read: {error}") from error
        if ends is None:
            raise KafkaAway(f"log ends of {topic} cannot be read in {TIMEOUT_S} s")
        return int(ends[0]), int(ends[1])
