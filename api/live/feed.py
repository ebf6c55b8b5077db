"""Reads the topics into the hub, on a thread of its own, as long as the process lives.

Upstream: api/live/topic_reader.py.
Downstream: api/live/hub.py, on the event loop.
Guarantee: one consumer per process. It begins with the newest minutes, so that a process just started knows what runs;
a broker that is away is waited for; when the topics were made anew, it begins anew and ends the streams, whose clients
come back.
"""

import asyncio
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from confluent_kafka import KafkaException

from api.live.erased import ErasedWatch, is_erased
from api.live.hub import Arrival, LiveHub
from api.live.position import Position, furthest, offset_of, place_value
from api.live.topic_reader import LogGone, TopicReader
from api.metrics import LIVE_FEED_UP

_log = structlog.get_logger(__name__)

POLL_S: Final = 0.2
BATCH_RECORDS: Final = 500
RETRY_S: Final = 1.0
STOP_TIMEOUT_S: Final = 10.0
# How often the broker is asked for something, so that its absence shows even when nothing happens.
LOOK_EVERY_S: Final = 2.0
# After that long without an answer of the broker the window may lack what the tables have.
ABREAST_WITHIN_S: Final = 8.0
# The sink reads on for seconds before it commits; a window that is this far behind is still ahead of the tables.
MAX_LAG_RECORDS: Final = 1_000
# At the start no more than that of one partition is read again.
MAX_BACKLOG_RECORDS: Final = 20_000


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """How much is kept."""

    window_s: float
    tenant_bytes: int
    total_bytes: int


class LiveFeed:
    """The one reader of this process."""

    def __init__(self, bootstrap: str, topic_prefix: str, limits: LiveLimits, erased: ErasedWatch) -> None:
        self._erased = erased
        self._bootstrap, self._topic_prefix, self._limits = bootstrap, topic_prefix, limits
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._answered_at_s = float("-inf")
        self._lag_records = 0
        self._is_caught_up = False
        self.hub: LiveHub | None = None
        self._thread = threading.Thread(target=self._run, name="live-feed", daemon=True)
        self._thread.start()

    @property
    def is_abreast(self) -> bool:
        """Whether the window has all that the tables may have of its time."""
        return (
            self._is_caught_up
            and self._lag_records <= MAX_LAG_RECORDS
            and time.monotonic() - self._answered_at_s <= ABREAST_WITHIN_S
        )

    def forget_erased(self) -> None:
        """Have the window forget what was erased; from any thread but the loop's."""
        stones = self._erased.stones

        def forget() -> None:
            if self.hub is not None:
                for tenant_id in stones.tenants:
                    self.hub.window.forget_items(tenant_id, partial(is_erased, stones, tenant_id))

        self._on_loop(forget)

    async def close(self) -> None:
        """Stop reading."""
        self._stopping.set()
        await asyncio.to_thread(self._thread.join, STOP_TIMEOUT_S)

    def _run(self) -> None:
        reason = ""
        while not self._stopping.is_set():
            try:
                self._read()
            except (KafkaException, LogGone) as error:
                if str(error) != reason:
                    reason = str(error)
                    _log.warning("live_topics_away", reason=reason)
            except Exception:
                # Streams would stand still for ever without it; better to begin anew.
                _log.exception("live_feed_failed")
            LIVE_FEED_UP.set(0)
            self._is_caught_up = False
            self._stopping.wait(RETRY_S)

    def _read(self) -> None:
        reader = TopicReader(self._bootstrap, self._topic_prefix, "clawtrace-live", self._erased)
        try:
            self._erased.look()
            hub, wanted = self._begin(reader)
            self.forget_erased()
            looked_at_s, index = time.monotonic(), 0
            while not self._stopping.is_set():
                arrivals = reader.poll(POLL_S, BATCH_RECORDS)
                if arrivals:
                    self._hand_over(hub, arrivals)
                if not self._is_caught_up and all(map(int.__ge__, hub.read_until, wanted)):
                    self._is_caught_up = True
                    LIVE_FEED_UP.set(1)
                if time.monotonic() - looked_at_s > LOOK_EVERY_S:
                    self._look(reader, hub, index)
                    if self._erased.look():
                        self.forget_erased()
                    looked_at_s, index = time.monotonic(), (index + 1) % reader.layout.num_places
        finally:
            reader.close()

    def _begin(self, reader: TopicReader) -> tuple[LiveHub, Position]:
        """Start reading; return the hub to fill and where the topics end now."""
        layout = reader.describe()
        lows, highs = reader.ends()
        self._answered_at_s = time.monotonic()
        hub = self.hub
        if hub is not None and hub.layout == layout and all(map(int.__le__, hub.read_until, highs)):
            reader.start_at(furthest(hub.read_until, lows))
            return hub, highs
        since_ms = int((time.time() - self._limits.window_s) * 1000)
        backlog = tuple(max(0, high - place_value(MAX_BACKLOG_RECORDS)) for high in highs)
        start = furthest(furthest(reader.offsets_since(since_ms, highs), lows), backlog)
        made = LiveHub(
            layout,
            start,
            highs,
            max_age_us=int(self._limits.window_s * 1_000_000),
            tenant_bytes=self._limits.tenant_bytes,
            total_bytes=self._limits.total_bytes,
        )
        self._on_loop(lambda: self._replace_hub(made))
        reader.start_at(start)
        return made, highs

    def _look(self, reader: TopicReader, hub: LiveHub, index: int) -> None:
        """Ask for the end of one partition: an answer says that the broker is there, and how far we are behind."""
        try:
            high = reader.look_at(index)
        except KafkaException:
            return
        self._answered_at_s = time.monotonic()
        self._lag_records = high - offset_of(hub.read_until[index])
        now_us = int(time.time() * 1_000_000)
        self._on_loop(lambda: hub.window.forget_before(now_us - int(self._limits.window_s * 1_000_000)))

    def _replace_hub(self, hub: LiveHub) -> None:
        before, self.hub = self.hub, hub
        if before is not None:
            before.end()

    def _hand_over(self, hub: LiveHub, arrivals: list[Arrival]) -> None:
        self._on_loop(lambda: hub.accept(arrivals))

    def _on_loop(self, work: object) -> None:
        """Have the event loop do it and wait until it is done: what is not taken in yet must not pile up."""
        assert callable(work)
        done = threading.Event()

        def run() -> None:
            try:
                work()
            finally:
                done.set()

        try:
            self._loop.call_soon_threadsafe(run)
        except RuntimeError:
            # The loop is closed: the process ends.
            self._stopping.set()
            return
        while not done.wait(POLL_S) and not self._stopping.is_set():
            pass
