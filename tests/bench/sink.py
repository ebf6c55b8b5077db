"""R3: rows a second from the topics into the tables, against pyarrow that writes the same rows to Parquet.

Upstream: captured runs, stitched once; topics and tables of their own on the stack's broker and catalog.
Downstream: ``tests.bench``.
Guarantee: ours is the sink's own session: consume, decode, build, write, commit with offsets, all nine tables. The
baseline has the same rows as lists of plain values in memory, and only makes columns of them and writes one file a
table (zstd, as the tables do). Ledger: rows read back from the tables against the rows made.
"""

import statistics
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from infra.runtime.kafka import provision_topics
from infra.runtime.topics import TopicSpec
from lakehouse import metrics
from lakehouse.catalog.connect import connect_catalog
from lakehouse.catalog.provision import provision_tables
from lakehouse.contracts.tables import TABLES, table_named
from lakehouse.settings import SinkSettings
from lakehouse.sink.feeds import FEEDS, Columns, SeenState
from lakehouse.sink.rows import build_rows, concat_columns
from lakehouse.sink.session import SinkSession
from producers.contracts.event import decode_event_batch
from stream_jobs.core.cost import PriceBook
from stream_jobs.core.stitch import read_rules, stitch_batch
from stream_jobs.processors.outputs import output_records
from stream_jobs.processors.topology import Topology
from tests.bench.harness import Check, Figure, Part, collected_seldom, take_turns
from tests.bench.stitch import make_records
from tests.bench.world import World
from tests.captures import ROOT

NUM_COPIES = 24
NUM_PAIRS = 5
NUM_PARTITIONS = 4
FLUSH_WITHIN_S = 60.0
ROUND_WITHIN_S = 120.0
GOAL_R3 = 0.6


@dataclass(frozen=True)
class Sent:
    """One record of a topic, named as in its contract."""

    topic: str
    partition: int
    value: bytes


def stitched_records(num_copies: int) -> list[Sent]:
    """All records that the sink would find after these runs: events, and what was stitched from them."""
    prices = PriceBook.from_toml((ROOT / "producers/replay/captures/prices.toml").read_text())
    rules, topology = read_rules(""), Topology.with_prefix("")
    wanted = {feed.topic for feed in FEEDS}
    stores: dict[int, dict[bytes, bytes]] = {number: {} for number in range(NUM_PARTITIONS)}
    next_rev: Counter[int] = Counter()
    sent: list[Sent] = []
    for value in make_records(num_copies):
        batch = decode_event_batch(value)
        partition = int(batch.agent_id.rpartition("-")[2]) % NUM_PARTITIONS
        rev, store = next_rev[partition], stores[partition]
        next_rev[partition] += 1
        result = stitch_batch(store, batch, rev, prices, rules)
        sent.append(Sent(topology.events, partition, value))
        made = output_records(topology, batch, rev, result)
        sent += [Sent(topic, partition, record) for _, topic, record in made if topic in wanted]
        store.update(result.payloads)
        for key, change in result.changes.items():
            if change is None:
                store.pop(key, None)
            else:
                store[key] = change
    return sent


def rows_of(sent: Sequence[Sent]) -> dict[str, pa.Table]:
    """The rows of every table, as the sink makes them."""
    feeds = {feed.topic: feed for feed in FEEDS}
    seen, offsets = SeenState.refreshed_every(SinkSettings().sink_agent_refresh_seconds), Counter[tuple[str, int]]()
    columns: dict[str, list[Columns]] = {}
    for record in sent:
        feed, place = feeds[record.topic], (record.topic, record.partition)
        batch = feed.decode(record.value)
        for name, extract in feed.tables.items():
            found = extract(batch, offsets[place], seen)
            if found["tenant_id"]:
                columns.setdefault(name, []).append(found)
        offsets[place] += 1
    return {name: build_rows(table_named(name), concat_columns(parts), 1) for name, parts in columns.items()}


class Bare:
    """pyarrow: lists of plain values → columns → one Parquet file a table."""

    def __init__(self, rows: dict[str, pa.Table], folder: Path) -> None:
        """Take the rows apart; instants and dates become numbers, from which Arrow makes columns quickest."""
        self._folder = folder
        self._num_rows = sum(table.num_rows for table in rows.values())
        self._values = {name: _plain(table) for name, table in rows.items()}
        self.num_written = 0
        self.cpu_seconds: list[float] = []

    def round(self) -> float:
        """Return the rows a second."""
        started, cpu_started = time.perf_counter(), time.process_time()
        for name, (schema, values) in self._values.items():
            arrays = [pa.array(column, field.type) for column, field in zip(values, schema, strict=True)]
            table = pa.Table.from_arrays(arrays, schema=schema)
            pq.write_table(table, self._folder / f"{name}.parquet", compression="zstd")
        seconds = time.perf_counter() - started
        self.cpu_seconds.append(time.process_time() - cpu_started)
        self.num_written = sum(pq.read_metadata(self._folder / f"{name}.parquet").num_rows for name in self._values)
        return self._num_rows / seconds


def _plain(table: pa.Table) -> tuple[pa.Schema, list[list[Any]]]:
    values = []
    for column in table.columns:
        if pa.types.is_timestamp(column.type):
            values.append(column.cast(pa.int64()).to_pylist())
        elif pa.types.is_date32(column.type):
            values.append(column.cast(pa.int32()).to_pylist())
        else:
            values.append(column.to_pylist())
    return table.schema, values


class OwnSink:
    """The sink's session over topics that are filled once, into new tables each round."""

    def __init__(self, world: World, sent: Sequence[Sent], num_rows: int) -> None:
        """Fill the topics."""
        self._world, self._num_records, self._num_rows = world, len(sent), num_rows
        self._name = f"bench{uuid.uuid4().hex[:8]}"
        self._prefix = f"{self._name}."
        self.specs = [
            TopicSpec(f"{self._prefix}{feed.topic}", None, "Records of a bench.", (), NUM_PARTITIONS) for feed in FEEDS
        ]
        provision_topics(world.settings.kafka_bootstrap, self.specs)
        producer = Producer({"bootstrap.servers": world.settings.kafka_bootstrap, "acks": "all", "linger.ms": 20})
        for record in sent:
            producer.produce(self._prefix + record.topic, record.value, partition=record.partition)
            producer.poll(0)
        if producer.flush(FLUSH_WITHIN_S):
            raise RuntimeError("Kafka did not take the records of the bench")
        self.namespaces: list[str] = []
        self.cpu_seconds: list[float] = []

    def round(self) -> float:
        """Return the rows a second, from the first fetch to the last commit."""
        namespace = f"{self._name}_{len(self.namespaces)}"
        settings = SinkSettings(
            home=self._world.settings.home,
            port_base=self._world.settings.port_base,
            silver_namespace=namespace,
            topic_prefix=self._prefix,
            sink_group=self._name,
        )
        self._catalog = connect_catalog(settings)
        provision_tables(self._catalog, namespace, TABLES)
        self.namespaces.append(namespace)
        session = SinkSession(settings, self._catalog, lambda seconds: False, FEEDS)
        try:
            started, cpu_started, before = time.perf_counter(), time.process_time(), _num_polled()
            session.open()
            while _num_polled() - before < self._num_records:
                if time.perf_counter() - started > ROUND_WITHIN_S:
                    raise RuntimeError("the sink of the bench did not read its topics in time")
                session.step()
            session.commit_all()
            self.cpu_seconds.append(time.process_time() - cpu_started)
            return self._num_rows / (time.perf_counter() - started)
        finally:
            session.close()

    def num_stored(self, namespace: str) -> int:
        """Rows of all its tables, read from the files that the committed snapshots name."""
        tables = (self._catalog.load_table((namespace, spec.name)) for spec in TABLES)
        return sum(table.scan(selected_fields=("tenant_id",)).to_arrow().num_rows for table in tables)


def _num_polled() -> float:
    (family,) = metrics.RECORDS.collect()
    return sum(sample.value for sample in family.samples if sample.name.endswith("_total"))


def measure(world: World) -> Part:
    """Run the pairs."""
    sent = stitched_records(NUM_COPIES)
    rows = rows_of(sent)
    num_rows = sum(table.num_rows for table in rows.values())
    ours = OwnSink(world, sent, num_rows)
    with TemporaryDirectory() as folder, collected_seldom():
        bare = Bare(rows, Path(folder))
        pairs = take_turns(ours.round, bare.round, NUM_PAIRS)
    admin = AdminClient({"bootstrap.servers": world.settings.kafka_bootstrap})
    for future in admin.delete_topics([spec.name for spec in ours.specs]).values():
        future.result(FLUSH_WITHIN_S)
    ours_cpu, bare_cpu = (statistics.median(it.cpu_seconds) for it in (ours, bare))
    part = Part("sink", details={"rows": {name: table.num_rows for name, table in rows.items()}})
    part.figures = [
        pairs.figure("R3 sink ÷ pyarrow columns → Parquet", ("≥", GOAL_R3)),
        Figure("sink: topics → committed tables", pairs.median_ours, "rows/s"),
        Figure("pyarrow columns → Parquet", pairs.median_baseline, "rows/s"),
        Figure("sink, processor per row", ours_cpu / num_rows * 1e6, "µs"),
        Figure("pyarrow, processor per row", bare_cpu / num_rows * 1e6, "µs"),
        Figure("sink ÷ pyarrow by processor, which other work does not slow", bare_cpu / ours_cpu),
    ]
    part.ledger = [Check("rows of the baseline", num_rows, bare.num_written)]
    part.ledger += [Check(f"rows in {it}", num_rows, ours.num_stored(it)) for it in ours.namespaces]
    return part
