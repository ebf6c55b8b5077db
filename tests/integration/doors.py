"""The public doors of a running stack, as tests use them: send events, ask in SQL, wait until all is stored."""

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import httpx2
from confluent_kafka import Consumer, Message, TopicPartition
from pyiceberg.catalog import Catalog

from infra.runtime.kafka_security import kafka_connection
from infra.runtime.settings import StackSettings
from infra.runtime.trino_connection import connect
from lakehouse.catalog.connect import connect_catalog
from lakehouse.settings import LakeSettings
from lakehouse.sink.feeds import FEEDS
from lakehouse.sink.progress import PROPERTY
from producers.contracts.event import decode_event_batch

Found = TypeVar("Found")
DEADLINE_S = 120.0
KAFKA_TIMEOUT_S = 30.0
POLL_EVERY_S = 0.3
# What comes of events, and no other process writes.
SINK_TOPICS = (
    "clawtrace.events.v1", "clawtrace.spans.v1", "clawtrace.traces.v1", "clawtrace.alerts.v1", "clawtrace.cards.v1",
)  # fmt: skip
READS = [(table, feed.topic) for feed in FEEDS if feed.topic in SINK_TOPICS for table in feed.tables]


def wait_until(
    ask: Callable[[], Found], good: Callable[[Found], bool], what: str, within_s: float = DEADLINE_S
) -> Found:
    """Ask again and again until the answer is good; fail with the last answer when time is up."""
    deadline = time.monotonic() + within_s
    while True:
        found = ask()
        if good(found):
            return found
        assert time.monotonic() < deadline, f"{what}: not within {within_s:.0f} s; last seen: {found!r:.2000}"
        time.sleep(POLL_EVERY_S)


def wire_batch(lines: Sequence[dict[str, Any]], spool_id: str, first_seq: int = 0) -> dict[str, Any]:
    """Make the body of ``POST /v1/events`` from lines of a capture."""
    return {
        "schema_version": 1,
        "source": {"name": "openclaw-capture", "version": "1", "host_version": "2026.9.6"},
        "spool_id": spool_id,
        "events": [
            {
                "seq": first_seq + number,
                "at_us": line["tsMs"] * 1000,
                "hook": line["hook"],
                "event": line["event"],
                "ctx": line["ctx"],
            }
            for number, line in enumerate(lines)
        ],
    }


def spool_id_of(*names: str) -> str:
    """A spool id that depends on nothing but the names."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(names)))


@dataclass(frozen=True)
class Doors:
    """Gateway, API and Kafka of one running stack."""

    stack: StackSettings
    client: httpx2.Client

    def send(self, key: str, body: dict[str, Any]) -> httpx2.Response:
        """POST a wire batch with an ingest key."""
        return self.send_raw(key, json.dumps(body).encode())

    def send_raw(self, key: str, body: bytes, **headers: str) -> httpx2.Response:
        """POST bytes with an ingest key."""
        return self.client.post(
            f"{self.stack.gateway_url}/v1/events",
            content=body,
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers},
        )

    def get(self, key: str, path: str, **parameters: Any) -> httpx2.Response:
        """GET from the API with a read key."""
        return self.client.get(
            f"{self.stack.api_url}{path}", params=parameters, headers={"Authorization": f"Bearer {key}"}
        )

    def sql(self, key: str, statement: str) -> list[dict[str, Any]]:
        """Ask in SQL through the API as the key's tenant; rows as dictionaries."""
        answer = self.client.post(
            f"{self.stack.api_url}/v1/sql", json={"sql": statement}, headers={"Authorization": f"Bearer {key}"}
        )
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert not found["truncated"], "the test's question was cut; make it smaller"
        names = [column["name"] for column in found["columns"]]
        return [dict(zip(names, row, strict=True)) for row in found["rows"]]

    def operator_rows(self, statement: str) -> list[list[Any]]:
        """Ask Trino as the operator, who sees the silver tables of all tenants."""
        connection = connect(self.stack, "operator")
        try:
            return list(connection.cursor().execute(statement).fetchall())
        finally:
            connection.close()

    def end_offsets(self, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        """Where each partition ends now."""
        consumer = Consumer({**kafka_connection(self.stack.kafka_bootstrap, self.stack), "group.id": "tests"})
        try:
            ends = {}
            for topic in topics:
                for partition in consumer.list_topics(topic, timeout=KAFKA_TIMEOUT_S).topics[topic].partitions:
                    _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=KAFKA_TIMEOUT_S)
                    ends[topic, partition] = end
            return ends
        finally:
            consumer.close()

    def records_since(self, starts: dict[tuple[str, int], int]) -> list[Message]:
        """Records that lie behind these offsets now, partition by partition."""
        consumer = Consumer({**kafka_connection(self.stack.kafka_bootstrap, self.stack), "group.id": "tests"})
        found: list[Message] = []
        try:
            for (topic, partition), end in self.end_offsets(sorted({topic for topic, _ in starts})).items():
                position, deadline = starts[topic, partition], time.monotonic() + DEADLINE_S
                consumer.assign([TopicPartition(topic, partition, position)])
                while position < end:
                    assert time.monotonic() < deadline, f"could not read {topic}"
                    for message in consumer.consume(500, 0.2):
                        if message.error() is None:
                            position = (message.offset() or 0) + 1
                            found.append(message)
            return found
        finally:
            consumer.close()

    def ends_before_ticks(self, ends: dict[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        """Where the events end when the ticks of the clock behind them do not count: the tables wait for no tick."""
        consumer = Consumer({**kafka_connection(self.stack.kafka_bootstrap, self.stack), "group.id": "tests"})
        found: dict[tuple[str, int], int] = {}
        try:
            for (topic, partition), end in ends.items():
                start = max(0, end - 500)
                consumer.assign([TopicPartition(topic, partition, start)])
                found[topic, partition], position, deadline = 0, start, time.monotonic() + DEADLINE_S
                while position < end:
                    assert time.monotonic() < deadline, f"could not read {topic}"
                    for message in consumer.consume(500, 0.2):
                        if message.error() is not None:
                            continue
                        position = (message.offset() or 0) + 1
                        if position <= end and not decode_event_batch(message.value() or b"").is_tick:
                            found[topic, partition] = position
            return found
        finally:
            consumer.close()

    def stitched_offsets(self) -> dict[int, int]:
        """Where the stitcher's group stands in the events."""
        connection = kafka_connection(self.stack.kafka_bootstrap, self.stack)
        consumer = Consumer({**connection, "group.id": "clawtrace.stitcher"})
        try:
            topic = "clawtrace.events.v1"
            partitions = [
                TopicPartition(topic, p)
                for p in consumer.list_topics(topic, timeout=KAFKA_TIMEOUT_S).topics[topic].partitions
            ]
            return {
                found.partition: max(found.offset, 0)
                for found in consumer.committed(partitions, timeout=KAFKA_TIMEOUT_S)
            }
        finally:
            consumer.close()

    @cached_property
    def _catalog(self) -> Catalog:
        return connect_catalog(LakeSettings(**{name: getattr(self.stack, name) for name in StackSettings.model_fields}))

    def stored_offsets(self) -> dict[tuple[str, str, int], int]:
        """Next offset of every table, topic and partition, as the tables themselves say.

        Past Trino: waiting must not cost more than what is waited for.
        """
        stored = {}
        for table in sorted({table for table, _ in READS}):
            state = json.loads(self._catalog.load_table(("silver", table)).properties.get(PROPERTY, '{"sources": {}}'))
            for topic, source in state["sources"].items():
                for partition, offset in source["next_offset"].items():
                    stored[table, topic, int(partition)] = offset
        return stored

    def wait_until_stored(self) -> None:
        """Wait until every event sent so far is stitched, and every output of that is in the tables."""
        ends = self.end_offsets(["clawtrace.events.v1"])
        wanted = {partition: end for (_, partition), end in ends.items()}
        wait_until(
            self.stitched_offsets,
            lambda found: all(found.get(partition, 0) >= end for partition, end in wanted.items()),
            "events stitched",
        )
        outputs = self.end_offsets(SINK_TOPICS) | self.ends_before_ticks(ends)
        wait_until(
            self.stored_offsets,
            lambda found: all(
                found.get((table, topic, partition), 0) >= end
                for (topic, partition), end in outputs.items()
                for table, source in READS
                if source == topic
            ),
            "outputs stored",
        )
