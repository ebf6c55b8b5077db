"""A process that keeps its place in Postgres, with topics and a database of its own, that can be killed."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
import sqlalchemy as sa
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from infra.runtime.database import make_engine, migrate
from infra.runtime.kafka import provision_topics
from infra.runtime.settings import PORT_OFFSETS, StackSettings
from infra.runtime.topics import TopicSpec
from stream_jobs.batch_reader import NumberedBatch
from tests.integration.stream_jobs.harness import DEADLINE_S, KAFKA_TIMEOUT_S, ROOT, free_port_base

ENDED_WITHIN_MS = 30_000

_Batch = TypeVar("_Batch", bound=NumberedBatch)


@dataclass
class Installed:
    """Topics under a prefix, a database, and processes of one kind."""

    process_name: ClassVar[str]
    specs: ClassVar[tuple[TopicSpec, ...]]
    own_environment: ClassVar[dict[str, str]]

    stack: StackSettings
    home: Path
    prefix: str = field(default_factory=lambda: f"b{uuid.uuid4().hex[:8]}.")
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    num_put: int = 0

    def __post_init__(self) -> None:
        """Make topics and database."""
        self._revs: dict[tuple[str, int], int] = defaultdict(int)
        self._sent: list[tuple[str, int, bytes]] = []
        self.bootstrap = self.stack.kafka_bootstrap
        provision_topics(self.bootstrap, [replace(spec, name=self.prefix + spec.name) for spec in self.specs])
        self._url = make_url(self.stack.database_url())
        self._database = f"test_{self.prefix.rstrip('.')}"
        self._as_owner(f'CREATE DATABASE "{self._database}"')
        self.dsn = self._url.set(database=self._database).render_as_string(hide_password=False)
        self.environment = {
            "CLAWTRACE_HOME": str(self.home),
            "CLAWTRACE_POSTGRES_DSN": self.dsn,
            "CLAWTRACE_KAFKA_BOOTSTRAP": self.bootstrap,
            "CLAWTRACE_TOPIC_PREFIX": self.prefix,
            **self.own_environment,
        }
        self.engine: Engine = make_engine(StackSettings(home=self.home, postgres_dsn=SecretStr(self.dsn)))
        migrate(self.engine)
        self._producer = Producer(
            {"bootstrap.servers": self.bootstrap, "linger.ms": 0, "acks": "all", "enable.idempotence": True}
        )

    def next_rev(self, topic: str, partition: int) -> int:
        """The number of the next batch of a partition."""
        self._revs[topic, partition] += 1
        return self._revs[topic, partition]

    def send(self, topic: str, partition: int, batch: Any) -> None:
        """Put a batch into a topic, as its writer does."""
        value = msgspec.json.encode(batch)
        self._sent.append((topic, partition, value))
        self.put(topic, partition, value)

    def send_again(self, num_records: int) -> None:
        """Send the last batches once more, as a stitcher that was killed does."""
        for topic, partition, value in self._sent[-num_records:]:
            self.put(topic, partition, value)
        self.flush()

    def put(self, topic: str, partition: int, value: bytes) -> None:
        """Put a record into a topic."""
        self.num_put += 1
        self._producer.produce(self.prefix + topic, value, b"k", partition)
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until all is in the topics."""
        assert self._producer.flush(DEADLINE_S) == 0

    def start(self) -> subprocess.Popen[bytes]:
        """Start one by the command that users and the supervisor use."""
        base = free_port_base(self.process_name)
        environment = {**os.environ, **self.environment, "CLAWTRACE_PORT_BASE": str(base)}
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / f"{self.process_name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "api.cli", self.process_name, "run"],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        self.port_base = base
        return process

    def clawtrace(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a user would."""
        return subprocess.run(
            [sys.executable, "-m", "api.cli", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            check=False,
            text=True,
            capture_output=True,
            timeout=DEADLINE_S,
        )

    def is_ready(self) -> bool:
        """Whether the newest one says that it is ready."""
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=2):
                return True
        except (URLError, OSError):
            return False

    def metric(self, sample: str) -> float:
        """Value of a sample of its /metrics; 0 when it has none."""
        url = f"http://127.0.0.1:{self._port}/metrics"
        with urlopen(url, timeout=KAFKA_TIMEOUT_S) as answer:
            lines = answer.read().decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} ")), 0.0)

    def log(self) -> str:
        """The end of what they logged."""
        return (self.home / f"{self.process_name}.log").read_text()[-3000:]

    @property
    def _port(self) -> int:
        return self.port_base + PORT_OFFSETS[f"{self.process_name}_metrics"]

    def count(self, query: str) -> int:
        """The number that a query gives."""
        with self.engine.connect() as connection:
            return int(connection.scalar(sa.text(query)) or 0)

    def batches(self, topic: str, kind: type[_Batch]) -> list[_Batch]:
        """Batches as readers take them, in the order of revisions.

        What is not above the mark of its partition must be, to the byte, what was sent before.
        """
        marks: dict[int, tuple[int, int]] = {}
        found: dict[tuple[int, int], bytes] = {}
        for partition, value in self._read(topic):
            batch = msgspec.json.decode(value, type=kind)
            mark = (batch.rev, batch.part)
            if mark > marks.get(partition, (-1, -1)):
                marks[partition] = mark
                found[mark] = value
            else:
                assert found[mark] == value, "sent again with other bytes, or out of order"
        return [msgspec.json.decode(found[mark], type=kind) for mark in sorted(found)]

    def _read(self, topic: str) -> Iterator[tuple[int, bytes]]:
        name = self.prefix + topic
        reader = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "tests", "enable.auto.commit": False})
        try:
            partitions = reader.list_topics(name, timeout=KAFKA_TIMEOUT_S).topics[name].partitions
            ends = {
                p: reader.get_watermark_offsets(TopicPartition(name, p), timeout=KAFKA_TIMEOUT_S)[1] for p in partitions
            }
            left = sum(ends.values())
            reader.assign([TopicPartition(name, p, OFFSET_BEGINNING) for p, end in ends.items() if end])
            deadline = time.monotonic() + DEADLINE_S
            while left:
                assert time.monotonic() < deadline, f"could not read {name}"
                for message in reader.consume(500, 0.2):
                    partition, value = message.partition(), message.value()
                    if message.error() is None and partition is not None:
                        left -= 1
                        yield partition, value or b""
        finally:
            reader.close()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Let Postgres refuse the database for a while, and end every connection to it."""
        self._as_owner(f'ALTER DATABASE "{self._database}" ALLOW_CONNECTIONS false')
        self._end_connections()
        try:
            yield
        finally:
            self._as_owner(f'ALTER DATABASE "{self._database}" ALLOW_CONNECTIONS true')
            self.engine.dispose()

    def _end_connections(self) -> None:
        # With a time it returns when they have ended; nobody can drop a database that somebody is connected to.
        ended = f"SELECT pg_terminate_backend(pid, {ENDED_WITHIN_MS}) FROM pg_stat_activity"
        self._as_owner(f"{ended} WHERE datname = '{self._database}'")

    def _as_owner(self, statement: str) -> None:
        engine = sa.create_engine(self._url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(statement))
        engine.dispose()

    def remove(self) -> None:
        """Kill what runs, delete topics and database."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait(DEADLINE_S)
        self.engine.dispose()
        self._end_connections()
        self._as_owner(f'DROP DATABASE "{self._database}"')
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.delete_topics([self.prefix + spec.name for spec in self.specs]).values():
            future.exception(KAFKA_TIMEOUT_S)
