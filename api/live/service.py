"""The live part of one API process: the feed, and how many read from it.

Upstream: api/services.py opens it.
Downstream: api/routers/live.py, the routes of single traces.
Guarantee: a tenant has at most so many streams at once; the id of another life of the topics is answered by saying that
something was missed, never by silence.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaException
from sqlalchemy import Engine

from api.live.erased import ErasedWatch
from api.live.feed import LiveFeed, LiveLimits
from api.live.history import HistoryReader
from api.live.hub import LiveHub
from api.live.position import InvalidPosition, Position, is_behind
from api.live.stream import LiveFilter, LiveStream
from api.live.topic_reader import TopicReader
from api.live.window import LiveTrace
from api.repositories.scope import Scope
from api.settings import ApiSettings
from infra.runtime.problem import FieldError, invalid, too_busy, unavailable
from producers.contracts.guard import GuardMessage

_RETRY_AFTER_S = 5


class LiveService:
    """One per process; make it on the event loop."""

    def __init__(self, settings: ApiSettings, database: Engine) -> None:
        self._settings = settings
        self._erased = ErasedWatch(database)
        limits = LiveLimits(settings.api_live_window_s, settings.api_live_tenant_bytes, settings.api_live_bytes)
        self.feed = LiveFeed(settings.kafka_bootstrap, settings.topic_prefix, limits, self._erased)
        self._num_streams: Counter[str] = Counter()

    async def forget_erased(self) -> None:
        """Look at once for what was erased, instead of within two seconds."""
        if await asyncio.to_thread(self._erased.look):
            await asyncio.to_thread(self.feed.forget_erased)

    async def close(self) -> None:
        """Stop reading."""
        await self.feed.close()

    @contextmanager
    def seat(self, scope: Scope) -> Iterator[None]:
        """Hold one of the tenant's streams.

        Raises:
            Problem: 429 when all are taken.
        """
        tenant_id = scope.tenant_id
        if self._num_streams[tenant_id] >= self._settings.api_live_streams_per_tenant:
            raise too_busy("too many live streams are open; close one", retry_after_s=_RETRY_AFTER_S)
        self._num_streams[tenant_id] += 1
        try:
            yield
        finally:
            self._num_streams[tenant_id] -= 1
            if not self._num_streams[tenant_id]:
                del self._num_streams[tenant_id]

    async def open_stream(self, scope: Scope, wanted: LiveFilter, last_id: str | None) -> LiveStream:
        """Make a stream of the tenant's events, from behind ``last_id`` or from now on.

        Raises:
            Problem: 422 when the id is none, 503 while the topics were not read yet.
        """
        hub = self.feed.hub
        if hub is None:
            raise unavailable("what happens now cannot be read: Kafka does not answer", retry_after_s=_RETRY_AFTER_S)
        start = None if last_id is None else _decode(hub, last_id)
        has_missed = start is not None and is_behind(hub.read_until, start) and await self._is_beyond(start)
        return LiveStream(
            hub,
            scope.tenant_id,
            wanted,
            None if has_missed else start,
            history=lambda begin, until: HistoryReader(
                self._settings.kafka_bootstrap,
                self._settings.topic_prefix,
                scope.tenant_id,
                begin,
                until,
                self._settings.api_live_history_records,
                self._erased,
            ),
            max_behind=self._settings.api_live_max_behind,
            lasts_s=self._settings.api_live_stream_s,
            has_missed=has_missed,
        )

    def find_trace(self, scope: Scope, trace_id: str, agent_id: str | None) -> LiveTrace | None:
        """Return what the window has of a trace; None when nothing, or when the tables may have something newer.

        Without ``agent_id`` the newer day counts, then the first agent, as in the tables.
        """
        hub = self.feed.hub
        if hub is None or not self.feed.is_abreast:
            return None
        found = hub.window.log(scope.tenant_id).traces.get(trace_id, {})
        if agent_id is not None:
            return found.get(agent_id)
        newest = max((trace.trace_date for trace in found.values()), default="")
        return min((t for t in found.values() if t.trace_date == newest), key=lambda t: t.agent_id, default=None)

    def list_verdicts(self, scope: Scope) -> list[GuardMessage]:
        """Return what the tenant's agents were told within the window, oldest first; nothing when it is not read."""
        hub = self.feed.hub
        if hub is None:
            return []
        log = hub.window.log(scope.tenant_id)
        values = (
            item.value()
            for entry in log.read(log.first, log.next - log.first)
            for item in entry.items
            if item.kind == "verdict"
        )
        return [value for value in values if isinstance(value, GuardMessage)]

    async def _is_beyond(self, position: Position) -> bool:
        """Whether the log ends before the position; another process may simply have read further than this one."""

        def look() -> Position:
            reader = TopicReader(self._settings.kafka_bootstrap, self._settings.topic_prefix, "clawtrace-live-ends")
            try:
                reader.describe()
                return reader.ends()[1]
            finally:
                reader.close()

        try:
            return is_behind(await asyncio.to_thread(look), position)
        except KafkaException as error:
            raise unavailable("Kafka does not answer", retry_after_s=_RETRY_AFTER_S) from error


def _decode(hub: LiveHub, last_id: str) -> Position:
    try:
        return hub.layout.decode(last_id)
    except InvalidPosition as error:
        raise invalid(str(error), FieldError("last-event-id", str(error))) from error
