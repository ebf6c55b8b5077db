"""Dead letters as they lie in their topics, and the marks of replays beside them.

Upstream: topics ``<topic>.dlq``, written by gateway, stitcher, sink and keeper of budgets; marks by dead_letter_replay.
Downstream: ``clawtrace dlq``, ``clawtrace doctor``.
Guarantee: reads by assignment, without a group: looking changes nothing. A letter is named by what it says and where
its record was, so the same letter written twice has one name.
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from infra.runtime.kafka import KafkaAway

DEAD_LETTER_SUFFIX: Final = ".dlq"
MARK_HEADER: Final = "clawtrace.replay-mark"
REPLAY_OF_HEADER: Final = "clawtrace.replay-of"
LETTER_ID_HEADER: Final = "clawtrace.letter-id"
_TIMEOUT_S: Final = 10.0
_OWN_PREFIX: Final = "clawtrace."
_PLACE_HEADERS: Final = frozenset({"stage", "reason", "original_topic", "original_partition", "original_offset"})


@dataclass(frozen=True, slots=True)
class Place:
    """A record of a topic."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Read ``topic/partition/offset``.

        Raises:
            ValueError: it is none.
        """
        topic, partition, offset = text.rsplit("/", 2)
        return cls(topic, int(partition), int(offset))


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. ``original`` is None for what never was in a topic: a body that the gateway could not read.

    ``letter_id`` names what it says: the same bytes of the same record have the same.
    """

    place: Place
    written_at_ms: int
    stage: str
    reason: str
    original: Place | None
    num_bytes: int
    letter_id: str
    more: dict[str, str]


@dataclass(frozen=True, slots=True)
class Mark:
    """What was said about the replay of a letter. ``target`` is where it went; of ``begun``, where that began."""

    letter_id: str
    state: Literal["begun", "done"]
    at_ms: int
    target: Place


@dataclass(frozen=True, slots=True)
class Content:
    """Key and bytes of a letter, as they came."""

    key: bytes | None
    value: bytes


class LetterNotFound(Exception):
    """There is no such letter; the text says what is wrong."""


class DeadLetterReader:
    """Reads dead-letter topics from their beginning to where they end now."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "client.id": "clawtrace-dlq",
                # The library wants a name; without subscribe and commits it is no group.
                "group.id": "clawtrace-dlq",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "allow.auto.create.topics": False,
                "fetch.wait.max.ms": 50,
                "logger": logging.getLogger("librdkafka"),
            }
        )

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()

    def letters(self, topic: str, *, since_ms: int = 0) -> Iterator[tuple[Letter, Content] | Mark]:
        """Give letters and marks of a topic in their order; nothing when the topic is not there.

        Raises:
            KafkaAway: the broker does not answer.
        """
        for partition in self._partitions(topic):
            for message in self._records(TopicPartition(topic, partition), 0, since_ms=since_ms):
                yield _read(message)

    def letter(self, place: Place) -> tuple[Letter, Content]:
        """Read one letter.

        Raises:
            KafkaAway: the broker does not answer.
            LetterNotFound: there is none.
        """
        if place.partition not in self._partitions(place.topic):
            raise LetterNotFound(f"there is no dead-letter topic {place.topic} with a partition {place.partition}")
        records = self._records(TopicPartition(place.topic, place.partition), place.offset)
        message = next(records, None)
        if message is None or message.offset() != place.offset:
            raise LetterNotFound(f"there is no letter {place}; clawtrace dlq list shows them")
        found = _read(message)
        if isinstance(found, Mark):
            raise LetterNotFound(f"{place} is no letter, but the mark of a replay")
        return found

    def end(self, topic: str, partition: int) -> int:
        """Where a partition ends now.

        Raises:
            KafkaAway: the broker does not answer, or there is no such partition.
        """
        return self._ends(TopicPartition(topic, partition))[1]

    def find_sent(self, begun: Mark) -> Place | None:
        """Look in the original partition for what a replay sent that was cut off."""
        target = begun.target
        for message in self._records(TopicPartition(target.topic, target.partition), target.offset):
            if _headers(message).get(LETTER_ID_HEADER) == begun.letter_id:
                return Place(target.topic, target.partition, message.offset() or 0)
        return None

    def _partitions(self, topic: str) -> list[int]:
        try:
            found = self._consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic]
        except KafkaException as error:
            raise self._away(error) from error
        if found.error is not None:
            if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return []
            raise self._away(found.error)
        return sorted(found.partitions)

    def _ends(self, place: TopicPartition) -> tuple[int, int]:
        try:
            ends: tuple[int, int] = self._consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise self._away(error) from error
        return ends

    def _records(self, place: TopicPartition, offset: int, *, since_ms: int = 0) -> Iterator[Message]:
        low, high = self._ends(place)
        start = max(offset, low)
        if since_ms:
            (found,) = self._consumer.offsets_for_times(
                [TopicPartition(place.topic, place.partition, since_ms)], timeout=_TIMEOUT_S
            )
            start = max(start, found.offset) if found.offset >= 0 else high
        if start >= high:
            return
        self._consumer.assign([TopicPartition(place.topic, place.partition, start)])
        heard_at_s = time.monotonic()
        position = start
        while position < high:
            for message in self._consumer.consume(500, 0.2):
                if (error := message.error()) is not None:
                    raise self._away(error)
                heard_at_s = time.monotonic()
                position = (message.offset() or 0) + 1
                if position <= high:
                    yield message
            if time.monotonic() - heard_at_s > _TIMEOUT_S:
                raise self._away("no records")

    def _away(self, reason: object) -> KafkaAway:
        return KafkaAway(f"Kafka at {self._bootstrap} does not answer ({reason}); is the stack running? (make up)")


def read_letter(place: Place, at_ms: int, headers: dict[str, str], value: bytes) -> Letter:
    """Make a letter of a record; whoever wrote it used these headers, with our prefix or without."""
    plain = {name.removeprefix(_OWN_PREFIX): text for name, text in headers.items()}
    original = None
    if plain.get("original_topic"):
        try:
            original = Place(plain["original_topic"], int(plain["original_partition"]), int(plain["original_offset"]))
        except (KeyError, ValueError):
            original = None
    digest = hashlib.sha256(f"{original}|".encode() + value).hexdigest()
    return Letter(
        place=place,
        written_at_ms=at_ms,
        stage=plain.get("stage", ""),
        reason=plain.get("reason", ""),
        original=original,
        num_bytes=len(value),
        letter_id=digest[:32],
        more={name: text for name, text in plain.items() if name not in _PLACE_HEADERS and text},
    )


def _read(message: Message) -> tuple[Letter, Content] | Mark:
    headers = _headers(message)
    value = message.value() or b""
    if MARK_HEADER in headers:
        said = json.loads(value)
        return Mark(said["letter_id"], said["state"], said["at_ms"], Place.parse(said["target"]))
    place = Place(message.topic() or "", message.partition() or 0, message.offset() or 0)
    key = message.key()
    content = Content(key.encode() if isinstance(key, str) else key, value)
    return read_letter(place, message.timestamp()[1], headers, value), content


def _headers(message: Message) -> dict[str, str]:
    found = {}
    given: Any = message.headers()
    for name, value in given or []:
        raw = value if isinstance(value, bytes) else str(value or "").encode()
        found[name] = raw.decode(errors="replace")
    return found
