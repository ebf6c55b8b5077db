"""The routine for one record, on a broker and a store in memory; cut off after every single write."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from producers.contracts.event import encode_event_batch, make_tick, record_key
from stream_jobs.contracts.alert import AlertBatch
from stream_jobs.contracts.span import SpanBatch
from stream_jobs.contracts.trace import TraceBatch
from stream_jobs.processors import stitcher as module
from stream_jobs.processors.dead_letter import MAX_CONSECUTIVE, Headers, TooManyDeadLetters
from stream_jobs.processors.due import TICK_KEY
from stream_jobs.processors.journal import Change
from stream_jobs.processors.shell import SourceRecord
from stream_jobs.processors.state import PartitionState
from stream_jobs.processors.stitcher import Stitcher
from stream_jobs.processors.topology import Topology
from tests.integration.stream_jobs.standin import (
    POISON_HOOK,
    REJECTED_HOOK,
    CountingCore,
    batch_of,
    counting_core,
    value_of,
)

TOPOLOGY = Topology.with_prefix("")


class Crash(Exception):
    """Kill -9."""


def set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class Shell:
    """Broker and store in memory; dies when ``budget`` writes are used up."""

    kept: dict[bytes, bytes] = field(default_factory=dict)
    sent: list[tuple[str, int, bytes, Headers | None]] = field(default_factory=list)
    budget: int = 1_000_000
    assignment: int = 1
    acknowledge: bool = True
    starts: dict[int, int] = field(default_factory=dict)
    rewinds: list[tuple[int, int]] = field(default_factory=list)
    failure: BaseException | None = None
    num_flushes: int = 0
    open_acks: list[asyncio.Future[Any]] = field(default_factory=list)
    has_settled: asyncio.Event = field(default_factory=set_event)

    def spend(self) -> None:
        if self.budget == 0:
            raise Crash
        self.budget -= 1

    async def open_store(self, partition: int, /) -> "Shell":
        return self

    def get(self, key: bytes, /) -> bytes | None:
        return self.kept.get(key)

    def scan(self, prefix: bytes, /) -> Iterator[tuple[bytes, bytes]]:
        yield from [(key, value) for key, value in sorted(self.kept.items()) if key.startswith(prefix)]

    async def write(self, changes: Sequence[Change], stored: Callable[[], None], /) -> None:
        for key, value in changes:
            self.spend()
            if value is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = value
        stored()

    async def send_record(
        self, topic: str, partition: int, key: bytes | None, value: bytes, headers: Headers | None, /
    ) -> Awaitable[Any]:
        self.spend()
        self.sent.append((topic, partition, value, headers))
        ack = asyncio.get_running_loop().create_future()
        if self.acknowledge:
            ack.set_result(None)
        self.open_acks.append(ack)
        return ack

    async def settled(self, partition: int, assignment: int, /) -> None:
        await self.has_settled.wait()

    async def flushed(self) -> None:
        self.num_flushes += 1

    def owns(self, assignment: int, /) -> bool:
        return assignment == self.assignment

    def reading_start(self, partition: int, /) -> int | None:
        return self.starts.get(partition, 0)

    async def rewind(self, partition: int, offset: int, /) -> None:
        self.rewinds.append((partition, offset))

    def give_up(self, error: BaseException, /) -> None:
        self.failure = error


def record(offset: int, value: bytes, assignment: int = 1) -> SourceRecord:
    return SourceRecord(0, offset, b"k", value, assignment)


def make(shell: Shell, **more: Any) -> Stitcher:
    return Stitcher(shell, counting_core, TOPOLOGY, **more)


SECOND_US = 1_000_000


def tick(seconds: int) -> bytes:
    return encode_event_batch(make_tick(seconds * SECOND_US))


VALUES = [value_of(f"agent{number % 3}", (number // 3) * 6, 6) for number in range(12)]
VALUES[4:4] = [tick(50)]
VALUES[8:8] = [tick(61), tick(60)]
VALUES += [tick(70), tick(121)]


async def run(shell: Shell, first: int = 0, **more: Any) -> Stitcher:
    """Process all values from an offset on, each finished before the next."""
    shell.starts = {0: first}
    stitcher = make(shell, **more)
    for offset in range(first, len(VALUES)):
        await stitcher.process(record(offset, VALUES[offset], shell.assignment))
        await stitcher.drain()
    stitcher.close()
    return stitcher


def seen(shell: Shell) -> dict[tuple[str, int, int], bytes]:
    found: dict[tuple[str, int, int], bytes] = {}
    for topic, _, value, _ in shell.sent:
        told = msgspec.json.decode(value)
        place = (topic, told["rev"], told["part"])
        assert found.setdefault(place, value) == value, "repeated with other bytes"
    return found


async def test_cut_off_after_every_write_nothing_is_lost_or_changed() -> None:
    whole = Shell()
    await run(whole)
    num_writes = 1_000_000 - whole.budget
    assert num_writes > 100
    for budget in range(num_writes):
        shell = Shell(budget=budget)
        stitcher = None
        with contextlib.suppress(Crash):
            stitcher = await run(shell)
        # The commit is at best where the state was written; the worst, from the very start, must do as well.
        shell.budget = 1_000_000
        assert stitcher is None, "it should have died"
        await run(shell, first=0)
        assert seen(shell) == seen(whole)
        assert shell.kept == whole.kept, f"cut off after {budget} writes"


async def test_pipelined_gives_the_same_as_one_after_another() -> None:
    whole = Shell()
    await run(whole)
    shell = Shell()
    stitcher = make(shell, in_flight=5)
    for offset, value in enumerate(VALUES):
        await stitcher.process(record(offset, value))
    await stitcher.drain()
    assert (shell.sent, shell.kept) == (whole.sent, whole.kept)


async def test_state_waits_for_acknowledgements_in_source_order() -> None:
    shell = Shell(acknowledge=False)
    stitcher = make(shell, in_flight=3)
    for offset in range(3):
        await stitcher.process(record(offset, VALUES[offset]))
    first = len([one for one in shell.sent if msgspec.json.decode(one[2])["rev"] == 0])
    for ack in shell.open_acks[first:]:
        ack.set_result(None)
    await asyncio.sleep(0.01)
    assert shell.kept == {}, "later records are acknowledged, the first is not"
    assert stitcher.written_offsets() == {}
    for ack in shell.open_acks[:first]:
        ack.set_result(None)
    await stitcher.drain()
    assert stitcher.written_offsets() == {0: 3}
    stitcher.close()


async def test_a_failed_output_ends_the_process_and_writes_nothing() -> None:
    shell = Shell(acknowledge=False)
    stitcher = make(shell)
    await stitcher.process(record(0, VALUES[0]))
    shell.open_acks[0].set_exception(OSError("refused"))
    with pytest.raises(OSError, match="refused"):
        await stitcher.drain()
    await asyncio.sleep(0)
    assert isinstance(shell.failure, OSError)
    assert shell.kept == {}


async def test_lost_ownership_discards_what_is_not_written() -> None:
    shell = Shell(acknowledge=False)
    stitcher = make(shell, in_flight=4)
    await stitcher.process(record(0, VALUES[0]))
    shell.assignment = 2
    for ack in shell.open_acks:
        ack.set_result(None)
    await stitcher.drain()
    assert shell.kept == {}
    assert stitcher.written_offsets() == {}
    shell.acknowledge = True
    await stitcher.process(record(0, VALUES[0], 2))
    await stitcher.process(record(1, VALUES[1], 1))
    await stitcher.drain()
    assert stitcher.written_offsets() == {0: 1}, "a record of the old assignment is ignored"
    assert len({value for topic, _, value, _ in shell.sent if topic == TOPOLOGY.spans}) == 1
    stitcher.close()


async def test_undecodable_record_is_kept_byte_for_byte() -> None:
    shell = Shell()
    stitcher = make(shell)
    await stitcher.process(record(0, b"\xff not json"))
    await stitcher.process(record(1, VALUES[0]))
    await stitcher.drain()
    topic, partition, value, headers = shell.sent[0]
    assert (topic, partition, value) == (TOPOLOGY.dead_letter, 0, b"\xff not json")
    told = dict(headers or [])
    assert told["stage"] == b"stitcher"
    assert told["original_offset"] == b"0"
    assert b"DecodeError" in told["reason"]
    assert stitcher.written_offsets() == {0: 2}
    stitcher.close()


async def test_record_the_core_fails_on_leaves_no_trace_in_the_state() -> None:
    shell = Shell()
    stitcher = make(shell)
    await stitcher.process(record(0, value_of("agent0", 0, 6, hook=POISON_HOOK)))
    await stitcher.drain()
    assert shell.kept == {}
    assert [topic for topic, *_ in shell.sent] == [TOPOLOGY.dead_letter]
    assert dict(shell.sent[0][3] or [])["reason"] == b"ValueError: poison"
    stitcher.close()


async def test_rejected_events_are_kept_and_the_rest_counts() -> None:
    shell = Shell()
    good, bad = batch_of("agent0", 0, 3), batch_of("agent0", 3, 2, hook=REJECTED_HOOK)
    both = msgspec.structs.replace(good, events=[*good.events, *bad.events])
    stitcher = make(shell)
    await stitcher.process(record(0, encode_event_batch(both)))
    await stitcher.drain()
    dead = [value for topic, _, value, _ in shell.sent if topic == TOPOLOGY.dead_letter]
    assert [event["seq"] for event in msgspec.json.decode(dead[0])["events"]] == [3, 4]
    spans = [value for topic, _, value, _ in shell.sent if topic == TOPOLOGY.spans]
    assert msgspec.json.decode(spans[0], type=SpanBatch).spans[0].name == "3 of 3"
    stitcher.close()


async def test_too_many_dead_letters_stop_the_process() -> None:
    stitcher = make(Shell(), in_flight=1000)
    for offset in range(MAX_CONSECUTIVE):
        await stitcher.process(record(offset, b"junk"))
    with pytest.raises(TooManyDeadLetters):
        await stitcher.process(record(MAX_CONSECUTIVE, b"junk"))
    stitcher.close()


async def test_records_that_come_before_the_rebalance_is_over_are_not_passed_over() -> None:
    whole, shell = Shell(), Shell(has_settled=asyncio.Event(), assignment=2)
    await run(whole)
    stitcher = make(shell)
    first = asyncio.create_task(stitcher.process(record(0, VALUES[0])))
    await asyncio.sleep(0)
    # Until now the shell said that nothing is owned.
    shell.assignment = 1
    shell.has_settled.set()
    await first
    for offset, value in enumerate(VALUES[1:], start=1):
        await stitcher.process(record(offset, value))
    await stitcher.drain()
    stitcher.close()
    assert (seen(shell), shell.kept, shell.rewinds) == (seen(whole), whole.kept, [])


async def test_records_ahead_are_ignored_until_the_one_that_is_due_comes() -> None:
    shell = Shell(starts={0: 0})
    stitcher = make(shell)
    for offset in (5, 6, 0, 1, 1, 2):
        await stitcher.process(record(offset, VALUES[offset]))
    await stitcher.drain()
    assert shell.rewinds == [(0, 0)]
    assert stitcher.written_offsets() == {0: 3}
    revs = [msgspec.json.decode(value)["rev"] for topic, _, value, _ in shell.sent if topic == TOPOLOGY.spans]
    assert revs == [0, 1, 2]
    stitcher.close()


async def test_records_missing_in_the_topic_do_not_block_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REWIND_EVERY_S", 0)
    shell = Shell(starts={0: 3})
    stitcher = make(shell)
    for _ in range(module.MAX_REWINDS + 1):
        await stitcher.process(record(5, VALUES[5]))
    await stitcher.drain()
    assert len(shell.rewinds) == module.MAX_REWINDS
    assert stitcher.written_offsets() == {0: 6}
    stitcher.close()


async def test_generation_is_in_the_revision_and_alerts_lead() -> None:
    shell = Shell()
    stitcher = make(shell, log_generation=3)
    await stitcher.process(record(0, value_of("agent0", 0, 60)))
    await stitcher.drain()
    topic, _, value, _ = shell.sent[0]
    assert topic == TOPOLOGY.alerts
    assert msgspec.json.decode(value, type=AlertBatch).rev == 3 << 44
    assert b"j" + record_key("stitchtest", "agent0") + b"\x000" in shell.kept
    stitcher.close()


async def test_a_tick_visits_who_is_due_in_the_order_of_the_numbers() -> None:
    shell = Shell()
    await run(shell)
    visits: dict[int, list[tuple[int, str]]] = {}
    for topic, _, value, _ in shell.sent:
        told = msgspec.json.decode(value, type=TraceBatch) if topic == TOPOLOGY.traces else None
        if told is not None and "tick" in told.traces[0].name:
            visits.setdefault(told.rev, []).append((told.part, told.traces[0].name))
    # At 61 and 121 s a minute has begun; at 50 and 70 s agents are due by what they wrote; 60 s is older than 61 s.
    assert {VALUES[rev] for rev in visits} == {tick(50), tick(61), tick(70), tick(121)}
    for rev, found in visits.items():
        assert {name.endswith("True") for _, name in found} == {VALUES[rev] in (tick(61), tick(121))}
        assert len(found) == 3
        assert found == sorted(found)
        assert {part % 256 for part, _ in found} == {0}
        assert all(0 < part < 2**53 for part, _ in found)
    assert int(shell.kept[TICK_KEY]) == 121 * SECOND_US


async def test_an_agent_is_visited_when_its_instant_has_come_not_only_at_minutes() -> None:
    shell = Shell()
    stitcher = make(shell)
    for offset, value in enumerate((tick(61), value_of("agent0", 0, 6, at_us=60 * SECOND_US), tick(74), tick(75))):
        await stitcher.process(record(offset, value))
    await stitcher.drain()
    names = [
        msgspec.json.decode(value, type=TraceBatch).traces[0].name
        for topic, _, value, _ in shell.sent
        if topic == TOPOLOGY.traces
    ]
    assert names == ["6", "6 at tick 1 False"]
    stitcher.close()


async def test_a_tick_that_fails_on_one_agent_goes_on_with_the_others() -> None:
    class Brittle(CountingCore):
        def tick(self, state: PartitionState, tenant_id: str, agent_id: str, *rest: Any) -> Any:
            if agent_id == "agent1":
                raise ValueError("brittle")
            return super().tick(state, tenant_id, agent_id, *rest)

    shell = Shell()
    stitcher = Stitcher(shell, Brittle(), TOPOLOGY)
    for offset, value in enumerate((*VALUES[:3], tick(61))):
        await stitcher.process(record(offset, value))
    await stitcher.drain()
    agents = [
        msgspec.json.decode(value, type=TraceBatch).agent_id
        for topic, _, value, _ in shell.sent
        if topic == TOPOLOGY.traces and msgspec.json.decode(value)["rev"] == 3
    ]
    assert sorted(agents) == ["agent0", "agent2"]
    assert stitcher.written_offsets() == {0: 4}
    assert TOPOLOGY.dead_letter not in {topic for topic, *_ in shell.sent}
    stitcher.close()
