"""R1: events a second that the gateway takes and the broker has, against a bare producer that writes the same bytes.

Upstream: a gateway of its own on the broker of the stack, so that nobody reads along what is sent.
Downstream: ``tests.bench``.
Guarantee: the baseline is confluent-kafka in a loop with the gateway's own settings (acks=all, idempotent, lz4) and
writes the very records that the gateway writes; a second one writes each event as a record of its own, as who has no
batches must. Ledger: what was acknowledged is in the topics.
"""

import http.client
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.runtime.kafka import provision_topics
from infra.runtime.topics import TopicSpec
from producers.contracts.event import EventBatch, decode_event_batch, encode_event_batch
from producers.contracts.wire import IngestReceipt
from producers.gateway.batch import decode_batch, encode_records, normalise_batch
from tests.bench.harness import Check, CpuMeter, Figure, Part, percentile, take_turns
from tests.bench.wire_runs import Body, RunMaker
from tests.bench.world import World, at_rate
from tests.integration.doors import wait_until
from tests.stack import ROOT

NUM_EVENTS = 20_000
NUM_PAIRS = 5
NUM_CONNECTIONS = 8
HALF_LOAD_S = 10.0
PORT_OFFSET = 30
# The server closes what is idle for five seconds.
MAX_IDLE_S = 2.0
FLUSH_WITHIN_S = 60.0
GOAL_R1 = 0.5
GOAL_ACK_MS = 50.0


class Door:
    """The gateway's door over connections that stay open; one for each thread that sends."""

    def __init__(self, port: int, key: str) -> None:
        """``key`` names the agent."""
        self._port = port
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._local = threading.local()

    def send(self, body: Body) -> int:
        """Send one body; return how many of its events were acknowledged."""
        connection, used_s = getattr(self._local, "connection", None), getattr(self._local, "used_s", 0.0)
        if connection is None or time.monotonic() - used_s > MAX_IDLE_S:
            if connection is not None:
                connection.close()
            connection = self._local.connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        self._local.used_s = time.monotonic()
        connection.request("POST", "/v1/events", body.value, self._headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 202:
            raise RuntimeError(f"the gateway answered {answer.status}: {text[:300]!r}")
        return msgspec.json.decode(text, type=IngestReceipt).accepted


def records_of(bodies: Sequence[Body]) -> list[bytes]:
    """The records that the gateway writes for these bodies."""
    records: list[bytes] = []
    for body in bodies:
        wire = decode_batch(body.value)
        if wire is None:
            raise RuntimeError("a body of the bench is no JSON")
        events, aside = normalise_batch(wire.spool_id, wire.events)
        if aside:
            raise RuntimeError(f"an event of the bench is refused: {aside[0].rejection.error}")
        batch = EventBatch(
            tenant_id="benchten",
            agent_id="agent-0",
            source=wire.source,
            spool_id=wire.spool_id,
            received_at_us=time.time_ns() // 1000,
            events=events,
        )
        records += encode_records(batch)
    return records


def records_of_one(records: Sequence[bytes]) -> list[bytes]:
    """The same events, each in a record of its own."""
    batches = [decode_event_batch(record) for record in records]
    return [
        encode_event_batch(msgspec.structs.replace(batch, events=[event]))
        for batch in batches
        for event in batch.events
    ]


class BareProducer:
    """confluent-kafka in a loop."""

    def __init__(self, bootstrap: str, topic: str, records: Sequence[bytes], num_events: int) -> None:
        """All records have one key, as those of one agent."""
        self._topic, self._records, self._num_events = topic, records, num_events
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 5,
                "compression.type": "lz4",
                "message.max.bytes": 1_000_000,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self.num_sent = 0

    def round(self) -> float:
        """Write all; return the events a second, from the first call to the last acknowledgement."""
        produce, poll = self._producer.produce, self._producer.poll
        failures = []

        def reported(error: object, _: object) -> None:
            if error is not None:
                failures.append(error)

        started = time.perf_counter()
        for record in self._records:
            produce(self._topic, record, b"benchten|agent-0", on_delivery=reported)
            poll(0)
        if self._producer.flush(FLUSH_WITHIN_S) or failures:
            raise RuntimeError(f"the broker did not take the records of the bench: {failures[:1]}")
        seconds = time.perf_counter() - started
        self.num_sent += self._num_events
        return self._num_events / seconds


@contextmanager
def own_gateway(world: World, topic: str) -> Iterator[tuple[int, int]]:
    """Start a gateway that writes to a topic of its own; yield its port and process id, stop it."""
    port = world.settings.port_base + PORT_OFFSET
    environment = world.environment | {"CLAWTRACE_GATEWAY_EVENTS_TOPIC": topic, "CLAWTRACE_GATEWAY_TICK_S": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "gateway", "run", "--port", str(port)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def is_ready() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"the gateway of the bench ended with {process.returncode}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    try:
        wait_until(is_ready, bool, "the gateway of the bench answers")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def num_events_in(bootstrap: str, topic: str) -> int:
    """Events that lie in a topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        places = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions]
        num_left = sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
        consumer.assign(places)
        num_events, deadline = 0, time.monotonic() + FLUSH_WITHIN_S
        while num_left > 0 and time.monotonic() < deadline:
            for message in consumer.consume(500, 0.5):
                if message.error() is None:
                    num_left -= 1
                    num_events += len(decode_event_batch(message.value() or b"").events)
        return num_events
    finally:
        consumer.close()


def measure(world: World) -> Part:
    """Run the pairs, then half load."""
    bootstrap, name = world.settings.kafka_bootstrap, f"bench{uuid.uuid4().hex[:8]}"
    topics = {kind: f"{name}.{kind}" for kind in ("gateway", "bare", "single")}
    specs = [TopicSpec(topic, EventBatch, "Records of a bench.", (), partitions=4) for topic in topics.values()]
    provision_topics(bootstrap, [*specs, specs[0].dead_letter])
    bodies = RunMaker("gateway").bodies(NUM_EVENTS)
    num_events = sum(body.num_events for body in bodies)
    records = records_of(bodies)
    bare = BareProducer(bootstrap, topics["bare"], records, num_events)
    single = BareProducer(bootstrap, topics["single"], records_of_one(records), num_events)
    num_acked = 0
    try:
        with own_gateway(world, topics["gateway"]) as (port, pid), ThreadPoolExecutor(NUM_CONNECTIONS) as pool:
            door = Door(port, world.keys[0])

            def ours() -> float:
                nonlocal num_acked
                started = time.perf_counter()
                acked = sum(pool.map(door.send, bodies))
                seconds = time.perf_counter() - started
                num_acked += acked
                return acked / seconds

            cpu = CpuMeter({"gateway": pid})
            pairs = take_turns(ours, bare.round, NUM_PAIRS)
            cpu_seconds = cpu.stop()["gateway"]
            cpu_us = cpu_seconds / num_acked * 1e6
            single_pairs = take_turns(ours, single.round, NUM_PAIRS, num_warm_up=0)
            half = pairs.median_ours / 2
            delays_ms, half_acked = _half_load(door, bodies, half)
            num_acked += half_acked
        part = Part("gateway")
        part.figures = [
            pairs.figure("R1 gateway ÷ bare producer, same records", ("≥", GOAL_R1)),
            single_pairs.figure("gateway ÷ bare producer, each event a record"),
            Figure("gateway, durable", pairs.median_ours, "events/s"),
            Figure("bare producer, same records", pairs.median_baseline, "events/s"),
            Figure("bare producer, each event a record", single_pairs.median_baseline, "events/s"),
            Figure("gateway, processor per event", cpu_us, "µs"),
            Figure("gateway ack at half load, p50", percentile(delays_ms, 0.5), "ms"),
            Figure("gateway ack at half load, p99", percentile(delays_ms, 0.99), "ms", ("≤", GOAL_ACK_MS)),
        ]
        part.ledger = [
            Check("gateway's topic", num_acked, num_events_in(bootstrap, topics["gateway"])),
            Check("bare producer's topic", bare.num_sent, num_events_in(bootstrap, topics["bare"])),
            Check("topic of single events", single.num_sent, num_events_in(bootstrap, topics["single"])),
        ]
        part.details = {"half_load_events_per_s": round(half), "num_probes": len(delays_ms)}
        return part
    finally:
        admin = AdminClient({"bootstrap.servers": bootstrap})
        for future in admin.delete_topics([*topics.values(), specs[0].dead_letter.name]).values():
            future.result(FLUSH_WITHIN_S)


def _half_load(door: Door, bodies: Sequence[Body], events_per_s: float) -> tuple[list[float], int]:
    """Send on a fixed schedule; return the delays of the acks (ms, from the planned instant) and the acked events."""
    per_s = events_per_s / (sum(body.num_events for body in bodies) / len(bodies))
    num_requests = int(per_s * HALF_LOAD_S)
    started = time.monotonic()
    delays_ms: list[float] = []

    def send(number: int) -> int:
        acked = door.send(bodies[number % len(bodies)])
        delays_ms.append((time.monotonic() - started - number / per_s) * 1000)
        return acked

    # More threads than are ever busy: a schedule that waits for its own answers would hide a stall.
    with ThreadPoolExecutor(4 * NUM_CONNECTIONS) as pool:
        futures = []
        at_rate(num_requests, per_s, lambda number: futures.append(pool.submit(send, number)))
        return delays_ms, sum(future.result() for future in futures)
