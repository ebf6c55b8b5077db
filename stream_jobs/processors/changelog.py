"""The changelog as it is read back: several partitions, each from an offset to the end it had.

Upstream: topic ``clawtrace.stitcher-state.v1``.
Downstream: ``local_state`` applies it to the local files.
Guarantee: each record once, in the order of its partition, and none left out; what was compacted away is no gap. The
ends are asked for before anything is read. What the broker cannot give is asked for until it can, or the caller stops.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream_jobs.processors.journal import Change

_log = structlog.get_logger(__name__)

_NUM_RECORDS: Final = 2_000
_POLL_S: Final = 0.1
_ASK_TIMEOUT_S: Final = 5.0
_RETRY_S: Final = 0.5
_GONE: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})
_QUEUED_KIB: Final = 16 * 1024


class ChangelogGone(Exception):
    """An offset that was asked for is not in the topic any more."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What follows in one partition."""

    partition: int
    changes: list[Change]
    next_offset: int


class ChangelogReader:
    """One pass over some partitions; close it."""

    def __init__(self, connection: Mapping[str, Any], topic: str, is_wanted: Callable[[], bool]) -> None:
        self._topic, self._is_wanted = topic, is_wanted
        self._consumer = Consumer(
            {
                **connection,
                # Asked for by the client; nothing is ever committed or assigned by it.
                "group.id": "clawtrace.stitcher-restore",
                "enable.auto.commit": False,
                # Any other value would jump over records without a word.
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "allow.auto.create.topics": False,
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 100,
                "reconnect.backoff.max.ms": 1_000,
                "queued.max.messages.kbytes": _QUEUED_KIB,
            }
        )

    def bounds(self, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Return first offset and end of each; nothing when nobody wants it any more."""
        found: dict[int, tuple[int, int]] = {}
        while self._is_wanted() and len(found) < len(partitions):
            for partition in partitions:
                if partition in found:
                    continue
                try:
                    ends = self._consumer.get_watermark_offsets(
                        TopicPartition(self._topic, partition), timeout=_ASK_TIMEOUT_S, cached=False
                    )
                except KafkaException as error:
                    _log.warning("changelog_away", partition=partition, error=str(error))
                    time.sleep(_RETRY_S)
                    break
                if ends is not None:
                    found[partition] = ends
        return found if self._is_wanted() else {}

    def read(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Piece]:
        """Yield what lies between start and end of each partition; stops when nobody wants it any more.

        Raises:
            ChangelogGone: a start is not in the topic.
        """
        left = {partition for partition, start in starts.items() if start < ends[partition]}
        self._consumer.assign([TopicPartition(self._topic, partition, starts[partition]) for partition in left])
        while left and self._is_wanted():
            changes: dict[int, list[Change]] = {}
            next_offsets: dict[int, int] = {}
            for message in self._consumer.consume(_NUM_RECORDS, _POLL_S):
                partition, offset, error = message.partition(), message.offset(), message.error()
                if partition is not None and offset is not None and error is None:
                    key = message.key()
                    assert isinstance(key, bytes), "a compacted topic takes no record without a key"
                    changes.setdefault(partition, []).append((key, message.value()))
                    next_offsets[partition] = offset + 1
                elif partition is not None and offset is not None and _is_end(error):
                    next_offsets[partition] = offset
                elif error is not None and error.code() in (
                    KafkaError._AUTO_OFFSET_RESET,
                    KafkaError.OFFSET_OUT_OF_RANGE,
                ):
                    raise ChangelogGone(str(error))
                else:
                    # The client reconnects by itself.
                    _log.warning("changelog_error", error=str(error))
            for partition, next_offset in next_offsets.items():
                if partition in left:
                    yield Piece(partition, changes.get(partition, []), next_offset)
                    if next_offset >= ends[partition]:
                        left.discard(partition)
                        # From here on the caller itself writes to it.
                        self._consumer.pause([TopicPartition(self._topic, partition)])

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()


def _is_end(error: KafkaError | None) -> bool:
    return error is not None and error.code() == KafkaError._PARTITION_EOF
