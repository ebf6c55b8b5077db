"""The same story twice: by Faust as it comes, which loses something, and by what is put in its place.

When the first half of a test fails, Faust has mended the fault: look whether the work-around is still needed.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.exceptions import ValueDecodeError
from faust.stores import rocksdb
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from intervaltree import IntervalTree

from stream_jobs.processors.app import create_app
from stream_jobs.processors.faust_fixes import ExactConsumer
from stream_jobs.processors.journal import Change
from stream_jobs.processors.local_files import LocalFiles
from stream_jobs.processors.local_state import ChangelogStore
from stream_jobs.processors.shell import SourceRecord
from stream_jobs.settings import StitcherSettings
from tests.integration.stream_jobs.standin import counting_core

PLACE = TP("events", 0)


def consumer_of(committed: int, acked: list[int], written: int) -> Any:
    """A consumer's books: what is committed, which events counted as done, and how far the state is written."""
    return SimpleNamespace(
        _acked={PLACE: acked},
        _acked_index=defaultdict(set),
        _gap=defaultdict(IntervalTree),
        _committed_offset={PLACE: committed},
        app=SimpleNamespace(written_offsets=lambda: {PLACE: written}),
    )


def test_an_event_in_work_is_committed_past() -> None:
    # 2585 is still in work, the four after it are done: next to be read must be 2585.
    assert driver.Consumer._new_offset(consumer_of(2585, [2586, 2587, 2588, 2589], 2585), PLACE) == 2590
    assert ExactConsumer._new_offset(consumer_of(2585, [2586, 2587, 2588, 2589], 2585), PLACE) == 2585


def test_after_a_gap_nothing_is_committed_ever_again() -> None:
    acked = list(range(20, 500))
    assert driver.Consumer._new_offset(consumer_of(10, acked, 500), PLACE) is None
    assert ExactConsumer._new_offset(consumer_of(10, acked, 500), PLACE) == 500


class Seeking:
    """A consumer that notes where it was told to go; nothing was ever committed, the log begins at 7."""

    def __init__(self) -> None:
        self.sought: dict[TP, int] = {}
        self._read_offset: dict[TP, int | None] = {}
        self._committed_offset: dict[TP, int | None] = {}
        self.reading_starts: dict[TP, int] = {}

    async def seek_to_committed(self) -> dict[TP, int | None]:
        return {PLACE: None}

    def assignment(self) -> set[TP]:
        return {PLACE}

    def _is_changelog_tp(self, tp: TP) -> bool:
        return False

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, 7)

    async def seek(self, tp: TP, offset: int) -> None:
        self.sought[tp] = offset


async def test_with_nothing_committed_reading_goes_on_wherever_it_stood() -> None:
    stock: Any = Seeking()
    await driver.Consumer.perform_seek(stock)
    assert stock.sought == {}

    exact: Any = type("Exact", (Seeking, ExactConsumer), {})()
    await ExactConsumer.perform_seek(exact)
    assert exact.sought == {PLACE: 7}
    assert exact.reading_starts == {PLACE: 7}


async def test_an_undecodable_record_never_reaches_the_agent(tmp_path: Path) -> None:
    """Faust acknowledges it and throws; with raw bytes there is nothing to decode, and the stitcher keeps them."""
    junk: Any = SimpleNamespace(key=b"k", value=b"{junk", headers={}, topic="events")
    stock = faust.App("twin", store="memory://")
    with pytest.raises(ValueDecodeError):
        await stock.topic("events", value_serializer="json").decode(junk, propagate=True)
    ours = create_app(StitcherSettings(home=tmp_path), counting_core)
    event = await ours.topic("events", key_type=bytes, value_type=bytes).decode(junk, propagate=True)
    assert event.value == b"{junk"


async def test_what_lies_in_a_buffer_counts_as_restored(tmp_path: Path) -> None:
    """Why the state is restored by ``local_state``."""
    stock = faust.App("twin", store="memory://", datadir=str(tmp_path))
    table: Any = stock.Table("state", key_type=bytes, value_type=bytes, partitions=1)
    recovery: Any = stock.tables.recovery
    changes = TP("twin-state-changelog", 0)
    recovery.add_active(table, changes)
    recovery.active_offsets[changes], recovery.active_highwaters[changes] = -1, 2
    # As it is while Faust asks the broker how far the changelog goes.
    assert not recovery.in_recovery
    stock.flow_control.resume()
    slurping = asyncio.create_task(recovery._slurp_changelogs(recovery))
    for offset in range(3):
        message = SimpleNamespace(tp=changes, partition=0, offset=offset, key=b"key", value=b"%d" % offset)
        stock.tables.changelog_queue.put_nowait(SimpleNamespace(message=message))
    await until(lambda: recovery.active_offsets[changes] == 2)
    assert not recovery.need_recovery(), "so the restore is over, and what is written next moves the files' offset on"
    assert len(recovery.buffers[table]) == 3
    assert not table.data
    slurping.cancel()


def test_a_table_is_written_within_a_stream_only(tmp_path: Path) -> None:
    """Why the state is no table of Faust's: a tick writes for agents whose records are not at hand."""
    stock = faust.App("twin", store="memory://", datadir=str(tmp_path))
    with pytest.raises(TypeError):
        stock.Table("state", key_type=bytes, value_type=bytes)[b"key"] = b"value"


def stock_app() -> Any:
    """An app of Faust's own, whose commits follow what counts as done."""
    app = faust.App("twin", broker="kafka://nowhere", store="memory://", value_serializer="raw")
    app.topics._acking_topics.add(PLACE.topic)
    return app


def our_app(home: Path) -> Any:
    """The stitcher's app; its topic of events is the one of the twins."""
    app = create_app(StitcherSettings(home=home), counting_core)
    app.topology = replace(app.topology, events=PLACE.topic)
    return app


def event_of(app: Any, offset: int) -> Any:
    """A record as the fetcher hands it on."""
    generation_id = app.consumer_generation_id
    message = ConsumerMessage(
        PLACE.topic, PLACE.partition, offset, 0.0, 0, [], b"k", b"v", None, tp=PLACE, generation_id=generation_id
    )
    message.incref()
    return faust.Event(app, b"k", b"v", {}, message)


def stream_with(app: Any, *offsets: int) -> Any:
    """A stream as an agent has it, with records that wait in it."""
    stream = app.topic(PLACE.topic).stream()
    for offset in offsets:
        stream.channel.queue.put_nowait(event_of(app, offset))
    return stream


async def until(is_so: Callable[[], bool]) -> None:
    """Let the others run until it is so."""
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0)


async def test_an_error_in_an_agent_counts_as_done(tmp_path: Path) -> None:
    async def fails(stream: Any) -> None:
        async for _ in stream:
            raise ValueError("no disk")

    stock = stock_app()
    stock.consumer._committed_offset[PLACE] = 7
    stock.flow_control.resume()
    with contextlib.suppress(ValueError):
        await fails(stream_with(stock, 7))
    await until(lambda: bool(stock.consumer._acked[PLACE]))
    assert stock.consumer._new_offset(PLACE) == 8, "the record that failed is committed past"

    class Failing:
        async def process(self, record: SourceRecord) -> None:
            raise ValueError("no disk")

        def written_offsets(self) -> dict[int, int]:
            return {0: 7}

    ours = our_app(tmp_path)
    ours.stitcher = Failing()
    ours.flow_control.resume()
    (agent,) = ours.agents.values()
    working = asyncio.create_task(agent.fun(stream_with(ours, 7)))
    await until(lambda: ours.failure is not None)
    assert ours.consumer._new_offset(PLACE) == 7
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert ours.consumer._new_offset(PLACE) == 7


async def handed_on(consumer: Any, offsets: list[int]) -> list[int]:
    """What a consumer hands on of what its client fetched in this order."""
    seen: list[int] = []
    fetcher = SimpleNamespace(_stopped=asyncio.Event())

    async def hand_on(message: Any) -> None:
        seen.append(message.offset)

    async def getmany(timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        for offset in offsets:
            yield PLACE, event_of(consumer.app, offset).message
        fetcher._stopped.set()

    consumer.callback, consumer.getmany = hand_on, getmany
    await consumer._drain_messages(fetcher)
    return seen


async def test_records_before_one_that_was_handed_on_are_dropped(tmp_path: Path) -> None:
    """A fetch that was under way when the start was sought comes first, with records further on."""
    fetched = [9, 10, 7, 8, 9, 10]
    assert await handed_on(stock_app().consumer, fetched) == [9, 10, 10]
    assert await handed_on(our_app(tmp_path).consumer, fetched) == fetched


class NeverAcknowledged:
    """The changelog's way to a broker that is told nothing before the process dies."""

    async def send_changes(self, partition: int, changes: Iterable[Change]) -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().create_future()


def files_in(data: Path) -> Any:
    """The files of a table as Faust opens them in a folder."""
    app = faust.App("twin", datadir=str(data), store="rocksdb://")
    table: Any = app.Table("state", key_type=bytes, value_type=bytes, partitions=1, options={"driver": "rocksdict"})
    table.data.partition_path(0).parent.mkdir(parents=True, exist_ok=True)
    return table.data


def found_in(data: Path) -> bytes | None:
    """What the next process finds under the key."""
    value: bytes | None = files_in(data)._db_for_partition(0).get(b"key")
    return value


async def test_after_a_crash_local_files_hold_what_the_changelog_never_got(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_a_stream() -> Any:
        return SimpleNamespace(message=SimpleNamespace(partition=0))

    with monkeypatch.context() as patch:
        patch.setattr(rocksdb, "current_event", in_a_stream)
        stock = files_in(tmp_path / "stock")
        # As a table does it first of all; its record for the changelog is put into a queue after that.
        stock[b"key"] = b"never acknowledged"
        stock._dbs.popitem()[1].close()
    # The rebuild reads the changelog over it, and nothing there says that the key is to go.
    assert found_in(tmp_path / "stock") == b"never acknowledged"
    ours = LocalFiles(tmp_path / "ours")
    never: Any = NeverAcknowledged()
    store = ChangelogStore(0, ours, never)
    await store.write([(b"key", b"never acknowledged")], lambda: None)
    assert store.get(b"key") is None
    ours._files.close()
    del ours, store
    assert LocalFiles(tmp_path / "ours").get(b"key") is None


async def seen_after_a_rebalance(app: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let Faust end a rebalance; return what came to its agent from a log whose last record is also the first to read.

    The fetcher, which was at work before, hands the record on as soon as its place is sought.
    """
    app.consumer_generation_id = 3
    stream, consumer, recovery = stream_with(app), app.consumer, app.tables.recovery
    seen: list[int] = []

    async def read() -> None:
        async for event in stream.noack().events():
            seen.append(event.message.offset)

    async def seek(tp: TP, offset: int) -> None:
        if offset == 7:
            stream.channel.queue.put_nowait(event_of(app, offset))

    async def seek_to_committed() -> dict[TP, int]:
        await seek(PLACE, 7)
        return {PLACE: 7}

    async def nothing(*_: Any) -> None:
        return

    async def earliest(*tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, 0)

    for name, does in {
        "assignment": lambda: {PLACE}, "resume_partitions": lambda tps: None, "_seek": seek,
        "seek_to_committed": seek_to_committed, "earliest_offsets": earliest,
    }.items():  # fmt: skip
        monkeypatch.setattr(consumer, name, does)
    monkeypatch.setattr(app, "_fetcher", SimpleNamespace(maybe_start=nothing))
    app.rebalancing = True
    app.flow_control.resume()
    reading = asyncio.create_task(read())
    # It would look for a further rebalance.
    monkeypatch.setattr(recovery, "_wait", lambda waited, timeout: waited)
    await recovery._resume_streams(3)
    assert not app.rebalancing
    # All that is under way comes to its end.
    for _ in range(100):
        await asyncio.sleep(0)
    reading.cancel()
    return seen


async def test_what_comes_between_the_seek_and_the_end_of_a_rebalance_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust empties all queues when it lets the flow go on, after it has sought; ours seeks once more."""
    assert await seen_after_a_rebalance(stock_app(), monkeypatch) == []
    assert await seen_after_a_rebalance(our_app(tmp_path), monkeypatch) == [7]
