"""One reader of the live window: what it has had, what it wants, what it missed.

Upstream: api/live/hub.py; api/live/history.py for what is older than the window.
Downstream: api/live/response.py sends the chunks.
Guarantee: each event of the tenant that fits the filter is sent once, in the order of its partition, each with the id
from which the next connection goes on. A reader that falls too far behind is told what it missed. It holds nothing but
its position: memory does not grow with slow readers.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from confluent_kafka import KafkaException

from api.kit.instants import from_us
from api.live.history import HistoryReader
from api.live.hub import LiveHub
from api.live.position import Position, furthest, is_behind, place_value
from api.live.records import EVENT_KINDS, EventKind, LiveItem
from api.live.topic_reader import LogGone
from api.live.window import Entry
from api.metrics import LIVE_EVENTS, LIVE_MISSED
from api.schemas.live import Missed, event_data

_log = structlog.get_logger(__name__)

RETRY_MS: Final = 1_000
KEEP_ALIVE_S: Final = 10.0
# Entries that are made into text at once; other requests have their turn in between.
_BATCH_ENTRIES: Final = 100


@dataclass(frozen=True, slots=True)
class LiveFilter:
    """What a reader wants. A verdict belongs to no trace: with ``trace_id`` there are none."""

    agent_id: str | None = None
    trace_id: str | None = None
    kinds: frozenset[EventKind] = frozenset(EVENT_KINDS)

    def fits(self, item: LiveItem) -> bool:
        """Whether the reader wants it."""
        return (
            item.kind in self.kinds
            and (self.agent_id is None or item.agent_id == self.agent_id)
            and (self.trace_id is None or item.trace_id == self.trace_id)
        )


class LiveStream:
    """One reader.

    ``history`` makes a reader of the topics from a position up to another; ``has_missed`` says that what came before
    the start is lost.
    """

    def __init__(
        self,
        hub: LiveHub,
        tenant_id: str,
        wanted: LiveFilter,
        start: Position | None,
        *,
        history: Callable[[Position, Position], HistoryReader],
        max_behind: int,
        lasts_s: float,
        has_missed: bool = False,
    ) -> None:
        self._hub, self._tenant_id, self._wanted = hub, tenant_id, wanted
        self._history, self._max_behind, self._lasts_s = history, max_behind, lasts_s
        self._position = hub.now if start is None else start
        self._number = hub.window.log(tenant_id).first
        # Events of the tenant before that number.
        self._num_seen = 0
        # The first time at the end of the topics; until then everything is sent, however much it is.
        self._is_live = False
        self._has_missed = has_missed
        self._event = asyncio.Event()
        self._is_ended = False

    def end(self) -> None:
        """Send no more."""
        self._is_ended = True
        self._event.set()

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Give the bytes to send, until the time is over or :meth:`end` is called."""
        loop = asyncio.get_running_loop()
        over_at_s = loop.time() + self._lasts_s
        with self._hub.waiting(self._tenant_id) as self._event:
            yield f"retry: {RETRY_MS}\n".encode() + self._id_alone()
            if self._has_missed:
                yield self._missed(None, None, None)
            while loop.time() < over_at_s and not self._is_over:
                async for chunk in self._from_history():
                    yield chunk
                self._event.clear()
                while not self._is_over and (batch := self._next_batch()) is not None:
                    if batch:
                        yield batch
                if self._is_over or is_behind(self._position, self._hub.window.floor(self._tenant_id)):
                    continue
                # At the end: all there is below has been sent, or was not wanted. A window that still fills with what
                # lay in the topics does so faster than anybody reads: what it puts out is read from there.
                if self._hub.has_caught_up:
                    self._is_live, self._num_seen = True, self._hub.window.log(self._tenant_id).num_items
                self._position = furthest(self._position, self._hub.read_until)
                timeout_s = min(KEEP_ALIVE_S, max(0.0, over_at_s - loop.time()))
                try:
                    async with asyncio.timeout(timeout_s):
                        await self._event.wait()
                except TimeoutError:
                    yield b": nothing new\n" + self._id_alone()
            if not self._is_ended:
                yield f"retry: {RETRY_MS}\n".encode() + self._id_alone()

    @property
    def _is_over(self) -> bool:
        return self._is_ended or self._hub.is_over

    def _next_batch(self) -> bytes | None:
        """Return the text of the next entries; None when there are none, or some are wanted that are out already."""
        log = self._hub.window.log(self._tenant_id)
        parts: list[bytes] = []
        if self._is_live:
            parts.append(self._skip())
            self._num_seen = log.num_items_before(self._number)
        elif is_behind(self._position, self._hub.window.floor(self._tenant_id)):
            return None
        entries = log.read(self._number, _BATCH_ENTRIES)
        if not entries and not any(parts):
            return None
        for entry in entries:
            parts += self._entry(entry)
        self._number = max(self._number, log.first) + len(entries)
        self._num_seen = log.num_items_before(self._number)
        return b"".join(parts)

    def _entry(self, entry: Entry) -> list[bytes]:
        had, begins = self._position[entry.place], place_value(entry.offset)
        if had >= place_value(entry.offset + 1):
            self._position = furthest(self._position, entry.position)
            return []
        first = had - begins if had > begins else 0
        sent = self._items(entry.items, entry.place, entry.offset, entry.position, first)
        self._position = furthest(self._position, entry.position)
        return sent

    def _items(self, items: tuple[LiveItem, ...], place: int, offset: int, behind: Position, first: int) -> list[bytes]:
        """Texts of a record's events from ``first`` on. ``behind`` is the position behind the whole record."""
        sent = []
        after = furthest(self._position, behind)
        for number, item in enumerate(items):
            if number < first or not self._wanted.fits(item):
                continue
            position = after
            if number + 1 < len(items):
                position = (*after[:place], place_value(offset, number + 1), *after[place + 1 :])
            sent.append(_event(item.kind, event_data(item), self._hub.layout.encode(position)))
            LIVE_EVENTS.labels(item.kind).inc()
        return sent

    def _skip(self) -> bytes:
        """Pass over what a slow reader is too far behind for, or what is out of the window, and say so."""
        log = self._hub.window.log(self._tenant_id)
        num, first_us, last_us = 0, None, None
        if self._number < log.first:
            # Nobody can look at them any more: all count, wanted or not.
            self._number = log.first
            num = log.num_items_before(log.first) - self._num_seen
        while self._number < log.next and log.num_items_before(self._number) < log.num_items - self._max_behind:
            entry = log.entry(self._number)
            if fitting := sum(map(self._wanted.fits, entry.items)):
                num += fitting
                first_us = entry.at_us if first_us is None else first_us
                last_us = entry.at_us
            self._position = furthest(self._position, entry.position)
            self._number += 1
        self._position = furthest(self._position, self._hub.window.floor(self._tenant_id))
        return self._missed(num, first_us, last_us) if num else b""

    async def _from_history(self) -> AsyncGenerator[bytes]:
        """Read what is older than the window from the topics, until the window goes on from there."""
        while not self._is_over and is_behind(self._position, floor := self._hub.window.floor(self._tenant_id)):
            reader = self._history(self._position, floor)
            try:
                if (begin := await reader.open()) is not None:
                    self._position = furthest(self._position, begin)
                    yield self._missed(None, None, None)
                is_last = False
                while not is_last and not self._is_over:
                    chunk = await reader.next()
                    parts = []
                    for arrival in chunk.arrivals:
                        assert arrival.decoded is not None, "only what can be read leaves the reader"
                        parts += self._past(arrival.place, arrival.offset, arrival.decoded.items)
                    self._position = furthest(self._position, chunk.position)
                    is_last = chunk.is_last
                    yield b"".join(parts) or b": reading\n\n"
            except (KafkaException, LogGone) as error:
                _log.warning("live_history_failed", reason=str(error))
                # The client comes back with the id that it has.
                self._is_ended = True
            finally:
                with suppress(KafkaException):
                    await reader.close()

    def _past(self, place: int, offset: int, items: tuple[LiveItem, ...]) -> list[bytes]:
        had, begins = self._position[place], place_value(offset)
        behind = (*self._position[:place], place_value(offset + 1), *self._position[place + 1 :])
        sent = self._items(items, place, offset, behind, max(0, had - begins))
        self._position = behind
        return sent

    def _missed(self, num: int | None, first_us: int | None, last_us: int | None) -> bytes:
        LIVE_MISSED.inc(num or 1)

        def at(microseconds: int | None) -> datetime | None:
            return None if microseconds is None else from_us(microseconds)

        data = Missed(num=num, from_at=at(first_us), to_at=at(last_us)).model_dump_json(by_alias=True).encode()
        return _event("missed", data, self._hub.layout.encode(self._position))

    def _id_alone(self) -> bytes:
        """Move the client's last event id on without an event."""
        return f"id: {self._hub.layout.encode(self._position)}\n\n".encode()


def _event(name: str, data: bytes, position: str) -> bytes:
    return b"".join((b"event: ", name.encode(), b"\nid: ", position.encode(), b"\ndata: ", data, b"\n\n"))
