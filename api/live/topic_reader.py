"""Reads the live topics from given offsets: the one place of the API that speaks to Kafka.

Upstream: the topics of LIVE_TOPICS.
Downstream: api/live/feed.py and api/live/history.py.
Guarantee: reads by assignment; no group, no commits, so that nothing of it is seen by other readers. Calls block: use
it from a thread.
"""

import logging
import time
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from msgspec import DecodeError

from api.live.erased import ErasedWatch
from api.live.hub import Arrival
from api.live.position import Layout, Position, offset_of, place_value
from api.live.records import LIVE_TOPICS, decode_record
from infra.runtime.kafka_security import kafka_connection

_log = structlog.get_logger(__name__)

LOOK_TIMEOUT_S: Final = 5.0
_PREFETCH_KBYTES: Final = 8 * 1024
_FETCH_BYTES: Final = 256 * 1024
_PLACE_GONE: Final = (
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
)


class LogGone(Exception):
    """The log no longer has the place that is read; look at its ends again."""


class TopicReader:
    """One consumer over all partitions of the live topics."""

    def __init__(self, bootstrap: str, topic_prefix: str, name: str, erased: ErasedWatch | None = None) -> None:
        self._erased = erased
        self._names = [f"{topic_prefix}{spec.name}" for spec in LIVE_TOPICS]
        self._consumer = Consumer(
            {
                **kafka_connection(bootstrap),
                "client.id": name,
                # The library wants a name; without subscribe and commits it is no group.
                "group.id": name,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "allow.auto.create.topics": False,
                "queued.max.messages.kbytes": _PREFETCH_KBYTES,
                # A tenth of a second is nothing to whoever looks on; hundreds of small answers a second cost much.
                "fetch.min.bytes": _FETCH_BYTES,
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 100,
                "reconnect.backoff.max.ms": 1_000,
                "logger": logging.getLogger("librdkafka"),
            }
        )
        self.layout = Layout(())

    def describe(self) -> Layout:
        """Look up how many partitions each topic has.

        Raises:
            KafkaException: the broker does not answer, or a topic is missing.
        """
        counts = []
        for name in self._names:
            topic = self._consumer.list_topics(name, timeout=LOOK_TIMEOUT_S).topics[name]
            if topic.error is not None:
                raise KafkaException(topic.error)
            counts.append(len(topic.partitions))
        self.layout = Layout(tuple(counts))
        return self.layout

    def ends(self) -> tuple[Position, Position]:
        """First and next offsets of all partitions, as the broker says now.

        Raises:
            KafkaException: the broker does not answer.
        """
        lows, highs = [], []
        for index in range(self.layout.num_places):
            low, high = self._watermarks(index)
            lows.append(place_value(low))
            highs.append(place_value(high))
        return tuple(lows), tuple(highs)

    def look_at(self, index: int) -> int:
        """Next offset of one partition, as the broker says now.

        Raises:
            KafkaException: the broker does not answer.
        """
        return self._watermarks(index)[1]

    def offsets_since(self, at_ms: int, ends: Position) -> Position:
        """Offsets of the first records since an instant; the end where there are none.

        Raises:
            KafkaException: the broker does not answer.
        """
        asked = [self._at(index, at_ms) for index in range(self.layout.num_places)]
        found = self._consumer.offsets_for_times(asked, timeout=LOOK_TIMEOUT_S)
        values = []
        for place, end in zip(found, ends, strict=True):
            if place.error is not None:
                raise KafkaException(place.error)
            values.append(end if place.offset < 0 else place_value(place.offset))
        return tuple(values)

    def start_at(self, position: Position) -> None:
        """Read every partition from there on."""
        self._consumer.assign([self._at(index, offset_of(position[index])) for index in range(self.layout.num_places)])

    def poll(self, timeout_s: float, limit: int) -> list[Arrival]:
        """Return what is there, waiting at most that long for the first record.

        Raises:
            LogGone: the log was cut or made anew below us.
        """
        first = self._consumer.poll(timeout_s)
        # A consume with a timeout waits until it is over, even when it has something.
        messages = [] if first is None else [first, *self._consumer.consume(limit, 0)]
        arrivals = []
        for message in messages:
            error = message.error()
            if error is None:
                arrivals.append(self._arrival(message))
            elif error.code() in _PLACE_GONE:
                raise LogGone(str(error))
            else:
                # The client reconnects by itself.
                _log.info("live_kafka_error", error=str(error))
        return arrivals

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def _arrival(self, message: Message) -> Arrival:
        name, partition, offset, value = message.topic(), message.partition(), message.offset(), message.value()
        # There is no error, so it is a record.
        assert name is not None
        assert partition is not None
        assert offset is not None
        topic = self._names.index(name)
        _, at_ms = message.timestamp()
        at_us = at_ms * 1000 if at_ms > 0 else int(time.time() * 1_000_000)
        try:
            decoded = decode_record(topic, value or b"")
            if self._erased is not None:
                decoded = self._erased.strip(decoded)
        except DecodeError as error:
            _log.warning("live_record_unreadable", topic=name, partition=partition, offset=offset, reason=str(error))
            decoded = None
        return Arrival(self.layout.index(topic, partition), offset, at_us, decoded)

    def _watermarks(self, index: int) -> tuple[int, int]:
        found = self._consumer.get_watermark_offsets(self._at(index), timeout=LOOK_TIMEOUT_S, cached=False)
        if found is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return int(found[0]), int(found[1])

    def _at(self, index: int, offset: Any = None) -> TopicPartition:
        topic, partition = self.layout.place(index)
        place = (self._names[topic], partition)
        return TopicPartition(*place) if offset is None else TopicPartition(*place, offset)
