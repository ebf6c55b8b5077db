"""How far a reader is in all partitions of all topics that are read, as numbers and as one short text.

Upstream: nothing.
Downstream: the other modules of this folder; the ``id`` of every event.
Guarantee: pure. A text says, for each partition, which record comes next, and inside a record of many events which of
them; so whoever goes on from it misses nothing and gets nothing twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

# A record is below 1 MB and an event in it above 16 bytes.
ITEMS_PER_RECORD = 1 << 16
MAX_ID_CHARS = 2_000
_VERSION = "1"
_MAX_OFFSET = 1 << 63

# One number per partition: offset of the next record * ITEMS_PER_RECORD + events of it that are behind us.
Position = tuple[int, ...]


class InvalidPosition(ValueError):
    """The text is not the id of an event of ours."""


def place_value(offset: int, item: int = 0) -> int:
    """Number that says: from this event of this record on."""
    return offset * ITEMS_PER_RECORD + item


def offset_of(value: int) -> int:
    """Offset of the record that comes next."""
    return value // ITEMS_PER_RECORD


def furthest(one: Position, other: Position) -> Position:
    """For each partition the further of the two."""
    return tuple(map(max, one, other))


@dataclass(frozen=True, slots=True)
class Layout:
    """How many partitions each topic has; the order of the topics never changes."""

    partitions: tuple[int, ...]

    @property
    def num_places(self) -> int:
        """Partitions of all topics."""
        return sum(self.partitions)

    def index(self, topic: int, partition: int) -> int:
        """Where a partition's number stands in a position."""
        return sum(self.partitions[:topic]) + partition

    def place(self, index: int) -> tuple[int, int]:
        """Topic and partition of a number in a position."""
        for topic, end in enumerate(accumulate(self.partitions)):
            if index < end:
                return topic, index - end + self.partitions[topic]
        raise IndexError(index)

    def encode(self, position: Position) -> str:
        """Text of a position: topics divided by ``-``, partitions by ``.``, hexadecimal, ``_`` before an event."""
        texts = [_text(value) for value in position]
        starts = [0, *accumulate(self.partitions)]
        groups = (".".join(texts[start:end]) for start, end in pairwise(starts))
        return "-".join((_VERSION, *groups))

    def decode(self, text: str) -> Position:
        """Read a text back; partitions that were added since are read from their beginning.

        Raises:
            InvalidPosition: it is none of ours.
        """
        version, *groups = text[:MAX_ID_CHARS].split("-")
        if version != _VERSION or len(groups) != len(self.partitions):
            raise InvalidPosition("not the id of an event of this stream")
        values: list[int] = []
        for group, count in zip(groups, self.partitions, strict=True):
            found = [_value(part) for part in group.split(".")]
            if len(found) > count:
                raise InvalidPosition("the id names partitions that are not there")
            values += [*found, *[0] * (count - len(found))]
        return tuple(values)


def is_behind(position: Position, floor: Sequence[int]) -> bool:
    """Whether any partition is wanted from before ``floor``."""
    return any(value < least for value, least in zip(position, floor, strict=True))


def _text(value: int) -> str:
    offset, item = divmod(value, ITEMS_PER_RECORD)
    return f"{offset:x}_{item:x}" if item else f"{offset:x}"


def _value(text: str) -> int:
    offset, _, item = text.partition("_")
    try:
        numbers = int(offset, 16), int(item or "0", 16)
    except ValueError as error:
        raise InvalidPosition("not the id of an event of this stream") from error
    if not 0 <= numbers[0] < _MAX_OFFSET or not 0 <= numbers[1] < ITEMS_PER_RECORD:
        raise InvalidPosition("the id is out of range")
    return place_value(*numbers)
