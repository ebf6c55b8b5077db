"""The derived tables made again are what they were, whatever happened to them, while the sink goes on."""

import json
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from infra.runtime.trino_connection import MAINTENANCE, connect
from lakehouse.rebuild.rebuild import REBUILT, Origin, rebuild
from lakehouse.rebuild.sources import partition_of
from lakehouse.rebuild.tables import RebuiltTable
from producers.contracts.event import EventBatch, Source, encode_event_batch, event_id_of, make_tick
from producers.contracts.topics import EVENTS
from stream_jobs.contracts.alert import AlertBatch
from stream_jobs.contracts.topics import BUDGET_ALERTS, SPANS
from stream_jobs.restitch import StitcherSettings, open_again
from tests.integration.lakehouse.lake import Lake, wait_until
from tests.unit.lakehouse import records as make
from tests.unit.stream_jobs.core.stitching import events_of, lines_of

TENANTS = ("rebuild0", "rebuild1")
AGENT = "laptop"
SCENARIOS = ("tool-error", "subagent")
NUM_PARTITIONS = 2
EVENTS_PER_BATCH = 25
STEP_US = 10_000_000


class Told:
    """A log and what the stitcher makes of it, sent to the lake's topics."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.next_offset = [0] * NUM_PARTITIONS
        self.clock_us = 1_790_000_000_000_000
        self.num_events = 0
        self.settings = StitcherSettings(home=lake.stack.home, port_base=lake.stack.port_base)

    def tell(self, scenarios: tuple[str, ...]) -> None:
        """Send captured runs of every tenant, with ticks between the batches."""
        values: list[tuple[int, bytes]] = []
        for scenario in scenarios:
            for tenant_id in TENANTS:
                spool_id = f"{tenant_id}-{scenario}"
                events = events_of(lines_of(scenario))
                events = [
                    msgspec.structs.replace(event, seq=seq, event_id=event_id_of(spool_id, seq))
                    for seq, event in enumerate(events)
                ]
                self.num_events += len(events)
                partition = partition_of(tenant_id, AGENT, NUM_PARTITIONS)
                for start in range(0, len(events), EVENTS_PER_BATCH):
                    self.clock_us += STEP_US
                    batch = EventBatch(
                        tenant_id=tenant_id,
                        agent_id=AGENT,
                        source=Source(name="test"),
                        spool_id=spool_id,
                        received_at_us=self.clock_us,
                        events=events[start : start + EVENTS_PER_BATCH],
                    )
                    values.append((partition, encode_event_batch(batch)))
                    self.clock_us += STEP_US
                    values += [(p, encode_event_batch(make_tick(self.clock_us))) for p in range(NUM_PARTITIONS)]
        with open_again(self.settings) as again:
            self._send(again, values)
        self.lake.flush()

    def tell_old(self, tenant_id: str) -> None:
        """Send a span of a trace whose events are long gone, as the record of one more tick."""
        offset = self.next_offset[0]
        self.next_offset[0] += 1
        self.clock_us += STEP_US
        self.lake.produce(EVENTS.name, encode_event_batch(make_tick(self.clock_us)), 0)
        span = msgspec.structs.replace(make.span("old-trace", "old-span", offset), tenant_id=tenant_id)
        batch = msgspec.structs.replace(make.span_batch(offset, [span]), tenant_id=tenant_id)
        self.lake.produce(SPANS.name, make.encode(batch), 0)
        self.lake.flush()

    def _send(self, again: Any, values: list[tuple[int, bytes]]) -> None:
        for partition, value in values:
            offset = self.next_offset[partition]
            self.next_offset[partition] += 1
            self.lake.produce(EVENTS.name, value, partition)
            for topic, sent in again.work_on(partition, offset, value):
                if f"{self.lake.name}.{topic}" in {spec.name for spec in self.lake.topics()}:
                    self.lake.produce(topic, sent, partition)


@pytest.fixture
def told(lake: Lake) -> Told:
    """A lake that is filled, and its sink at work."""
    lake.environment["CLAWTRACE_SINK_AGENT_REFRESH_SECONDS"] = "0"
    found = Told(lake)
    found.tell(SCENARIOS)
    budget = msgspec.structs.replace(make.alert_batch(7).alerts[0], rule="budget", alert_id="b" * 32)
    lake.produce(
        BUDGET_ALERTS.name, make.encode(AlertBatch(tenant_id="acme01", agent_id=AGENT, rev=7, alerts=[budget]))
    )
    lake.flush()
    lake.start_sink()
    wait_until(lambda: lake.num_rows("events") == found.num_events, "all events are in the table")
    wait_until(lambda: all(lake.num_rows(spec.name) > 0 for spec in REBUILT), "so is what was made of them")
    wait_until(lambda: _is_still(lake), "the sink has everything")
    return found


def _is_still(lake: Lake) -> bool:
    """Whether each table has what the topics have; the sink stores offsets within its mark seconds."""
    for spec in REBUILT:
        for topic in spec.sources:
            source = lake.progress(spec.name).sources.get(topic)
            for partition in range(NUM_PARTITIONS):
                end = _end(lake, topic, partition)
                if end and (source is None or source.next_offset.get(partition, 0) < end):
                    return False
    return True


def _end(lake: Lake, topic: str, partition: int) -> int:
    consumer = Consumer({"bootstrap.servers": lake.stack.kafka_bootstrap, "group.id": f"{lake.name}.ends"})
    try:
        return int(consumer.get_watermark_offsets(TopicPartition(f"{lake.name}.{topic}", partition), timeout=10)[1])
    finally:
        consumer.close()


def _all_rows(lake: Lake) -> dict[str, list[str]]:
    """Every row of every derived table with its revision, without the number of the sink's commit."""
    found = {}
    for spec in REBUILT:
        rows = lake.rows(spec.name).drop_columns(["epoch"]).to_pylist()
        found[spec.name] = sorted({json.dumps(row, default=str, sort_keys=True) for row in rows})
    return found


def _seen(lake: Lake) -> dict[str, list[str]]:
    """What the views show: one revision of each key, without internals."""
    found = {}
    for spec in REBUILT:
        newest: dict[str, dict[str, Any]] = {}
        for row in sorted(lake.rows(spec.name).to_pylist(), key=lambda row: row["rev"]):
            if spec.reading == "extent":
                key = json.dumps([row[name] for name in spec.key], default=str)
                known = newest.setdefault(key, row)
                known["first_seen_at"] = min(known["first_seen_at"], row["first_seen_at"])
                known["last_seen_at"] = max(known["last_seen_at"], row["last_seen_at"])
                continue
            names = [name if name.isidentifier() else "src_id" for name in spec.key]
            is_child = row.get("kind") != "CHILD_OF" and "dst_id" in row
            newest[json.dumps([row[name] for name in names] + ([row["dst_id"]] if is_child else []), default=str)] = row
        internal = {column.name for column in spec.columns if column.internal}
        shown = [{name: value for name, value in row.items() if name not in internal} for row in newest.values()]
        found[spec.name] = sorted(json.dumps(row, default=str, sort_keys=True) for row in shown)
    return found


def _rebuild(lake: Lake, origin: Origin, *, is_dry: bool = False) -> dict[str, RebuiltTable]:
    settings = StitcherSettings(home=lake.stack.home, port_base=lake.stack.port_base)
    results = rebuild(
        lake.settings(sink_agent_refresh_seconds=0), settings, origin, is_dry=is_dry, tell=lambda done, total: None
    )
    return {it.table: it for it in results}


def _damage(lake: Lake, statement: str) -> None:
    cursor = connect(lake.stack, MAINTENANCE, schema=lake.namespace).cursor()
    cursor.execute(statement)
    cursor.fetchall()


def test_from_the_log_every_row_is_as_it_was(lake: Lake, told: Told) -> None:
    before = _all_rows(lake)
    progress = {spec.name: lake.progress(spec.name) for spec in REBUILT}
    would = _rebuild(lake, "log", is_dry=True)
    assert would["spans"].num_rows_after == would["spans"].num_rows_before == lake.num_rows("spans")
    assert _all_rows(lake) == before

    _damage(lake, "DELETE FROM spans WHERE tenant_id = 'rebuild0'")
    _damage(lake, "UPDATE traces SET cost_usd = 99 WHERE tenant_id = 'rebuild1'")
    _damage(lake, "DELETE FROM cards")
    assert _all_rows(lake) != before
    done = _rebuild(lake, "log")
    assert _all_rows(lake) == before
    assert done["cards"].num_rows_before == 0
    assert done["cards"].num_rows_after == len(before["cards"])
    # The sink knows where it is, and goes on.
    assert {spec.name: lake.progress(spec.name).sources for spec in REBUILT} == {
        name: it.sources for name, it in progress.items()
    }


def test_from_events_the_views_are_as_they_were(lake: Lake, told: Told) -> None:
    # Retention has left nothing of one tenant but a span: there is nothing to make it again from.
    num_spans = lake.num_rows("spans")
    told.tell_old("oldonly0")
    wait_until(lambda: lake.num_rows("spans") == num_spans + 1 and _is_still(lake), "the old span is there")
    before = _seen(lake)
    assert "old-span" in str(before["spans"])
    _damage(lake, "DELETE FROM spans WHERE tenant_id <> 'oldonly0'")
    _damage(lake, "DELETE FROM alerts WHERE rule <> 'budget'")
    _rebuild(lake, "events")
    assert _seen(lake) == before
    # Once more changes nothing.
    _rebuild(lake, "events")
    assert _seen(lake) == before
