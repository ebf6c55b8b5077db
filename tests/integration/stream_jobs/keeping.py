"""A keeper of budgets with topics and a database of its own, that can be killed, and all that came out of it."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
import sqlalchemy as sa
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from infra.runtime.database import make_engine, migrate
from infra.runtime.kafka import provision_topics
from infra.runtime.settings import PORT_OFFSETS, StackSettings
from producers.contracts.guard import GuardMessage, decode_guard_message
from producers.contracts.topics import GUARD
from stream_jobs.contracts.alert import Alert, AlertBatch
from stream_jobs.contracts.spend import Spend, SpendBatch
from stream_jobs.contracts.topics import BUDGET_ALERTS, SPEND
from stream_jobs.settings import BudgetsSettings
from tests.integration.stream_jobs.harness import ROOT, wait_until

TENANT = "budgettest"
SPECS = (SPEND, SPEND.dead_letter, GUARD, BUDGET_ALERTS)


@dataclass
class Keeping:
    """Topics under a prefix, a database, and keepers as processes."""

    stack: StackSettings
    home: Path
    prefix: str = field(default_factory=lambda: f"b{uuid.uuid4().hex[:8]}.")
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make topics and database."""
        self.bootstrap = self.stack.kafka_bootstrap
        provision_topics(self.bootstrap, [replace(spec, name=self.prefix + spec.name) for spec in SPECS])
        self._url = make_url(self.stack.database_url())
        self._database = f"test_{self.prefix.rstrip('.')}"
        self._as_owner(f'CREATE DATABASE "{self._database}"')
        self.dsn = self._url.set(database=self._database).render_as_string(hide_password=False)
        self.environment = {
            "CLAWTRACE_HOME": str(self.home),
            "CLAWTRACE_POSTGRES_DSN": self.dsn,
            "CLAWTRACE_KAFKA_BOOTSTRAP": self.bootstrap,
            "CLAWTRACE_TOPIC_PREFIX": self.prefix,
            "CLAWTRACE_BUDGETS_LOOK_SECONDS": "0.1",
            "CLAWTRACE_BUDGETS_STANDBY_SECONDS": "0.1",
        }
        self.engine: Engine = make_engine(self.settings())
        migrate(self.engine)
        self._producer = Producer(
            {"bootstrap.servers": self.bootstrap, "linger.ms": 0, "acks": "all", "enable.idempotence": True}
        )
        self._revs: dict[int, int] = defaultdict(int)
        # What was sent, by agent: the ledger that counters must agree with.
        self.ledger: dict[str, Decimal] = defaultdict(Decimal)
        self._sent: list[tuple[int, bytes]] = []

    def settings(self) -> BudgetsSettings:
        """Settings of a keeper, for use inside the test's own process."""
        values = {name.removeprefix("CLAWTRACE_").lower(): value for name, value in self.environment.items()}
        return BudgetsSettings(**values)  # type: ignore[arg-type]

    def spend(self, agent_id: str, usd: str, *, partition: int = 0, at_us: int | None = None) -> None:
        """Put one spend into the topic, as the stitcher does."""
        now_us = time.time_ns() // 1000
        self._revs[partition] += 1
        rev = self._revs[partition]
        one = Spend(
            trace_id="t1",
            span_id=f"s{partition}-{rev}",
            run_id="r1",
            session_key="agent:main:main",
            openclaw_agent_id="main",
            at_us=now_us if at_us is None else at_us,
            cost_usd=Decimal(usd),
            num_tokens=100,
        )
        batch = SpendBatch(tenant_id=TENANT, agent_id=agent_id, rev=rev, received_at_us=now_us, spends=[one])
        self.ledger[agent_id] += Decimal(usd)
        value = msgspec.json.encode(batch)
        self._sent.append((partition, value))
        self.put(partition, value)

    def put(self, partition: int, value: bytes) -> None:
        """Put a record into the spend topic."""
        self._producer.produce(self.prefix + SPEND.name, value, b"k", partition)
        self._producer.poll(0)

    def send_again(self, num_records: int) -> None:
        """Send the last records once more, as a stitcher that was killed does."""
        for partition, value in self._sent[-num_records:]:
            self.put(partition, value)
        self.flush()

    def flush(self) -> None:
        """Wait until all is in the topic."""
        assert self._producer.flush(20) == 0

    def start(self) -> subprocess.Popen[bytes]:
        """Start a keeper by the command that users and the supervisor use."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            base = int(probe.getsockname()[1]) - PORT_OFFSETS["budgets_metrics"]
        environment = {**os.environ, **self.environment, "CLAWTRACE_PORT_BASE": str(base)}
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "budgets.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "api.cli", "budgets", "run"], cwd=ROOT, env=environment, stdout=log, stderr=log
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
            timeout=60,
        )

    def is_ready(self) -> bool:
        """Whether the newest keeper says that it keeps."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port_base + PORT_OFFSETS['budgets_metrics']}/readyz", timeout=2):
                return True
        except (URLError, OSError):
            return False

    def metric(self, sample: str) -> float:
        """Value of a sample of its /metrics; 0 when it has none."""
        url = f"http://127.0.0.1:{self.port_base + PORT_OFFSETS['budgets_metrics']}/metrics"
        with urlopen(url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} ")), 0.0)

    def log(self) -> str:
        """The end of what keepers logged."""
        return (self.home / "budgets.log").read_text()[-3000:]

    def counted(self) -> dict[str, Decimal]:
        """What Postgres says was spent, by agent."""
        with self.engine.connect() as connection:
            rows = connection.execute(
                sa.text("SELECT agent_id, sum(cost_usd) FROM control.spend_buckets GROUP BY agent_id")
            )
            return {row[0]: row[1] for row in rows}

    def wait_counted(self, within_s: float = 60) -> None:
        """Wait until all that was sent is counted and all that is to be told is sent."""
        self.flush()
        wait_until(lambda: self.counted() == dict(self.ledger), "all is counted", within_s, self.log)
        wait_until(lambda: self.num_unsent() == 0, "all is told", within_s, self.log)

    def num_unsent(self) -> int:
        """Records that wait to be sent."""
        with self.engine.connect() as connection:
            unsent = sa.text("SELECT count(*) FROM control.budget_outbox WHERE sent_at IS NULL")
            return int(connection.scalar(unsent) or 0)

    def alerts(self) -> list[Alert]:
        """Alerts as the sink takes them: what is not above the mark of its partition is dropped."""
        marks: dict[int, tuple[int, int]] = {}
        found: dict[tuple[int, int], list[Alert]] = {}
        for partition, value in self._read(BUDGET_ALERTS.name):
            batch = msgspec.json.decode(value, type=AlertBatch)
            mark = (batch.rev, batch.part)
            if mark > marks.get(partition, (-1, -1)):
                marks[partition] = mark
                found[mark] = batch.alerts
            else:
                assert found[mark] == batch.alerts, "sent again with other bytes, or out of order"
        return [alert for mark in sorted(found) for alert in found[mark]]

    def told(self) -> list[GuardMessage]:
        """What guards were told, partition by partition, repetitions included."""
        return [decode_guard_message(value) for _, value in self._read(GUARD.name)]

    def dead_letters(self) -> list[bytes]:
        """Spend records that nobody could read."""
        return [value for _, value in self._read(SPEND.dead_letter.name)]

    def _read(self, topic: str) -> Iterator[tuple[int, bytes]]:
        name = self.prefix + topic
        reader = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "tests", "enable.auto.commit": False})
        try:
            partitions = reader.list_topics(name, timeout=10).topics[name].partitions
            ends = {p: reader.get_watermark_offsets(TopicPartition(name, p), timeout=10)[1] for p in partitions}
            left = sum(ends.values())
            reader.assign([TopicPartition(name, p, OFFSET_BEGINNING) for p, end in ends.items() if end])
            deadline = time.monotonic() + 30
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
        self._as_owner(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self._database}'")

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
                process.wait(10)
        self.engine.dispose()
        self._end_connections()
        self._as_owner(f'DROP DATABASE "{self._database}"')
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.delete_topics([self.prefix + spec.name for spec in SPECS]).values():
            future.exception(10)
