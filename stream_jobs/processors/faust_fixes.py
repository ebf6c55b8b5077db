"""Faults of faust-streaming 0.15.3 that would lose data, and what is put in their place.

Upstream: Faust's aiokafka driver.
Downstream: ``app`` installs :class:`DurableTransport`.
Guarantee: offsets are committed only for records whose state is acknowledged in the changelog. Every fix names its
fault; ``tests/unit/stream_jobs/processors/test_faust_fixes.py`` shows each, the stock behaviour beside it.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, Final, cast

import structlog
from faust.transport.drivers import aiokafka as driver
from faust.transport.producer import ProducerBuffer
from faust.types import TP, FutureMessage

from infra.runtime.fail_points import reach
from stream_jobs.processors.journal import Change
from stream_jobs.processors.lease import Lease, LeaseLost, now_s

_log = structlog.get_logger(__name__)

CHECKED_VERSION: Final = "0.15.3"
# Longer than any broker restart that is worth waiting for; then the process gives up and is started again.
FLUSH_TIMEOUT_S: Final = 30.0
# How long the broker may hold a fetch that finds nothing.
FETCH_MAX_WAIT_MS: Final = 250


class WrongFaustVersion(Exception):
    """The installed Faust is not the one these fixes were checked against."""


class UnsentRecords(Exception):
    """Records of the changelog could not be delivered: nothing after them may be committed."""


def check_faust_version() -> None:
    """Refuse to run on another Faust than the one the fixes below reach into.

    Raises:
        WrongFaustVersion: with both versions and what to do.
    """
    installed = version("faust-streaming")
    if installed != CHECKED_VERSION:
        raise WrongFaustVersion(
            f"faust-streaming {installed} is installed, but faust_fixes.py was checked against {CHECKED_VERSION} only. "
            "Install that version, or check every fix against the new one and change CHECKED_VERSION."
        )


class DurableBuffer(ProducerBuffer):
    """The changelog's way to the producer.

    Fault: ``flush`` returns when nothing left the queue for 0.1 s, and the commit that called it goes on; records that
    left the queue but are not acknowledged are not waited for at all, and a failed one is only logged.
    Here ``flush`` returns when all that was put in before is acknowledged, and raises otherwise.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._num_put = 0
        self._num_handed_over = 0
        self._unacknowledged: set[asyncio.Future[Any]] = set()
        self._failure: BaseException | None = None
        self._moved = asyncio.Event()

    def put(self, fut: FutureMessage) -> None:
        """Take a record."""
        self._num_put += 1
        super().put(fut)

    async def _send_pending(self, fut: FutureMessage) -> None:
        try:
            sent = cast("asyncio.Future[Any]", await fut.message.channel.publish_message(fut, wait=False))
        except Exception as error:
            self._failure = self._failure or error
            self._moved.set()
            raise
        self._handed_over(sent)

    async def send_changes(self, topic: str, partition: int, changes: Iterable[Change]) -> "asyncio.Future[Any]":
        """Hand changes to the producer in their order; the result is done when the last is acknowledged.

        Not through ``put``: Faust spends ten times longer on a record than the producer itself, and the stitcher
        writes many small ones.
        """
        producer = cast(Any, self.app).producer._ensure_producer()
        records = list(changes)
        # Counted at once: a flush that begins while this is half done must wait for all of it.
        self._num_put += len(records)
        try:
            for key, value in records:
                sent = await producer.send(topic, value, key=key, partition=partition)
                self._handed_over(sent)
        except BaseException as error:
            self._failure = self._failure or error
            self._moved.set()
            raise
        return cast("asyncio.Future[Any]", sent)

    def _handed_over(self, sent: "asyncio.Future[Any]") -> None:
        self._num_handed_over += 1
        self._unacknowledged.add(sent)
        sent.add_done_callback(self._on_done)
        self._moved.set()

    @property
    def failure(self) -> BaseException | None:
        """Why a record could not be delivered; from then on nothing is written or committed."""
        return self._failure

    @property
    def num_waiting(self) -> int:
        """Records put in and not acknowledged."""
        return self._num_put - self._num_handed_over + len(self._unacknowledged)

    def _on_done(self, sent: "asyncio.Future[Any]") -> None:
        self._unacknowledged.discard(sent)
        failure = asyncio.CancelledError() if sent.cancelled() else sent.exception()
        self._failure = self._failure or failure
        self._moved.set()

    async def flush(self) -> None:
        """Wait until everything put in so far is acknowledged.

        Raises:
            UnsentRecords: a record failed, or the time is up.
        """
        try:
            await asyncio.wait_for(self._all_acknowledged(), FLUSH_TIMEOUT_S)
        except TimeoutError as error:
            raise UnsentRecords(
                f"{self.num_waiting} changelog records not acknowledged in {FLUSH_TIMEOUT_S:.0f} s"
            ) from error

    async def _all_acknowledged(self) -> None:
        wanted = self._num_put
        while self._num_handed_over < wanted and self._failure is None:
            self._moved.clear()
            await self._moved.wait()
        if self._failure is None and (pending := set(self._unacknowledged)):
            await asyncio.wait(pending)
        if self._failure is not None:
            raise UnsentRecords(f"a changelog record failed: {self._failure!r}") from self._failure

    async def flush_atmost(self, max_messages: int | None) -> int:
        """Flush all: half a flush is of no use to anybody here."""
        await self.flush()
        return 0

    async def wait_until_ebb(self) -> None:
        """Do nothing: the stitcher limits its own records in flight.

        Fault: the conductor calls this for each record and the stock method logs a warning each time.
        """


class DurableProducer(driver.Producer):
    """The producer of changelog and outputs.

    Fault: it is idempotent under ``exactly_once`` only. Without idempotence a batch that is sent again after a lost
    answer lands behind newer ones: old state over new state, and outputs out of the order their readers rely on.

    Fault: without transactions nothing fences a process that was stopped for longer than its session: it goes on with
    what it had ready, and old state lies over what the new owner of the partition wrote. Here each request waits for
    the proof that this process is still a member (``lease``).
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop | None = None, **kwargs: Any) -> None:
        super().__init__(transport, loop=loop, **kwargs)
        self.buffer = DurableBuffer(loop=self.loop, beacon=self.beacon)
        self.buffer.app = self.app

    def _new_producer(self, transactional_id: str | None = None) -> Any:
        client: Any = super()._new_producer(transactional_id)
        send = client._sender._send_produce_req
        app = cast(Any, self.app)

        async def send_under_lease(node_id: int, batches: Any) -> None:
            try:
                await app.consumer.lease.wait_held()
            except LeaseLost as error:
                app.give_up(error)
                await asyncio.Event().wait()
            await send(node_id, batches)

        client._sender._send_produce_req = send_under_lease
        return client

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class NothingRead(dict[TP, int | None]):
    """Offsets already read, for a consumer that must not drop anything by them."""

    def __getitem__(self, tp: TP) -> None:
        return None


class ExactConsumer(driver.Consumer):
    """The consumer of events and changelog.

    Faults: the offset to commit is worked out from acknowledged events, and (a) an event that is skipped because it
    belongs to an older assignment counts as acknowledged, (b) a gap left by a rebalance stops all commits for ever
    (issue 596), (c) an event whose processing raised counts as acknowledged. Here the app says, for each partition,
    how far the state has been written, and that is committed.

    Fault: records are lost at every start under load. While a rebalance is under way, records of the events are
    fetched and dropped; then "seek to committed" seeks nowhere if nothing was ever committed, and where it does seek,
    records of a fetch still in work are delivered first, upon which those before them are dropped as already read.
    Here the start is always sought, nothing is dropped on the way to the stitcher, and the stitcher, which knows from
    ``reading_starts`` and its own count which offset is due, ignores the others.

    Fault: ``seek`` reaches from the app's thread into the client that is at work in the consumer's. Once in some dozens
    of starts it takes away what a fetch is just handing over, and the process ends with a KeyError.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reading_starts: dict[TP, int] = {}
        self.lease = Lease(self.app.conf.broker_session_timeout)
        self._read_offset = NothingRead()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget where to start; what arrives before the next seek is left over from before."""
        self.reading_starts = {}
        cast(Any, self.app).local_state.release()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Begin a lease, and to restore the state."""
        self.lease.begin()
        cast(Any, self.app).take_partitions(sorted(assigned))
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Go to where each partition of the events must be read from."""
        await super().perform_seek()
        owned = [tp for tp in self.assignment() if not self._is_changelog_tp(tp)]
        earliest = await self.earliest_offsets(*owned) if owned else {}
        starts = {tp: max(self._committed_offset.get(tp) or 0, earliest.get(tp) or 0) for tp in owned}
        # Told before the seeks: a record that comes between two of them must not be passed over.
        self.reading_starts = {TP(tp.topic, tp.partition): start for tp, start in starts.items()}
        for tp, start in starts.items():
            await self.seek(tp, start)

    async def _seek(self, partition: TP, offset: int) -> None:
        thread = cast(Any, self._thread)
        await thread.call_thread(thread._ensure_consumer().seek, partition, offset)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        reach("stitcher.before_commit")
        did_commit: bool = await super()._commit(offsets)
        reach("stitcher.after_commit")
        return did_commit

    def _filter_tps_with_pending_acks(self, topics: Iterable[Any] | None = None) -> Iterator[TP]:
        yield from list(cast(Any, self.app).written_offsets())

    def _new_offset(self, tp: TP) -> int | None:
        offset: int | None = cast(Any, self.app).written_offsets().get(tp)
        return offset

    def _new_consumer_thread(self) -> "PromptConsumerThread":
        return PromptConsumerThread(self, loop=self.loop, beacon=self.beacon)


class PromptConsumerThread(driver.AIOKafkaConsumerThread):
    """The consumer's thread.

    Fault: an empty fetch is held by the broker for 1.5 s, not settable, and while it is held for some partitions a
    record in another partition of the same broker waits for it.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS
        return consumer

    async def on_start(self) -> None:
        """Connect; from then on each heartbeat that is answered proves the lease."""
        await super().on_start()
        coordinator = cast(Any, self._ensure_consumer())._coordinator
        beat = coordinator._do_heartbeat
        lease = cast(ExactConsumer, self.consumer).lease

        async def beat_for_lease() -> bool:
            sent_at_s = now_s()
            generation = coordinator.generation
            is_answered: bool = await beat()
            if is_answered:
                lease.prove(sent_at_s)
            elif coordinator.generation != generation:
                lease.lose()
            return is_answered

        coordinator._do_heartbeat = beat_for_lease


class DurableTransport(driver.Transport):
    """Faust's aiokafka transport with the classes above."""

    Consumer = ExactConsumer
    Producer = DurableProducer
