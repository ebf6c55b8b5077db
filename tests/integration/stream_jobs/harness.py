"""Topics of their own, a stitcher process that can be killed, and everything that came out of it."""

import copy
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.runtime.kafka import provision_topics
from infra.runtime.settings import PORT_OFFSETS
from producers.contracts.event import encode_event_batch, make_tick, record_key
from producers.contracts.topics import EVENTS, GUARD
from stream_jobs.contracts.topics import ALERTS, CARDS, SPANS, SPEND, TRACES
from stream_jobs.processors.topology import Topology
from tests.integration.stream_jobs.standin import value_of
from tests.local_state import file_findings
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 120.0
KAFKA_TIMEOUT_S = 30.0
TICK_AFTER = 25
TICK_US = 20_000_000
OUTPUT_SPECS = (SPANS, TRACES, ALERTS, CARDS, SPEND)


class _Mark(msgspec.Struct):
    rev: int
    part: int


@dataclass(frozen=True)
class Out:
    """One record as it lies in a topic."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list, compare=False)
    offset: int = field(default=-1, compare=False)


def wait_until(
    good: Callable[[], bool], what: str, within_s: float = DEADLINE_S, log: Callable[[], str] = lambda: ""
) -> None:
    """Ask until it is so, or fail with the log as it is then."""
    deadline = time.monotonic() + within_s
    while not good():
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}\n{log()}"
        time.sleep(0.02)


def free_port_base(process_name: str = "stitcher") -> int:
    """Find a base with which a process of this name has a metrics port that is free."""
    return free_port() - PORT_OFFSETS[f"{process_name}_metrics"]


class Install:
    """One set of topics under a prefix, with one stitcher."""

    def __init__(self, bootstrap: str, prefix: str, home: Path) -> None:
        self.bootstrap, self.prefix, self.home = bootstrap, prefix, home
        self.topology = Topology.with_prefix(prefix)
        self.process: subprocess.Popen[bytes] | None = None
        self.port_base = free_port_base()
        specs = (EVENTS, EVENTS.dead_letter, GUARD, *OUTPUT_SPECS)
        self._specs = [replace(spec, name=prefix + spec.name) for spec in specs]
        provision_topics(bootstrap, self._specs)
        self.command = [sys.executable, "-m", "tests.integration.stream_jobs.worker"]
        self._environment: dict[str, str] = {}
        self._others: list[Install] = []
        self._producer = Producer(
            # Idempotent like the real writers: otherwise a batch that is sent again, for instance because a new topic
            # has no leader yet, lands behind newer ones.
            {"bootstrap.servers": bootstrap, "linger.ms": 2, "acks": "all", "enable.idempotence": True}
        )

    def produce(self, partition: int, value: bytes, key: bytes = b"k") -> None:
        """Put a record into the events topic."""
        self._producer.produce(self.topology.events, value, key, partition)

    def produce_batches(
        self, seed: int, num_records: int, num_events: int = 10, *, since: int = 0, until: int | None = None
    ) -> None:
        """Put batches of six agents into the events topic, and ticks, in an order that depends on the seed only.

        ``since`` and ``until`` cut a piece out of the same stream.
        """
        chooser = random.Random(seed)
        next_seq = dict.fromkeys((f"agent{number}" for number in range(6)), 0)
        for number in range(num_records if until is None else until):
            agent = chooser.choice(sorted(next_seq))
            if number >= since:
                value = value_of(agent, next_seq[agent], num_events)
                self.produce(int(agent[-1]) % EVENTS.partitions, value, record_key("stitchtest", agent))
                if number % TICK_AFTER == 0:
                    self.produce_tick((number // TICK_AFTER + 1) * TICK_US)
            next_seq[agent] += num_events
        self.flush()

    def produce_tick(self, at_us: int) -> None:
        """Put a tick into every partition of the events topic."""
        for partition in range(EVENTS.partitions):
            self.produce(partition, encode_event_batch(make_tick(at_us)), b"ticker")

    def another(self, name: str, **environment: str) -> "Install":
        """One more stitcher for the same topics, with a home of its own."""
        other = copy.copy(self)
        other.home, other.port_base, other.process = self.home.parent / name, free_port_base(), None
        other._environment = environment
        self._others.append(other)
        return other

    def flush(self) -> None:
        """Wait until all is in the topic."""
        assert self._producer.flush(DEADLINE_S) == 0

    def start(self) -> None:
        """Start the stitcher; returns at once."""
        variables = {
            **os.environ,
            "CLAWTRACE_TOPIC_PREFIX": self.prefix,
            "CLAWTRACE_HOME": str(self.home),
            "CLAWTRACE_PORT_BASE": str(self.port_base),
            "CLAWTRACE_KAFKA_BOOTSTRAP": self.bootstrap,
            **self._environment,
        }
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "stitcher.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT, env=variables, stdout=log, stderr=log,
            )  # fmt: skip

    def wait_ready(self) -> None:
        """Wait until the stitcher says it is ready."""
        wait_until(self._is_ready, "ready", log=self.log_tail)

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port_base + PORT_OFFSETS['stitcher_metrics']}/readyz", timeout=2):
                return True
        except (URLError, OSError):
            return False

    def metric(self, sample: str) -> float:
        """Value of a sample of its /metrics; 0 while it has none."""
        with urlopen(
            f"http://127.0.0.1:{self.port_base + PORT_OFFSETS['stitcher_metrics']}/metrics", timeout=10
        ) as page:
            lines = page.read().decode().splitlines()
        values = [line.rpartition(" ")[2] for line in lines if line.startswith(f"{sample} ")]
        return float(values[0]) if values else 0.0

    def log_tail(self) -> str:
        """Return the end of the stitcher's log."""
        return (self.home / "stitcher.log").read_text()[-3000:]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=DEADLINE_S)
        self.process = None
        return code

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Where each partition of a topic ends."""
        with self._reader() as reader:
            partitions = reader.list_topics(topic, timeout=KAFKA_TIMEOUT_S).topics[topic].partitions
            return {
                p: reader.get_watermark_offsets(TopicPartition(topic, p), timeout=KAFKA_TIMEOUT_S)[1]
                for p in partitions
            }

    def committed(self) -> dict[int, int]:
        """Next offset of each partition of the events, as committed."""
        events = self.topology.events
        with self._reader(self.topology.group) as reader:
            found = reader.committed(
                [TopicPartition(events, p) for p in range(EVENTS.partitions)], timeout=KAFKA_TIMEOUT_S
            )
            return {tp.partition: max(tp.offset, 0) for tp in found}

    def wait_all_committed(self, within_s: float = DEADLINE_S) -> None:
        """Wait until every record of the events is committed."""
        ends = self.end_offsets(self.topology.events)
        wait_until(lambda: self.committed() == ends, "all committed", within_s, self.log_tail)

    def read(self, topic: str) -> list[Out]:
        """Read a topic from its beginning to its present end; partitions one after another, each in order."""
        ends = {p: end for p, end in self.end_offsets(topic).items() if end > 0}
        found: dict[int, list[Out]] = {p: [] for p in sorted(ends)}
        with self._reader() as reader:
            reader.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in ends])
            position = dict.fromkeys(ends, 0)
            deadline = time.monotonic() + DEADLINE_S
            while any(position[p] < ends[p] for p in ends):
                assert time.monotonic() < deadline, f"could not read {topic}"
                for message in reader.consume(500, 0.2):
                    if message.error() is None:
                        p = message.partition()
                        short = topic.removeprefix(self.prefix)
                        headers = list(message.headers() or [])
                        found[p].append(Out(short, p, message.key(), message.value(), headers, message.offset()))
                        position[p] = message.offset() + 1
                for tp in reader.position([TopicPartition(topic, p) for p in ends]):
                    position[tp.partition] = max(position[tp.partition], tp.offset)
        return [out for outs in found.values() for out in outs]

    def outputs(self) -> list[Out]:
        """Read all output records, doubled ones included."""
        return [out for spec in OUTPUT_SPECS for out in self.read(self.prefix + spec.name)]

    def state(self) -> dict[tuple[int, bytes | None], bytes]:
        """Read the state as the changelog has it."""
        newest: dict[tuple[int, bytes | None], bytes | None] = {}
        for out in self.read(self.topology.state.name):
            newest[out.partition, out.key] = out.value
        return {place: value for place, value in newest.items() if value is not None}

    def check_files(self) -> None:
        """The local files hold what the changelog says up to the offset that they name."""
        changelog = self.read(self.topology.state.name)
        for partition in range(self.topology.state.partitions):
            records = ((out.offset, out.key, out.value) for out in changelog if out.partition == partition)
            assert file_findings(self.home, partition, records) == []

    @contextmanager
    def _reader(self, group: str = "tests") -> Iterator[Consumer]:
        reader = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group, "enable.auto.commit": False})
        try:
            yield reader
        finally:
            reader.close()

    def remove(self) -> None:
        """Kill what runs and delete the topics."""
        for one in (self, *self._others):
            if one.process is not None:
                one.process.kill()
                one.process.wait()
        names = [*(spec.name for spec in self._specs), self.topology.state.name]
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        known = set(admin.list_topics(timeout=KAFKA_TIMEOUT_S).topics)
        for future in admin.delete_topics([name for name in names if name in known]).values():
            future.result(KAFKA_TIMEOUT_S)


def as_a_reader_sees(outputs: list[Out]) -> dict[tuple[str, int, int, int], bytes]:
    """Drop doubled records as every reader does: whatever is not above the newest (rev, part) of its partition."""
    seen: dict[tuple[str, int, int, int], bytes] = {}
    marks: dict[tuple[str, int], tuple[int, int]] = {}
    for out in outputs:
        assert out.value is not None
        mark = msgspec.json.decode(out.value, type=_Mark)
        place = (out.topic, out.partition, mark.rev, mark.part)
        if (mark.rev, mark.part) > marks.get((out.topic, out.partition), (-1, -1)):
            marks[out.topic, out.partition] = (mark.rev, mark.part)
            seen[place] = out.value
        else:
            assert seen.get(place) == out.value, f"{place}: repeated with other bytes, or out of order"
    return seen
