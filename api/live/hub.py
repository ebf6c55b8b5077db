"""The live window of this process, and who waits for what comes.

Upstream: api/live/feed.py hands over records in the order they came, through the event loop.
Downstream: api/live/stream.py, api/live/service.py.
Guarantee: a record that says nothing new, because the stitcher said the same before it was restarted, is dropped; that
is: one whose (rev, part) is not above the mark of its partition. Use it from the event loop only.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from api.live.position import Layout, Position, furthest, is_behind, place_value
from api.live.records import Decoded, Mark
from api.live.window import Entry, LiveWindow
from api.metrics import LIVE_REPEATS, LIVE_STREAMS, LIVE_WINDOW_BYTES, LIVE_WINDOW_RECORDS

_MAX_IDENTITIES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """One record as it came; ``decoded`` is None when nobody can read it."""

    place: int
    offset: int
    at_us: int
    decoded: Decoded | None


class RepeatFilter:
    """Tells records that were not there before from repeats."""

    def __init__(self) -> None:
        self._marks: dict[int, Mark] = {}
        self._identities: OrderedDict[str, None] = OrderedDict()

    def is_new(self, place: int, decoded: Decoded) -> bool:
        """Whether the record is news; from now on it is known."""
        if decoded.mark is not None:
            known = self._marks.get(place)
            if known is not None and decoded.mark <= known:
                return False
            self._marks[place] = decoded.mark
            return True
        identity = f"{place}/{decoded.identity}"
        if identity in self._identities:
            return False
        self._identities[identity] = None
        if len(self._identities) > _MAX_IDENTITIES:
            self._identities.popitem(last=False)
        return True


class LiveHub:
    """What is read of the topics since this process reads them. Made anew when the topics are."""

    def __init__(
        self,
        layout: Layout,
        start: Position,
        ends: Position,
        *,
        max_age_us: int,
        tenant_bytes: int,
        total_bytes: int,
    ) -> None:
        self.layout = layout
        # Where the topics ended when reading began: what lies before is old to a stream that begins now.
        self._first_ends = ends
        self.read_until = start
        self.window = LiveWindow(start, max_age_us=max_age_us, tenant_bytes=tenant_bytes, total_bytes=total_bytes)
        self.is_over = False
        self._repeats = RepeatFilter()
        self._waiting: dict[str, set[asyncio.Event]] = {}

    @property
    def now(self) -> Position:
        """Where a stream that begins now begins."""
        return furthest(self.read_until, self._first_ends)

    @property
    def has_caught_up(self) -> bool:
        """Whether all is read that lay in the topics when reading began."""
        return not is_behind(self.read_until, self._first_ends)

    def accept(self, arrivals: Sequence[Arrival]) -> None:
        """Take records in, and wake those who wait for their tenants."""
        until = list(self.read_until)
        for arrival in arrivals:
            until[arrival.place] = max(until[arrival.place], place_value(arrival.offset + 1))
            decoded = arrival.decoded
            if decoded is None or not decoded.items:
                continue
            if not self._repeats.is_new(arrival.place, decoded):
                LIVE_REPEATS.inc()
                continue
            entry = Entry(decoded.tenant_id, arrival.place, arrival.offset, arrival.at_us, decoded.items, tuple(until))
            self.window.add(entry)
            for event in self._waiting.get(decoded.tenant_id, ()):
                event.set()
        self.read_until = tuple(until)
        LIVE_WINDOW_BYTES.set(self.window.num_bytes)
        LIVE_WINDOW_RECORDS.set(self.window.num_records)

    def end(self) -> None:
        """The topics are no longer those: whoever reads has to begin anew."""
        self.is_over = True
        for events in self._waiting.values():
            for event in events:
                event.set()

    @contextmanager
    def waiting(self, tenant_id: str) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever something of the tenant came."""
        event = asyncio.Event()
        self._waiting.setdefault(tenant_id, set()).add(event)
        LIVE_STREAMS.inc()
        try:
            yield event
        finally:
            LIVE_STREAMS.dec()
            events = self._waiting[tenant_id]
            events.discard(event)
            if not events:
                del self._waiting[tenant_id]
