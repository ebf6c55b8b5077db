"""The topics as the sink reads them: ids, partitions, log ends, records.

Upstream: the Kafka broker.
Downstream: lakehouse.sink.cycle.
Guarantee: every partition is read from where the tables say, never from where a consumer group says; a place
that the log no longer has, or never had, is an error with words and not a silent jump.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.runtime.kafka_security import kafka_connection
from lakehouse import metrics
from lakehouse.sink.feeds import Record

_log = structlog.get_logger(__name__)

_TIMEOUT_S = 10.0
_MAX_RECORDS_PER_POLL = 500
# What librdkafka may fetch ahead while a commit is under way: this bounds memory, there is no need to pause.
_PREFETCH_KBYTES = 16 * 1024
_FETCH_BYTES = 256 * 1024
_PLACE_GONE = (
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
)


class KafkaAway(Exception):
    """The broker or a topic cannot be reached now; passes by itself."""


class NeedsPerson(Exception):
    """Going on would lose or spoil something; the text says what a person has to settle."""


class OffsetsBeyondLog(NeedsPerson):
    """The tables have read further than the log reaches; only a person can say which of the two is right."""


class PlaceGone(Exception):
    """The broker no longer has the place we read at; look at the log's ends again."""


@dataclass(frozen=True)
class TopicFacts:
    """What the broker says about a topic."""

    topic_id: str
    partitions: tuple[int, ...]


class Source:
    """One consumer over all partitions of some topics, which are named as in their contracts."""

    def __init__(self, bootstrap: str, group: str, topics: Iterable[str], topic_prefix: str) -> None:
        self._topics = tuple(topics)
        self._prefix = topic_prefix
        self._admin = AdminClient({**kafka_connection(bootstrap), "socket.timeout.ms": 10_000})
        self._consumer = Consumer(
            {
                **kafka_connection(bootstrap),
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                # Any other value would jump over records without a word.
                "auto.offset.reset": "error",
                "allow.auto.create.topics": False,
                "queued.max.messages.kbytes": _PREFETCH_KBYTES,
                # Rows wait seconds for their commit: ten full answers a second cost less than hundreds of small ones.
                "fetch.min.bytes": _FETCH_BYTES,
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 100,
            }
        )

    def describe(self) -> dict[str, TopicFacts]:
        """Ids and partitions of all topics.

        Raises:
            KafkaAway: the broker does not answer, or a topic is missing.
        """
        try:
            futures = self._admin.describe_topics(
                TopicCollection([f"{self._prefix}{topic}" for topic in self._topics]), request_timeout=_TIMEOUT_S
            )
            facts = {}
            for topic, future in futures.items():
                found = future.result(_TIMEOUT_S)
                numbers = tuple(sorted(partition.id for partition in found.partitions))
                facts[topic.removeprefix(self._prefix)] = TopicFacts(str(found.topic_id), numbers)
            return facts
        except (KafkaException, TimeoutError) as error:
            raise KafkaAway(f"topics cannot be described: {error}") from error

    def start_at(self, wanted: dict[tuple[str, int], int]) -> None:
        """Read every partition from the wanted offset on.

        Raises:
            KafkaAway: the broker does not answer.
            OffsetsBeyondLog: a wanted offset is past the end of the log.
        """
        assignment = []
        for (topic, partition), offset in sorted(wanted.items()):
            low, high = self.ends(topic, partition)
            if offset > high:
                raise OffsetsBeyondLog(
                    f"the tables have read {topic} partition {partition} up to offset {offset}, but the log ends "
                    f"at {high}. Records were lost on the broker, or the tables belong to another cluster. "
                    "Nothing was changed; the sink stays stopped until that is settled."
                )
            if 0 < offset < low:
                metrics.LOST_RECORDS.labels(topic=topic).inc(low - offset)
                _log.error("records_gone", topic=topic, partition=partition, next_offset=offset, log_start=low)
            assignment.append(self._place(topic, partition, max(offset, low)))
        self._consumer.assign(assignment)

    def poll(self, timeout_s: float) -> list[Record]:
        """Fetch what is there, waiting at most that long.

        Raises:
            PlaceGone: the log was cut or the topic made anew below us.
        """
        records = []
        for message in self._consumer.consume(_MAX_RECORDS_PER_POLL, timeout=timeout_s):
            error = message.error()
            if error is None:
                topic, partition, offset = message.topic(), message.partition(), message.offset()
                # There is no error, so it is a record.
                assert topic is not None
                assert partition is not None
                assert offset is not None
                name = topic.removeprefix(self._prefix)
                _, written_at_ms = message.timestamp()
                records.append(Record(name, partition, offset, message.value() or b"", written_at_ms))
                metrics.RECORDS.labels(topic=name).inc()
            elif error.code() in _PLACE_GONE:
                raise PlaceGone(str(error))
            else:
                # The client reconnects by itself.
                _log.warning("kafka_error", error=str(error))
        return records

    def report(self, next_offsets: dict[tuple[str, int], int]) -> None:
        """Tell dashboards how far the tables are; a failure changes nothing."""
        lags: dict[str, int] = dict.fromkeys(self._topics, 0)
        for (topic, partition), offset in next_offsets.items():
            # From the last fetch, without asking the broker.
            _, high = self._consumer.get_watermark_offsets(self._place(topic, partition), cached=True)
            lags[topic] += max(high - offset, 0)
        for topic, lag in lags.items():
            metrics.LAG.labels(topic=topic).set(lag)
        try:
            self._consumer.commit(
                offsets=[self._place(*place, offset) for place, offset in next_offsets.items()],
                asynchronous=True,
            )
        except KafkaException as error:
            _log.info("group_offsets_not_reported", error=str(error))

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def _place(self, topic: str, partition: int, offset: int = OFFSET_INVALID) -> TopicPartition:
        return TopicPartition(f"{self._prefix}{topic}", partition, offset)

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset of a partition, and the one behind its last record.

        Raises:
            KafkaAway: the broker does not answer.
        """
        try:
            ends = self._consumer.get_watermark_offsets(self._place(topic, partition), timeout=_TIMEOUT_S, cached=False)
        except KafkaException as error:
            raise KafkaAway(f"log ends of {topic} cannot be read: {error}") from error
        if ends is None:
            raise KafkaAway(f"log ends of {topic} cannot be read in {_TIMEOUT_S} s")
        return int(ends[0]), int(ends[1])
