"""Reads what a stream wants from before the live window: the topics themselves, from the offset that was asked for.

Upstream: api/live/topic_reader.py.
Downstream: api/live/stream.py.
Guarantee: only the tenant's own records leave this module. Repeats are told by the records some way before the asked
place. What the topics no longer hold, and what is further back than one stream may read, is said and not passed over in
silence.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from api.live.erased import ErasedWatch
from api.live.hub import Arrival, RepeatFilter
from api.live.position import Position, furthest, is_behind, offset_of, place_value
from api.live.topic_reader import TopicReader

# The stitcher says again what was under way when it was restarted; that is far less than this.
LOOK_BACK_RECORDS: Final = 500
CHUNK_RECORDS: Final = 500
POLL_S: Final = 0.5
# Polls in a row that bring nothing although something is wanted: then the log ends with what is no record.
_MAX_EMPTY_POLLS: Final = 10


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some records of the tenant. ``position`` is where the reader is behind them."""

    arrivals: list[Arrival]
    position: Position
    is_last: bool


class HistoryReader:
    """Reads from one position up to another. One for one stream; close it."""

    def __init__(
        self,
        bootstrap: str,
        topic_prefix: str,
        tenant_id: str,
        start: Position,
        until: Position,
        max_records: int,
        erased: ErasedWatch,
    ) -> None:
        self._erased = erased
        self._bootstrap, self._topic_prefix, self._tenant_id = bootstrap, topic_prefix, tenant_id
        self._position, self._until, self._max_records = start, until, max_records
        self._reader: TopicReader | None = None
        self._repeats = RepeatFilter()
        self._num_empty = 0

    async def open(self) -> Position | None:
        """Begin; return where reading begins instead, when all that was asked for cannot be read.

        Raises:
            KafkaException: the broker does not answer.
        """
        return await asyncio.to_thread(self._open)

    async def next(self) -> Chunk:
        """Return the next records of the tenant.

        Raises:
            KafkaException, LogGone: the broker does not answer, or no longer has the place.
        """
        return await asyncio.to_thread(self._next)

    async def close(self) -> None:
        """Leave the broker."""
        if self._reader is not None:
            await asyncio.to_thread(self._reader.close)

    def _open(self) -> Position | None:
        reader = self._reader = TopicReader(self._bootstrap, self._topic_prefix, "clawtrace-live-history", self._erased)
        reader.describe()
        lows, highs = reader.ends()
        self._until = tuple(map(min, self._until, highs))
        wanted = [max(0, end - at) for at, end in zip(self._position, self._until, strict=True)]
        too_much = sum(wanted) > place_value(self._max_records)
        share = place_value(self._max_records // len(wanted))
        least = tuple(end - share for end in self._until) if too_much else lows
        begin = furthest(self._position, furthest(lows, least))
        # Partitions of which nothing is wanted are not read at all.
        begin_at = tuple(
            max(low, at - place_value(LOOK_BACK_RECORDS)) if at < end else end
            for low, at, end in zip(lows, begin, self._until, strict=True)
        )
        reader.start_at(begin_at)
        cut = begin if is_behind(self._position, tuple(map(min, begin, self._until))) else None
        self._position = begin
        return cut

    def _next(self) -> Chunk:
        assert self._reader is not None, "open() comes first"
        own, position = [], list(self._position)
        arrivals = self._reader.poll(POLL_S, CHUNK_RECORDS)
        self._num_empty = 0 if arrivals else self._num_empty + 1
        for arrival in arrivals:
            decoded, value = arrival.decoded, place_value(arrival.offset + 1)
            is_new = decoded is not None and self._repeats.is_new(arrival.place, decoded)
            if value <= position[arrival.place] or arrival.offset >= offset_of(self._until[arrival.place]):
                continue
            if decoded is not None and is_new and decoded.items and decoded.tenant_id == self._tenant_id:
                own.append(arrival)
            position[arrival.place] = value
        is_last = not is_behind(tuple(position), self._until) or self._num_empty >= _MAX_EMPTY_POLLS
        self._position = furthest(tuple(position), self._until) if is_last else tuple(position)
        return Chunk(own, self._position, is_last)
