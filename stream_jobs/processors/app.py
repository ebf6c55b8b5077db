"""The stitcher as a Faust app; the whole topology is in :func:`create_app`.

Upstream: topic ``clawtrace.events.v1``.
Downstream: topics of spans, traces, alerts and dead letters, and the state's changelog ``clawtrace.stitcher-state.v1``.
Guarantee: this file only connects; what happens to a record is in ``stitcher``, what Faust must not do in
``faust_fixes``.

    events ──▶ Stitcher.process ──▶ spans, traces, alerts, dead letters   (same partition, acknowledged first)
                     │  ▲
                     ▼  │
                   LocalState ──▶ changelog ──▶ local files, once it acknowledged
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, cast

import faust
import structlog
from aiokafka.errors import IllegalStateError
from faust.types import TP
from yarl import URL

from infra.runtime.kafka_security import kafka_connection, uses_sasl, uses_tls
from infra.runtime.topics import MAX_RECORD_BYTES
from stream_jobs.processors.changelog import ChangelogReader
from stream_jobs.processors.datadir import DATA
from stream_jobs.processors.dead_letter import Headers
from stream_jobs.processors.faust_fixes import (
    DurableBuffer,
    DurableTransport,
    ExactConsumer,
    check_faust_version,
)
from stream_jobs.processors.journal import Change
from stream_jobs.processors.local_state import LocalState
from stream_jobs.processors.shell import Core, SourceRecord
from stream_jobs.processors.state import PartitionStore
from stream_jobs.processors.stitcher import Stitcher
from stream_jobs.processors.topology import MAX_STATE_RECORD_BYTES, MIB, Topology
from stream_jobs.settings import StitcherSettings

_log = structlog.get_logger(__name__)

COMMIT_INTERVAL_S: Final = 1.0
# Changelog records that may wait before the next source record is taken up.
MAX_WAITING_CHANGES: Final = 2_000
_SETTLED_LOOK_S: Final = 0.02


class StitcherApp(faust.App):
    """Faust's app with the stitcher in it; also the stitcher's way to the framework."""

    stitcher: Stitcher
    topology: Topology
    local_state: LocalState
    # How librdkafka reaches the brokers.
    connection: Mapping[str, Any]
    failure: BaseException | None = None

    def written_offsets(self) -> dict[TP, int]:
        """What may be committed (read by ``ExactConsumer``)."""
        events = self.topology.events
        return {TP(events, number): offset for number, offset in self.stitcher.written_offsets().items()}

    def committed_offsets(self) -> dict[TP, int | None]:
        """Next offset of each partition of the events, as the broker has it."""
        offsets: dict[TP, int | None] = cast(Any, self.consumer)._committed_offset
        return {tp: offset for tp, offset in offsets.items() if tp.topic == self.topology.events}

    async def open_store(self, partition: int, /) -> PartitionStore | None:
        """Give the state of one partition once it is restored."""
        return await self.local_state.store(partition)

    def take_partitions(self, assigned: Sequence[TP]) -> None:
        """Restore the state of the partitions of the events that are ours now."""
        self.local_state.assign([tp.partition for tp in assigned if tp.topic == self.topology.events])

    @property
    def has_failed(self) -> bool:
        """Whether a record could not be delivered, or the process is about to end."""
        return self.failure is not None or cast(DurableBuffer, self.producer.buffer).failure is not None

    async def send_changes(self, partition: int, changes: Sequence[Change], /) -> "asyncio.Future[Any]":
        """Send to the changelog; the result is done when the last change is acknowledged."""
        buffer = cast(DurableBuffer, self.producer.buffer)
        return await buffer.send_changes(self.topology.state.name, partition, changes)

    def open_reader(self, is_wanted: Callable[[], bool], /) -> ChangelogReader:
        """Connect to read the changelog."""
        return ChangelogReader(self.connection, self.topology.state.name, is_wanted)

    async def send_record(
        self, topic: str, partition: int, key: bytes | None, value: bytes, headers: Headers | None, /
    ) -> Awaitable[Any]:
        """Hand a record to the producer."""
        buffer = cast(DurableBuffer, self.producer.buffer)
        if buffer.num_waiting > MAX_WAITING_CHANGES:
            await buffer.flush()
        return await self.producer.send(topic, key, value, partition, None, headers)

    def owns(self, assignment: int, /) -> bool:
        """Whether no rebalance has begun since this assignment."""
        return not self.rebalancing and bool(assignment == self.consumer_generation_id)

    def on_rebalance_end(self) -> None:
        """Read from each start once more: until now Faust's streams may have skipped what came after the first seek."""
        super().on_rebalance_end()
        self.add_future(self._read_again())

    async def _read_again(self) -> None:
        # A rebalance that takes a partition away meanwhile ends here too, and what escapes would end the process.
        with contextlib.suppress(IllegalStateError):
            for tp, start in dict(cast(ExactConsumer, self.consumer).reading_starts).items():
                if not self.rebalancing and tp in self.consumer.assignment():
                    await self.consumer.seek(tp, start)

    async def settled(self, partition: int, assignment: int, /) -> None:
        """Wait for the end of the rebalance that led to this assignment, once the partition's start was sought.

        Before that nothing need be kept.
        """
        while (
            self.rebalancing and assignment == self.consumer_generation_id and self.reading_start(partition) is not None
        ):
            await asyncio.sleep(_SETTLED_LOOK_S)

    async def flushed(self) -> None:
        """Wait until the changelog has acknowledged what was sent to it."""
        await cast(DurableBuffer, self.producer.buffer).flush()

    def reading_start(self, partition: int, /) -> int | None:
        """Offset from which a partition is read in this assignment, None while that is not settled."""
        start: int | None = cast(Any, self.consumer).reading_starts.get(TP(self.topology.events, partition))
        return start

    async def rewind(self, partition: int, offset: int, /) -> None:
        """Read a partition again from an offset; one that was just taken away is read by whoever has it."""
        with contextlib.suppress(IllegalStateError):
            await self.consumer.seek(TP(self.topology.events, partition), offset)

    def give_up(self, error: BaseException, /) -> None:
        """Remember why, and let the process end."""
        if self.failure is None:
            self.failure = error
            _log.error("stitcher_gives_up", error=repr(error))
        self._crash(error)


def credentials_of(settings: StitcherSettings) -> Any:
    """What Faust needs to prove who it is; None for plaintext."""
    context = None
    if uses_tls(settings):
        context = ssl.create_default_context(cafile=settings.kafka_ca_file)
    if uses_sasl(settings):
        return faust.SASLCredentials(
            username=settings.kafka_username,
            password=settings.kafka_password.get_secret_value(),
            ssl_context=context,
            mechanism=settings.kafka_mechanism,
        )
    return faust.SSLCredentials(context) if context is not None else None


def create_app(settings: StitcherSettings, core: Core) -> StitcherApp:
    """Build the app; nothing is connected or opened yet."""
    check_faust_version()
    topology = Topology.with_prefix(settings.topic_prefix)
    app = StitcherApp(
        topology.group,
        broker=[URL(f"kafka://{address.strip()}") for address in settings.kafka_bootstrap.split(",")],
        broker_credentials=credentials_of(settings),
        datadir=str(settings.stitcher_folder / DATA / "faust"),
        key_serializer="raw",
        value_serializer="raw",
        processing_guarantee="at_least_once",
        # A kill -9 is noticed after 10 s by other members; the same member takes its place back at once.
        consumer_group_instance_id=f"{topology.group}-{settings.stitcher_instance}",
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.0,
        broker_request_timeout=30.0,
        broker_commit_interval=COMMIT_INTERVAL_S,
        broker_max_poll_records=500,
        consumer_max_fetch_size=2 * MIB,
        consumer_auto_offset_reset="earliest",
        producer_acks=-1,
        producer_linger=0.0,
        producer_request_timeout=30.0,
        # A partition has one batch under way at a time; Faust's 16 KiB would make many round trips of one record.
        producer_max_batch_size=MAX_RECORD_BYTES,
        producer_max_request_size=MAX_STATE_RECORD_BYTES,
        stream_wait_empty=False,
        stream_buffer_maxsize=256,
        # All topics are created from their specs, never by Faust.
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        web_router_enabled=False,
        worker_redirect_stdouts=False,
        autodiscover=False,
        logging_config=None,
    )
    app.transport = app.producer_transport = DurableTransport(app.conf.broker_consumer, app)
    app.topology = topology
    app.connection = kafka_connection(settings.kafka_bootstrap, settings)
    app.local_state = LocalState(settings.stitcher_folder / DATA, app)
    app.stitcher = Stitcher(
        app, core, topology, log_generation=settings.log_generation, in_flight=settings.stitcher_in_flight
    )
    # One at a time: with more, Faust commits past records in work, and their order is lost.
    app.agent(app.topic(topology.events, key_type=bytes, value_type=bytes), name="stitcher", concurrency=1)(
        _stitch_stream(app)
    )
    return app


def _stitch_stream(app: StitcherApp) -> Any:
    """Make the function that Faust runs over the records."""

    async def stitch(stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            record = SourceRecord(message.partition, message.offset, message.key, message.value, message.generation_id)
            try:
                await app.stitcher.process(record)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                # An exception that leaves an agent counts as success in Faust.
                _log.exception("stitcher_failed", partition=record.partition, offset=record.offset)
                app.give_up(error)
                await asyncio.Event().wait()

    return stitch
