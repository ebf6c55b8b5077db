"""A gateway of its own, on a free port, with topics of its own, over the real broker and the real Postgres."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from sqlalchemy import Engine

from infra.runtime.access_keys import create_key, read_pepper
from infra.runtime.database import make_engine, migrate
from infra.runtime.kafka import provision_topics
from infra.runtime.settings import StackSettings
from infra.runtime.topics import TopicSpec
from producers.contracts.event import EventBatch, decode_event_batch
from producers.contracts.topics import EVENTS, GUARD
from tests.captures import ROOT
from tests.ports import free_port

READY_WITHIN_S = 120.0
KAFKA_TIMEOUT_S = 30.0


@pytest.fixture(scope="session")
def broker_and_database(request: pytest.FixtureRequest) -> StackSettings:
    """Settings of a stack. One that runs already is used as it is: these tests need only its broker and Postgres."""
    if home := os.environ.get("CLAWTRACE_TEST_HOME"):
        return StackSettings(home=Path(home), port_base=int(os.environ["CLAWTRACE_TEST_PORT_BASE"]))
    settings = request.getfixturevalue("stack")
    assert isinstance(settings, StackSettings)
    return settings


@pytest.fixture(scope="session")
def engine(broker_and_database: StackSettings) -> Iterator[Engine]:
    """The real Postgres, migrated."""
    engine = make_engine(broker_and_database)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def new_key(engine: Engine, broker_and_database: StackSettings) -> Callable[..., tuple[str, str]]:
    """Make a key: ``new_key(agent_id, scope)`` returns its text and its id."""

    def make(agent_id: str = "gateway-test", scope: str = "ingest") -> tuple[str, str]:
        pepper = read_pepper(broker_and_database.key_pepper_file)
        made = create_key(engine, pepper, tenant_id="gatewaytest", agent_id=agent_id, scope=scope)
        return made.key, made.principal.key_id

    return make


@dataclass(frozen=True)
class Topic:
    """The events topic of one gateway and its dead letters, as a reader sees them."""

    bootstrap: str
    spec: TopicSpec

    def records(self, *, dead_letters: bool = False) -> list[Message]:
        """Read all that is there, partition by partition."""
        name = self.spec.dead_letter.name if dead_letters else self.spec.name
        consumer = Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": f"test-{uuid.uuid4()}", "enable.auto.commit": False}
        )
        try:
            partitions = [
                TopicPartition(name, number, 0)
                for number in consumer.list_topics(name, timeout=KAFKA_TIMEOUT_S).topics[name].partitions
            ]
            num_there = sum(
                consumer.get_watermark_offsets(partition, timeout=KAFKA_TIMEOUT_S)[1] for partition in partitions
            )
            consumer.assign(partitions)
            found: list[Message] = []
            deadline = time.monotonic() + READY_WITHIN_S
            while len(found) < num_there:
                assert time.monotonic() < deadline, f"only {len(found)} of {num_there} records"
                consumed = consumer.consume(num_there - len(found), timeout=1)
                found += [message for message in consumed if message.error() is None]
            return found
        finally:
            consumer.close()

    def batches(self) -> list[EventBatch]:
        """Read and decode all batches."""
        return [decode_event_batch(record.value() or b"") for record in self.records()]


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    url: str
    process: subprocess.Popen[bytes]
    topic: Topic
    guard_topic: str = ""


@contextmanager
def running_gateway(
    settings: StackSettings,
    *,
    with_topic: bool = True,
    guard_topic: str = "",
    variables: dict[str, str] | None = None,
) -> Iterator[Gateway]:
    """Start a gateway process by the command that users and the supervisor use; stop it at the end."""
    prefix = f"gatewaytest.{uuid.uuid4().hex[:8]}"
    name = f"{prefix}.events"
    topic = Topic(settings.kafka_bootstrap, replace(EVENTS, name=name))
    guard = replace(GUARD, name=guard_topic or f"{prefix}.guard")
    if with_topic:
        provision_topics(settings.kafka_bootstrap, [topic.spec, topic.spec.dead_letter, guard])
    port = free_port()
    environment = {
        **os.environ,
        "CLAWTRACE_HOME": str(settings.home),
        "CLAWTRACE_PORT_BASE": str(settings.port_base),
        "CLAWTRACE_GATEWAY_EVENTS_TOPIC": name,
        "CLAWTRACE_GATEWAY_GUARD_TOPIC": guard.name,
        # Tests look at whole topics; the one of the clock sets this itself.
        "CLAWTRACE_GATEWAY_TICK_S": "0",
        **(variables or {}),
    }
    command = [sys.executable, "-m", "api.cli", "gateway", "run", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    gateway = Gateway(f"http://127.0.0.1:{port}", process, topic, guard.name)
    try:
        wait_for(lambda: _answers(gateway.url, "/readyz" if with_topic else "/healthz"), "the gateway is up")
        yield gateway
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(READY_WITHIN_S)
        admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
        # A guard topic that was given belongs to whoever gave it.
        own = [name, topic.spec.dead_letter.name, *([] if guard_topic else [guard.name])]
        for deleted in admin.delete_topics(own).values():
            deleted.exception(KAFKA_TIMEOUT_S)


def _answers(url: str, path: str) -> bool:
    try:
        return httpx2.get(url + path, trust_env=False, timeout=KAFKA_TIMEOUT_S).status_code == 200
    except httpx2.TransportError:
        return False


def wait_for(good: Callable[[], bool], what: str, within_s: float = READY_WITHIN_S) -> float:
    """Ask until it is so; return how long that took."""
    started = time.monotonic()
    while not good():
        assert time.monotonic() < started + within_s, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - started


@pytest.fixture(scope="session")
def gateway(broker_and_database: StackSettings, engine: Engine) -> Iterator[Gateway]:
    """One gateway for all tests that do not break it."""
    with running_gateway(broker_and_database) as gateway:
        yield gateway


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx2.Client]:
    """A client of that gateway."""
    with httpx2.Client(base_url=gateway.url, trust_env=False, timeout=READY_WITHIN_S) as client:
        yield client
