"""Watches that note when something can be seen: an alert in its topic, a row in an answer of Trino.

Upstream: the stack of the bench.
Downstream: ``latency``, ``recovery``.
Guarantee: an instant is that of this machine's clock when the thing was in hand, never earlier.
"""

import threading
import time

import msgspec
from confluent_kafka import Consumer, TopicPartition

from stream_jobs.contracts.alert import AlertBatch
from tests.bench.world import TENANT
from tests.integration.doors import Doors

ALERTS_TOPIC = "clawtrace.alerts.v1"


class AlertWatch:
    """Notes when the alert of each trace lies in the topic."""

    def __init__(self, doors: Doors) -> None:
        """Start at the end of the topic."""
        self._consumer = Consumer(
            {"bootstrap.servers": doors.stack.kafka_bootstrap, "group.id": "bench", "fetch.wait.max.ms": 10}
        )
        ends = doors.end_offsets([ALERTS_TOPIC])
        self._consumer.assign([TopicPartition(topic, partition, end) for (topic, partition), end in ends.items()])
        self.seen_at: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        decoder = msgspec.json.Decoder(AlertBatch)
        while not self._stop.is_set():
            record = self._consumer.poll(0.05)
            if record is None or record.error():
                continue
            now = time.time()
            for alert in decoder.decode(record.value()).alerts:
                self.seen_at.setdefault(alert.trace_id or "", now)
        self._consumer.close()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()


class RowWatch:
    """Asks Trino again and again which of the probes it can see."""

    def __init__(self, doors: Doors) -> None:
        """Start asking."""
        self._doors = doors
        self.waiting: set[str] = set()
        self.seen_at: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            waiting = sorted(self.waiting - self.seen_at.keys())
            if not waiting:
                continue
            wanted = ", ".join(f"'{trace_id}'" for trace_id in waiting)
            rows = self._doors.operator_rows(
                "SELECT DISTINCT trace_id FROM iceberg.clawtrace.spans "
                f"WHERE tenant_id = '{TENANT}' AND trace_id IN ({wanted})"
            )
            now = time.time()
            self.seen_at.update({trace_id: now for (trace_id,) in rows})

    def close(self) -> None:
        """Stop asking."""
        self._stop.set()
        self._thread.join()
