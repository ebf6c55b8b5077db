"""A process that the group may have given up sends nothing that it had ready."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as driver

from stream_jobs.processors import lease as lease_module
from stream_jobs.processors.faust_fixes import DurableProducer
from stream_jobs.processors.lease import Lease, LeaseLost

SESSION_S = 10.0


class Clock:
    """The machine's clock; the test lets time pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at_s = 100.0
        monkeypatch.setattr(lease_module, "now_s", lambda: self.at_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_held_from_the_assignment_for_as_long_as_heartbeats_are_answered(clock: Clock) -> None:
    lease = Lease(SESSION_S)
    assert lease.is_held, "before the first assignment there is nothing to fence"
    lease.begin()
    clock.at_s += 9.9
    assert lease.is_held
    lease.prove(clock.at_s - 1)
    clock.at_s += 8.9
    assert lease.is_held
    clock.at_s += 0.2
    assert not lease.is_held
    lease.prove(50.0)
    assert not lease.is_held, "an answer to an old heartbeat proves nothing"


async def test_a_stopped_process_waits_for_proof(clock: Clock) -> None:
    lease = Lease(SESSION_S)
    lease.begin()
    clock.at_s += 60
    waiting = asyncio.ensure_future(lease.wait_held())
    await asyncio.sleep(0.1)
    assert not waiting.done()
    lease.prove(clock.at_s)
    await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize("what", ["lose", "begin"])
async def test_what_was_ready_is_not_sent_once_the_group_gave_it_up(clock: Clock, what: str) -> None:
    lease = Lease(SESSION_S)
    lease.begin()
    clock.at_s += 60
    waiting = asyncio.ensure_future(lease.wait_held())
    await asyncio.sleep(0)
    # Even when it is a member again by now: the partitions were another's in between.
    getattr(lease, what)()
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(waiting, 5)


async def test_stock_sends_what_it_had_ready_and_ours_gives_up(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    given_up: list[BaseException] = []

    async def send(node_id: int, batches: Any) -> None:
        sent.append(node_id)

    def client(self: Any, transactional_id: str | None = None) -> Any:
        return SimpleNamespace(_sender=SimpleNamespace(_send_produce_req=send))

    monkeypatch.setattr(driver.Producer, "_new_producer", client)
    lease = Lease(SESSION_S)
    app = SimpleNamespace(consumer=SimpleNamespace(lease=lease), give_up=given_up.append)
    lease.begin()
    clock.at_s += 60
    owner: Any = SimpleNamespace(app=app)
    stock: Any = driver.Producer._new_producer(owner)
    await stock._sender._send_produce_req(1, {})
    assert sent == [1]
    producer: Any = DurableProducer.__new__(DurableProducer)
    producer.app = app
    ours = producer._new_producer()
    sending = asyncio.ensure_future(ours._sender._send_produce_req(2, {}))
    await asyncio.sleep(0.1)
    lease.lose()
    async with asyncio.timeout(5):
        while not given_up:
            await asyncio.sleep(0.01)
    assert isinstance(given_up[0], LeaseLost)
    assert sent == [1]
    sending.cancel()
