"""Creates and verifies topics from their specs.

Upstream: the TopicSpec lists of the stages.
Downstream: ``clawtrace topics provision``, ``clawtrace up``, tests.
Guarantee: running it again changes nothing; a topic whose partition count differs is refused, never altered, because
more partitions would move keys and break the order of an agent's events.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs export nothing by name
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from infra.runtime.kafka_security import kafka_connection
from infra.runtime.topics import TopicSpec

TIMEOUT_S: Final = 15.0
LEADER_RETRY_S: Final = 0.1
# -1: the broker's own default, so that one spec fits a laptop and a cluster.
BROKER_DEFAULT_REPLICATION: Final = -1


class KafkaAway(Exception):
    """The broker cannot be reached; the text says what to do."""


class TopicMismatch(Exception):
    """A topic exists but is not what its spec says; the text names the difference."""


@dataclass(frozen=True, slots=True)
class ProvisionedTopic:
    """What was done to one topic."""

    name: str
    action: Literal["created", "updated", "unchanged"]
    partitions: int


def provision_topics(bootstrap: str, specs: Sequence[TopicSpec]) -> list[ProvisionedTopic]:
    """Create the topics that are missing and set the retention and config that differ.

    Raises:
        KafkaAway: the broker does not answer.
        TopicMismatch: a topic has another number of partitions than its spec.
    """
    admin = _admin(bootstrap)
    existing = _partition_counts(admin, bootstrap)
    wrong = [
        f"{spec.name} has {existing[spec.name]} partitions, its spec says {spec.partitions}"
        for spec in specs
        if existing.get(spec.name, spec.partitions) != spec.partitions
    ]
    if wrong:
        raise TopicMismatch("; ".join(wrong) + ". Move to a new topic version instead of changing this one.")
    try:
        new = [spec for spec in specs if spec.name not in existing]
        created = _create(admin, new)
        _wait_for_leaders(bootstrap, new)
        updated = _align(admin, [spec for spec in specs if spec.name not in created])
    except KafkaException as error:
        raise _away(bootstrap, error) from error
    return [
        ProvisionedTopic(
            name=spec.name,
            action="created" if spec.name in created else "updated" if spec.name in updated else "unchanged",
            partitions=spec.partitions,
        )
        for spec in specs
    ]


def missing_topics(bootstrap: str, names: Iterable[str]) -> list[str]:
    """Return which of these topics do not exist.

    Raises:
        KafkaAway: the broker does not answer.
    """
    existing = _partition_counts(_admin(bootstrap), bootstrap)
    return [name for name in names if name not in existing]


def read_topic_config(bootstrap: str, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the configuration of these topics, defaults of the broker included; topics that do not exist are left out.

    Raises:
        KafkaAway: the broker does not answer.
    """
    admin = _admin(bootstrap)
    existing = _partition_counts(admin, bootstrap)
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names if name in existing]
    try:
        found = admin.describe_configs(resources) if resources else {}
        return {
            resource.name: {key: entry.value for key, entry in future.result(TIMEOUT_S).items()}
            for resource, future in found.items()
        }
    except KafkaException as error:
        raise _away(bootstrap, error) from error


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient(_configuration(bootstrap))


def _configuration(bootstrap: str) -> dict[str, Any]:
    return {
        **kafka_connection(bootstrap),
        "socket.timeout.ms": int(TIMEOUT_S * 1000),
        # Otherwise it writes its own notes to stderr, in the middle of a command's output.
        "logger": logging.getLogger("librdkafka"),
    }


def _away(bootstrap: str, error: KafkaException) -> KafkaAway:
    reason = error.args[0].str() if error.args else str(error)
    return KafkaAway(f"Kafka at {bootstrap} does not answer ({reason}); is the stack running? (make up)")


def _partition_counts(admin: AdminClient, bootstrap: str) -> dict[str, int]:
    try:
        metadata = admin.list_topics(timeout=TIMEOUT_S)
    except KafkaException as error:
        raise _away(bootstrap, error) from error
    return {name: len(topic.partitions) for name, topic in metadata.topics.items() if topic.error is None}


def _wanted_config(spec: TopicSpec) -> dict[str, str]:
    return {"retention.ms": str(spec.retention_ms), **spec.config}


def _create(admin: AdminClient, specs: Sequence[TopicSpec]) -> set[str]:
    """Create topics; while a cluster starts its brokers come one by one, and are asked for when all are needed."""
    deadline = time.monotonic() + TIMEOUT_S
    created: set[str] = set()
    while True:
        left = _try_to_create(admin, [spec for spec in specs if spec.name not in created])
        created = {spec.name for spec in specs} - set(left)
        if not left:
            return created
        if time.monotonic() > deadline:
            name, words = next(iter(left.items()))
            raise TopicMismatch(f"{name} could not be created: {words}")
        time.sleep(LEADER_RETRY_S)


def _try_to_create(admin: AdminClient, specs: Sequence[TopicSpec]) -> dict[str, str]:
    """Create topics; return those that need more brokers than there are by now, with the broker's words."""
    if not specs:
        return {}
    left = {}
    futures = admin.create_topics(
        [
            NewTopic(
                spec.name,
                num_partitions=spec.partitions,
                replication_factor=BROKER_DEFAULT_REPLICATION,
                config=_wanted_config(spec),
            )
            for spec in specs
        ],
        operation_timeout=TIMEOUT_S,
    )
    for name, future in futures.items():
        try:
            future.result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].name() == "INVALID_REPLICATION_FACTOR":
                left[name] = str(error.args[0].str())
            # Somebody else made it in between, from the same specs.
            elif error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                raise TopicMismatch(f"{name} could not be created: {error.args[0].str()}") from error
    return left


def _wait_for_leaders(bootstrap: str, specs: Sequence[TopicSpec]) -> None:
    """Wait until every partition of new topics answers.

    The broker says that a topic is there before its partitions have leaders; whoever uses them in between gets
    errors, and a writer that tries again may put records in another order than it meant.
    """
    if not specs:
        return
    deadline = time.monotonic() + TIMEOUT_S
    consumer = Consumer({**_configuration(bootstrap), "group.id": "clawtrace.provision"})
    try:
        for place in [TopicPartition(spec.name, number) for spec in specs for number in range(spec.partitions)]:
            while True:
                try:
                    consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)
                    break
                except KafkaException:
                    # librdkafka does not mark "not leader" as worth trying again, so no error is told from another.
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(LEADER_RETRY_S)
    finally:
        consumer.close()


def _align(admin: AdminClient, specs: Sequence[TopicSpec]) -> set[str]:
    """Set what differs from the spec, and nothing else; return the names of changed topics."""
    if not specs:
        return set()
    resources = {spec.name: ConfigResource(ResourceType.TOPIC, spec.name) for spec in specs}
    found = {
        resource.name: future.result(TIMEOUT_S)
        for resource, future in admin.describe_configs(list(resources.values())).items()
    }
    changes = []
    for spec in specs:
        current = found[spec.name]
        wrong = {
            key: value
            for key, value in _wanted_config(spec).items()
            if key not in current or current[key].value != value
        }
        if wrong:
            entries = [
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in wrong.items()
            ]
            changes.append(ConfigResource(ResourceType.TOPIC, spec.name, incremental_configs=entries))
    if changes:
        for future in admin.incremental_alter_configs(changes).values():
            future.result(TIMEOUT_S)
    return {resource.name for resource in changes}
