"""Topics of a test's own with their dead letters, and the command over them."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner, Result

from api.console.dlq import dlq_app
from infra.runtime.kafka import provision_topics
from infra.runtime.settings import StackSettings
from producers.contracts.topics import TOPICS as PRODUCER_TOPICS
from stream_jobs.contracts.topics import TOPICS as STREAM_TOPICS

Headers = dict[str, str]


@dataclass(frozen=True)
class Message:
    """One record."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Headers


@dataclass
class DeadLetterBox:
    """All topics under a prefix of their own, on the shared broker; nobody else reads them."""

    stack: StackSettings
    prefix: str

    def put(self, topic: str, partition: int, value: bytes, headers: Headers, key: bytes | None = None) -> int:
        """Write one record; return its offset."""
        offsets: list[int] = []
        producer = Producer({"bootstrap.servers": self.stack.kafka_bootstrap, "linger.ms": 0})
        producer.produce(
            self.prefix + topic,
            value,
            key,
            partition,
            headers=[(name, text.encode()) for name, text in headers.items()],
            on_delivery=lambda error, message: offsets.append(message.offset() or 0) if error is None else None,
        )
        assert producer.flush(20) == 0
        assert len(offsets) == 1
        return offsets[0]

    def bury(self, stage: str, value: bytes, partition: int, offset: int, *, topic: str, key: bytes | None) -> str:
        """Write a dead letter as a consumer does; return its name."""
        headers = {
            "stage": stage,
            "reason": f"{stage} cannot read it",
            "original_topic": self.prefix + topic,
            "original_partition": str(partition),
            "original_offset": str(offset),
        }
        return f"{self.prefix}{topic}.dlq/0/{self.put(f'{topic}.dlq', 0, value, headers, key)}"

    def read(self, topic: str) -> list[Message]:
        """Everything in a topic."""
        name = self.prefix + topic
        reader = Consumer({"bootstrap.servers": self.stack.kafka_bootstrap, "group.id": "tests"})
        try:
            found: list[Message] = []
            for partition in sorted(reader.list_topics(name, timeout=10).topics[name].partitions):
                _, end = reader.get_watermark_offsets(TopicPartition(name, partition), timeout=10)
                reader.assign([TopicPartition(name, partition, OFFSET_BEGINNING)])
                position = 0
                while position < end:
                    for message in reader.consume(100, 0.2):
                        assert message.error() is None
                        position = (message.offset() or 0) + 1
                        given: Any = message.headers() or []
                        headers = {header: text.decode() for header, text in given}
                        key: Any = message.key()
                        found.append(Message(partition, position - 1, key, message.value() or b"", headers))
            return found
        finally:
            reader.close()

    def dlq(self, *arguments: str) -> Result:
        """Run ``clawtrace dlq``."""
        environment = {
            "CLAWTRACE_HOME": str(self.stack.home),
            "CLAWTRACE_PORT_BASE": str(self.stack.port_base),
            "CLAWTRACE_TOPIC_PREFIX": self.prefix,
        }
        return CliRunner().invoke(dlq_app, list(arguments), env=environment)

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        """Letters, as the command lists them."""
        done = self.dlq("list", "--json", *arguments)
        assert done.exit_code == 0, done.output
        return list(json.loads(done.stdout)["letters"])

    def replay(self, *arguments: str, code: int = 0) -> dict[str, tuple[str, str]]:
        """Outcome and note of each letter."""
        done = self.dlq("replay", "--json", *arguments)
        assert done.exit_code == code, done.output
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return {line["letter"]: (line["outcome"], line["note"]) for line in lines}


@pytest.fixture
def box(stack: StackSettings) -> Iterator[DeadLetterBox]:
    """Make the topics, and delete them afterwards."""
    prefix = f"dlq{secrets.token_hex(4)}."
    specs = [
        replace(spec, name=prefix + spec.name, partitions=min(spec.partitions, 2))
        for spec in (*PRODUCER_TOPICS, *STREAM_TOPICS)
    ]
    provision_topics(stack.kafka_bootstrap, specs)
    yield DeadLetterBox(stack, prefix)
    admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap})
    for deleted in admin.delete_topics([spec.name for spec in specs]).values():
        deleted.result(20)
