"""A lake of its own for one test: topics with a prefix, namespaces with a prefix, sinks as processes."""

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pyarrow as pa
from confluent_kafka import Producer
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from infra.runtime.settings import LOOPBACK, PORT_OFFSETS, StackSettings
from infra.runtime.topics import TopicSpec
from lakehouse.catalog.connect import connect_catalog
from lakehouse.catalog.provision import provision_tables
from lakehouse.contracts.tables import TABLES
from lakehouse.settings import SinkSettings, UpkeepSettings
from lakehouse.sink.feeds import FEEDS
from lakehouse.sink.progress import PROPERTY, TableProgress
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 120.0
KAFKA_TIMEOUT_S = 30.0
POLL_S = 0.1


def wait_until(is_true: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait until something is true; fail when it is not in time."""
    end = time.monotonic() + deadline_s
    while not is_true():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        time.sleep(POLL_S)


@dataclass
class SinkChild:
    """A sink that runs as a process."""

    process: subprocess.Popen[bytes]
    log_file: Path
    port: int

    def send(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self, number: int, deadline_s: float = DEADLINE_S) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait(deadline_s)

    def metric(self, sample: str) -> float:
        """Value of a sample of its /metrics (without labels: the sum); 0 while it does not answer or has none."""
        try:
            body = httpx2.get(f"http://{LOOPBACK}:{self.port}/metrics", trust_env=False, timeout=KAFKA_TIMEOUT_S).text
        except httpx2.TransportError:
            return 0.0
        starts = (f"{sample} ", f"{sample}{{")
        return sum(float(line.rpartition(" ")[2]) for line in body.splitlines() if line.startswith(starts))

    def log(self) -> str:
        """What it logged."""
        return self.log_file.read_text()

    def has_logged(self, words: str) -> bool:
        """Whether its log holds these words."""
        return words in self.log()


@dataclass
class Lake:
    """Tables and topics that only one test uses."""

    stack: StackSettings
    folder: Path
    name: str = field(default_factory=lambda: f"lk{uuid.uuid4().hex[:8]}")
    children: list[SinkChild] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the tables and a producer."""
        self.environment = {
            "CLAWTRACE_HOME": str(self.stack.home),
            "CLAWTRACE_KAFKA_BOOTSTRAP": self.stack.kafka_bootstrap,
            "CLAWTRACE_POSTGRES_DSN": self.stack.database_url(),
            "CLAWTRACE_TRINO_URL": self.stack.trino_url,
            "CLAWTRACE_SILVER_NAMESPACE": f"{self.name}_silver",
            "CLAWTRACE_VIEW_NAMESPACE": f"{self.name}_views",
            "CLAWTRACE_TOPIC_PREFIX": f"{self.name}.",
            "CLAWTRACE_SINK_GROUP": f"{self.name}.sink",
            "CLAWTRACE_SINK_COMMIT_SECONDS": "0.2",
            "CLAWTRACE_SINK_SLOW_COMMIT_SECONDS": "0.3",
            "CLAWTRACE_SINK_GATHER_SECONDS": "0",
            "CLAWTRACE_SINK_MARK_SECONDS": "2",
            "CLAWTRACE_SINK_STANDBY_SECONDS": "2",
        }
        self.catalog: SqlCatalog = connect_catalog(self.settings())
        self.namespace = self.settings().silver_namespace
        self.provision()
        self.producer = Producer(
            # Idempotent like the real writers: otherwise a batch that is sent again, for instance because a new topic
            # has no leader yet, lands behind newer ones.
            {"bootstrap.servers": self.stack.kafka_bootstrap, "linger.ms": 5, "acks": "all", "enable.idempotence": True}
        )

    def settings(self, **more: Any) -> SinkSettings:
        """Settings of a sink on this lake, for use inside the test's own process."""
        return SinkSettings(**(self._values() | more))

    def upkeep_settings(self, **more: Any) -> UpkeepSettings:
        """Settings of upkeep on this lake."""
        return UpkeepSettings(**(self._values() | more))

    def _values(self) -> dict[str, object]:
        return {name.removeprefix("CLAWTRACE_").lower(): value for name, value in self.environment.items()}

    def provision(self) -> None:
        """Make the tables; a second call does nothing."""
        provision_tables(self.catalog, self.namespace, TABLES)

    def topics(self) -> list[TopicSpec]:
        """Specs of this lake's topics, dead letters included."""
        names = [f"{self.name}.{feed.topic}" for feed in FEEDS]
        specs = [TopicSpec(name, None, "test", ("sink",), partitions=2) for name in names]
        return [spec for topic in specs for spec in (topic, topic.dead_letter)]

    def produce(self, topic: str, value: bytes, partition: int = 0) -> None:
        """Queue a record; :meth:`flush` delivers it."""
        self.producer.produce(f"{self.name}.{topic}", value=value, partition=partition)
        self.producer.poll(0)

    def flush(self) -> None:
        """Deliver what is queued."""
        assert self.producer.flush(DEADLINE_S) == 0

    def start_sink(self, **environment: str) -> SinkChild:
        """Start a sink as a user would."""
        port = free_port()
        log_file = self.folder / f"sink-{len(self.children)}.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "api.cli", "sink", "run"],
                cwd=ROOT,
                env={
                    **os.environ,
                    **self.environment,
                    "CLAWTRACE_PORT_BASE": str(port - PORT_OFFSETS["sink_metrics"]),
                    **environment,
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        child = SinkChild(process, log_file, port)
        self.children.append(child)
        return child

    def table(self, name: str) -> Table:
        """Load a table anew."""
        return self.catalog.load_table((self.namespace, name))

    def rows(self, name: str) -> pa.Table:
        """All rows of a table, revisions and all."""
        return self.table(name).scan().to_arrow()

    def num_rows(self, name: str) -> int:
        """Number of rows, from metadata alone."""
        snapshot = self.table(name).current_snapshot()
        if snapshot is None or snapshot.summary is None:
            return 0
        return int(snapshot.summary.additional_properties["total-records"])

    def progress(self, name: str) -> TableProgress:
        """Progress as the table has it."""
        return TableProgress.from_json(self.table(name).properties.get(PROPERTY))

    def close(self) -> None:
        """Kill the sinks that are left and drop the tables; pytest shows what is printed when the test failed."""
        for spec in TABLES:
            print(spec.name, self.num_rows(spec.name), self.progress(spec.name).to_json())
        for child in self.children:
            print(child.log_file.name, "ended with", child.process.poll(), child.log()[-2000:])
        for child in self.children:
            if child.process.poll() is None:
                child.process.kill()
                child.process.wait(DEADLINE_S)
        for spec in TABLES:
            self.catalog.drop_table((self.namespace, spec.name))
        self.catalog.drop_namespace(self.namespace)
        # Dropping a table leaves its files.
        warehouse = Path(self.stack.warehouse.removeprefix("file://"))
        shutil.rmtree(warehouse / self.namespace, ignore_errors=True)
