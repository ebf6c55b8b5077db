"""What a Kafka topic is, said once: the shape every stage declares its topics in.

Upstream: nothing.
Downstream: the ``contracts/topics.py`` of each stage; the provisioner that creates and verifies topics.
Guarantee: a spec holds all that is needed to create a topic, so that no topic is ever made by accident.
"""

from dataclasses import dataclass, field

DAY_MS = 86_400_000
# Below Kafka's default of 1 MiB and Faust's producer limit of 1,000,000 bytes.
MAX_RECORD_BYTES = 900_000


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic.

    ``record_type`` is the msgspec struct of the value, None for dead letters (raw bytes as they came).
    ``readers`` names the processes that consume it.
    """

    name: str
    record_type: type | None
    description: str
    readers: tuple[str, ...]
    partitions: int = 4
    retention_ms: int = 7 * DAY_MS
    config: dict[str, str] = field(default_factory=dict)

    @property
    def dead_letter(self) -> "TopicSpec":
        """The topic that keeps, byte for byte, the records of this one that nobody could read."""
        return TopicSpec(
            name=f"{self.name}.dlq",
            record_type=None,
            description=f"Records of {self.name} nobody could read: raw bytes, reason in headers.",
            readers=("clawtrace dlq",),
            partitions=1,
            retention_ms=30 * DAY_MS,
        )
