"""Each fault of Faust that is worked around, and that the work-around holds."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.transport.producer import ProducerBuffer
from faust.types import TP

from stream_jobs.processors import faust_fixes
from stream_jobs.processors.app import create_app
from stream_jobs.processors.faust_fixes import DurableBuffer, ExactConsumer, NothingRead, UnsentRecords
from stream_jobs.settings import StitcherSettings
from tests.integration.stream_jobs.standin import counting_core


class SlowBroker:
    """A channel and a producer whose records are acknowledged when told."""

    def __init__(self) -> None:
        self.sent: list[asyncio.Future[Any]] = []
        self.values: list[bytes | None] = []

    async def publish_message(self, fut: Any, wait: bool = False) -> "asyncio.Future[Any]":
        return await self.send("t", fut.message.value)

    async def send(self, topic: str, value: bytes | None, **more: Any) -> "asyncio.Future[Any]":
        self.sent.append(asyncio.get_running_loop().create_future())
        self.values.append(value)
        return self.sent[-1]

    def _ensure_producer(self) -> "SlowBroker":
        return self

    def record(self, value: bytes) -> Any:
        return SimpleNamespace(message=SimpleNamespace(channel=self, value=value))


def running(kind: type[ProducerBuffer], broker: SlowBroker) -> ProducerBuffer:
    buffer = kind()
    app: Any = SimpleNamespace(conf=SimpleNamespace(producer_threaded=False), producer=broker)
    buffer.app = app
    buffer._started.set()
    return buffer


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_stock_flush_returns_with_records_unsent() -> None:
    broker = SlowBroker()
    buffer = running(ProducerBuffer, broker)
    buffer.put(broker.record(b"1"))
    await asyncio.wait_for(buffer.flush(), 60)
    assert buffer.size == 1, "if this fails, Faust has learnt to flush; look whether the work-around is still needed"


async def test_flush_waits_for_the_queue_and_for_acknowledgements() -> None:
    broker = SlowBroker()
    buffer = running(DurableBuffer, broker)
    records = [broker.record(value) for value in (b"1", b"2")]
    for record in records:
        buffer.put(record)
    flushing = asyncio.ensure_future(buffer.flush())
    await settle()
    assert not flushing.done(), "nothing left the queue yet"
    for record in records:
        await buffer._send_pending(record)
    await settle()
    assert not flushing.done(), "nothing is acknowledged yet"
    for sent in broker.sent:
        sent.set_result(None)
    await asyncio.wait_for(flushing, 60)


async def test_flush_waits_for_changes_and_not_for_what_comes_later() -> None:
    broker = SlowBroker()
    buffer = running(DurableBuffer, broker)
    assert isinstance(buffer, DurableBuffer)
    await buffer.send_changes("t", 0, [(b"a", b"1"), (b"b", None)])
    flushing = asyncio.ensure_future(buffer.flush())
    await settle()
    await buffer.send_changes("t", 0, [(b"c", b"2")])
    assert broker.values == [b"1", None, b"2"]
    assert buffer.num_waiting == 3
    for sent in broker.sent[:2]:
        sent.set_result(None)
    await asyncio.wait_for(flushing, 60)
    assert buffer.num_waiting == 1


async def test_flush_fails_when_a_record_failed_and_ever_after() -> None:
    broker = SlowBroker()
    buffer = running(DurableBuffer, broker)
    assert isinstance(buffer, DurableBuffer)
    await buffer.send_changes("t", 0, [(b"a", b"1")])
    broker.sent[0].set_exception(OSError("broken"))
    with pytest.raises(UnsentRecords, match="broken"):
        await buffer.flush()
    await buffer.send_changes("t", 0, [(b"a", b"2")])
    broker.sent[1].set_result(None)
    with pytest.raises(UnsentRecords):
        await buffer.flush()


async def test_flush_gives_up_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faust_fixes, "FLUSH_TIMEOUT_S", 0.01)
    broker = SlowBroker()
    buffer = running(DurableBuffer, broker)
    assert isinstance(buffer, DurableBuffer)
    await buffer.send_changes("t", 0, [(b"a", b"1")])
    with pytest.raises(UnsentRecords, match="1 changelog records not acknowledged"):
        await buffer.flush()


def test_producer_is_idempotent_although_stock_is_not() -> None:
    at_least_once: Any = SimpleNamespace(app=SimpleNamespace(in_transaction=False))
    assert driver.Producer._settings_extra(at_least_once) == {}
    assert faust_fixes.DurableProducer._settings_extra(at_least_once) == {"acks": "all", "enable_idempotence": True}


def test_commit_takes_what_is_written_and_nothing_else() -> None:
    place = TP("events", 1)
    consumer: Any = SimpleNamespace(app=SimpleNamespace(written_offsets=lambda: {place: 7}))
    assert list(ExactConsumer._filter_tps_with_pending_acks(consumer)) == [place]
    assert ExactConsumer._new_offset(consumer, place) == 7
    assert ExactConsumer._new_offset(consumer, TP("events", 2)) is None


class WatchedThread(driver.AIOKafkaConsumerThread):
    """The consumer's thread with a client that only notes where it was called."""

    def __init__(self) -> None:
        self.in_thread = False
        self.seeks: list[tuple[TP, int, bool]] = []

    def _ensure_consumer(self) -> Any:
        return SimpleNamespace(seek=lambda tp, offset: self.seeks.append((tp, offset, self.in_thread)))

    async def call_thread(self, fun: Any, *args: Any, **kwargs: Any) -> Any:
        self.in_thread = True
        try:
            return fun(*args, **kwargs)
        finally:
            self.in_thread = False


@pytest.mark.parametrize(("consumer_class", "is_in_thread"), [(driver.Consumer, False), (ExactConsumer, True)])
async def test_seek_runs_in_the_thread_of_the_client_although_stock_does_not(
    consumer_class: Any, is_in_thread: bool
) -> None:
    thread = WatchedThread()
    await consumer_class._seek(SimpleNamespace(_thread=thread), TP("events", 1), 7)
    assert thread.seeks == [(TP("events", 1), 7, is_in_thread)]


def test_nothing_counts_as_read() -> None:
    read = NothingRead()
    read[TP("events", 0)] = 99
    assert read[TP("events", 0)] is None


def test_another_faust_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    faust_fixes.check_faust_version()
    monkeypatch.setattr(faust_fixes, "version", lambda name: "0.16.0")
    with pytest.raises(faust_fixes.WrongFaustVersion, match=r"0\.16\.0.*0\.15\.3"):
        faust_fixes.check_faust_version()


def app_in_rebalance(home: Path) -> Any:
    """An app in the third rebalance, whose partitions 0 and 1 of the events are sought already."""
    app = create_app(StitcherSettings(home=home), counting_core)
    app.rebalancing, app.consumer_generation_id = True, 3
    consumer: Any = app.consumer
    consumer.reading_starts = {TP(app.topology.events, number): 7 for number in (0, 1)}
    return app


async def test_a_record_waits_for_the_end_of_its_rebalance_and_for_nothing_else(tmp_path: Path) -> None:
    app = app_in_rebalance(tmp_path)
    waiting = asyncio.create_task(app.settled(0, 3))
    await settle()
    assert not waiting.done()
    assert not app.owns(3), "so it would be passed over"
    app.rebalancing = False
    await asyncio.wait_for(waiting, 60)
    assert app.owns(3)
    app.rebalancing = True
    # Of an assignment before this one; of a partition that nobody sought yet.
    await asyncio.wait_for(app.settled(0, 2), 60)
    await asyncio.wait_for(app.settled(5, 3), 60)


async def test_at_the_end_of_a_rebalance_each_start_is_sought_unless_the_next_has_taken_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_in_rebalance(tmp_path)
    first, second = (TP(app.topology.events, number) for number in (0, 1))
    sought: list[tuple[TP, int]] = []

    async def seek(tp: TP, offset: int) -> None:
        sought.append((tp, offset))
        if tp == second:
            raise IllegalStateError(f"No current assignment for partition {tp}")

    monkeypatch.setattr(app.consumer, "_seek", seek)
    monkeypatch.setattr(app.consumer, "assignment", lambda: {first, second})
    app.on_rebalance_end()
    await asyncio.wait_for(asyncio.gather(*app._futures), 60)
    assert sought == [(first, 7), (second, 7)]
    assert not app.crashed
