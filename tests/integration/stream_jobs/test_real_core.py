"""The shipped command over captured runs: it must send exactly what the pure core says, and keep its state."""

import shutil
import signal
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from producers.contracts.event import EventBatch, Source, encode_event_batch, record_key
from producers.contracts.normalise import normalise_event
from producers.contracts.wire import WireEvent
from stream_jobs.core.cost import PriceBook
from stream_jobs.core.stitch import read_rules, stitch_batch
from stream_jobs.processors.journal import CORE_PREFIX
from stream_jobs.processors.outputs import output_records
from tests.captures import FOLDERS, SCENARIOS, hook_lines
from tests.integration.stream_jobs.harness import Install, as_a_reader_sees, wait_until

pytestmark = pytest.mark.kafka

TENANT = "clawdemo"
BATCH_EVENTS = 7
CONFIG = FOLDERS[0]


def batches(scenario: str) -> list[EventBatch]:
    """The events of a capture, in small batches of one agent."""
    spool_id = f"spool-{scenario}"
    events = [normalise_event(spool_id, wire_event(seq, line)) for seq, line in enumerate(hook_lines(scenario))]
    return [
        EventBatch(
            tenant_id=TENANT, agent_id=scenario, source=Source(name="test"), spool_id=spool_id, received_at_us=1,
            events=events[start : start + BATCH_EVENTS],
        )
        for start in range(0, len(events), BATCH_EVENTS)
    ]  # fmt: skip


def wire_event(seq: int, line: dict[str, Any]) -> WireEvent:
    """Make the wire form of one captured hook call."""
    event, ctx = (msgspec.Raw(msgspec.json.encode(line[name])) for name in ("event", "ctx"))
    return WireEvent(seq=seq, at_us=line["tsMs"] * 1000, hook=line["hook"], event=event, ctx=ctx)


class Oracle:
    """The pure core over a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[int, dict[bytes, bytes]] = {number: {} for number in range(4)}
        self.sent: dict[tuple[str, int, int, int], bytes] = {}
        self._prices = PriceBook.from_toml((CONFIG / "prices.toml").read_text())
        self._rules = read_rules((CONFIG / "rules.toml").read_text())

    def stitch(self, one: Install, partition: int, offset: int, batch: EventBatch) -> None:
        kept = self.kept[partition]
        result = stitch_batch(kept, batch, offset, self._prices, self._rules)
        kept.update(result.payloads)
        for key, value in result.changes.items():
            if value is None:
                kept.pop(key, None)
            else:
                kept[key] = value
        for _, topic, value in output_records(one.topology, batch, offset, result):
            part = msgspec.json.decode(value)["part"]
            self.sent[topic.removeprefix(one.prefix), partition, offset, part] = value


def test_what_comes_out_is_what_the_core_says(install: Callable[[str], Install]) -> None:
    one, oracle = install("real"), Oracle()
    one.command = [sys.executable, "-m", "api.cli", "stitcher", "run"]
    (one.home / "config").mkdir(parents=True)
    for name in ("prices.toml", "rules.toml"):
        shutil.copy(CONFIG / name, one.home / "config" / name)
    next_offset = dict.fromkeys(range(4), 0)
    for number, scenario in enumerate(SCENARIOS):
        partition = number % 4
        for batch in batches(scenario):
            one.produce(partition, encode_event_batch(batch), record_key(TENANT, scenario))
            oracle.stitch(one, partition, next_offset[partition], batch)
            next_offset[partition] += 1
    one.flush()
    one.start()
    wait_until(lambda: sum(one.end_offsets(one.topology.spans).values()) > 20, "at work")
    one.stop(signal.SIGKILL)
    one.start()
    one.wait_all_committed()
    assert one.stop() == 0
    assert as_a_reader_sees(one.outputs()) == oracle.sent
    assert one.end_offsets(one.topology.dead_letter) == {0: 0}
    stored = {
        (partition, key): value
        for (partition, key), value in one.state().items()
        if key and key.startswith(CORE_PREFIX)
    }
    assert stored == {
        (partition, CORE_PREFIX + key): value for partition, kept in oracle.kept.items() for key, value in kept.items()
    }
