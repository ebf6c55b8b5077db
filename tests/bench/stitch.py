"""How many events a second one core stitches, with all rules and without, against only reading and decoding them.

Upstream: captured runs under new ids, each agent's in a spool of its own, in batches as the gateway writes them.
Downstream: a table for people and one line of JSON; ``tests.bench`` prints both with the others.
Guarantee: seconds are those of the processor, over all threads of this process; ours and the baseline take turns,
medians are told with the slowest and the fastest round. The ledger: each event is applied once in every round, and
all rounds write the same bytes.
"""

import argparse
import gc
import hashlib
import json
import os
import statistics
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from rich.console import Console
from rich.table import Table

from infra.runtime.kafka import provision_topics
from infra.runtime.settings import StackSettings
from infra.runtime.topics import TopicSpec
from producers.contracts.event import EventBatch, Source, decode_event_batch, encode_event_batch
from producers.contracts.normalise import normalise_event
from producers.contracts.wire import WireEvent
from stream_jobs.core.cost import PriceBook
from stream_jobs.core.detect.rulebook import RuleBook
from stream_jobs.core.detect.rules import SETTINGS_TYPES
from stream_jobs.core.stitch import read_rules, stitch_batch
from stream_jobs.processors.outputs import output_records
from stream_jobs.processors.topology import Topology
from tests.bench.harness import Check, Figure, Part, collected_seldom
from tests.bench.world import World
from tests.captures import ROOT, SCENARIOS
from tests.load import RunTemplate

NUM_AGENTS = 8
NUM_COPIES = 8
BATCH_EVENTS = 50
NUM_ROUNDS = 5
GOAL_R2 = 0.25
READ_WITHIN_S = 60.0


@dataclass(frozen=True)
class Rates:
    """Events per second of processor time over the rounds."""

    name: str
    median: float
    slowest: float
    fastest: float

    @classmethod
    def of(cls, name: str, num_events: int, seconds: Sequence[float]) -> "Rates":
        """Make it from the seconds of each round."""
        rates = [num_events / it for it in seconds]
        return cls(name, statistics.median(rates), min(rates), max(rates))


def make_records(num_copies: int = NUM_COPIES) -> list[bytes]:
    """Make records of the events topic: every capture so often, over eight agents."""
    spools: dict[int, list[WireEvent]] = {agent: [] for agent in range(NUM_AGENTS)}
    templates = [RunTemplate(scenario) for scenario in SCENARIOS]
    for copy in range(num_copies):
        for number, template in enumerate(templates):
            spool = spools[(copy + number) % NUM_AGENTS]
            for line in template.lines(f"stitch-{copy}-{number}"):
                event, ctx = (msgspec.Raw(json.dumps(line[name]).encode()) for name in ("event", "ctx"))
                at_us = int(line["tsMs"]) * 1_000
                spool.append(WireEvent(seq=len(spool), at_us=at_us, hook=line["hook"], event=event, ctx=ctx))
    batches = [_batches(f"agent-{agent}", spool) for agent, spool in spools.items()]
    longest = max(map(len, batches))
    # As they lie in a partition: agents take turns.
    return [its[place] for place in range(longest) for its in batches if place < len(its)]


def _batches(agent_id: str, spool: Sequence[WireEvent]) -> list[bytes]:
    spool_id = str(uuid.uuid5(uuid.NAMESPACE_URL, agent_id))
    events = [normalise_event(spool_id, wire) for wire in spool]
    return [
        encode_event_batch(
            EventBatch(
                tenant_id="benchten",
                agent_id=agent_id,
                source=Source(name="bench", host_version="2026.9.6"),
                spool_id=spool_id,
                received_at_us=events[start].at_us,
                events=events[start : start + BATCH_EVENTS],
            )
        )
        for start in range(0, len(events), BATCH_EVENTS)
    ]


def no_rules() -> RuleBook:
    """All rules switched off."""
    return read_rules("".join(f"[{rule}]\nenabled = false\n" for rule in SETTINGS_TYPES))


class Stitching:
    """Stitches the same records in an empty state, again and again."""

    def __init__(self, records: Sequence[bytes], rules: RuleBook) -> None:
        """Prices are those of the captures."""
        self._records, self._rules = records, rules
        self._prices = PriceBook.from_toml((ROOT / "producers/replay/captures/prices.toml").read_text())
        self._topology = Topology.with_prefix("")
        self.num_applied = 0
        self.num_alerts = 0
        self.digests: set[str] = set()

    def round(self) -> float:
        """Decode, stitch, encode, store; return the seconds it took."""
        store: dict[bytes, bytes] = {}
        written: list[bytes] = []
        self.num_alerts = self.num_applied = 0
        gc.collect()
        started = time.process_time()
        for rev, record in enumerate(self._records):
            batch = decode_event_batch(record)
            result = stitch_batch(store, batch, rev, self._prices, self._rules)
            written += [value for _, _, value in output_records(self._topology, batch, rev, result)]
            for key, value in result.changes.items():
                if value is None:
                    store.pop(key, None)
                else:
                    store[key] = value
            store.update(result.payloads)
            self.num_alerts += len(result.alerts)
            self.num_applied += len(batch.events) - result.counts.get("duplicates", 0)
        seconds = time.process_time() - started
        digest = hashlib.sha256(b"".join(written))
        for key in sorted(store):
            digest.update(key + store[key])
        self.digests.add(digest.hexdigest())
        return seconds


class Reading:
    """Reads the same records from a topic and decodes them, which is what nobody can do without."""

    def __init__(self, bootstrap: str, records: Sequence[bytes]) -> None:
        """Put the records into a topic of its own."""
        self._bootstrap, self._num_records = bootstrap, len(records)
        self._topic = f"bench{uuid.uuid4().hex[:8]}.events"
        provision_topics(bootstrap, [TopicSpec(self._topic, EventBatch, "Records of a bench.", (), partitions=1)])
        producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 20})
        for record in records:
            producer.produce(self._topic, record)
            producer.poll(0)
        if producer.flush(READ_WITHIN_S):
            raise RuntimeError("Kafka did not take the records of the bench")
        self.num_events = 0

    def round(self, *, with_payloads: bool) -> float:
        """Consume and decode all records; return the seconds it took.

        Args:
            with_payloads: also make objects of what the hooks said, as whoever makes spans must in some way.
        """
        consumer = Consumer({"bootstrap.servers": self._bootstrap, "group.id": "bench", "enable.auto.commit": False})
        deadline = time.monotonic() + READ_WITHIN_S
        decode = msgspec.json.Decoder().decode
        gc.collect()
        started = time.process_time()
        consumer.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING)])
        num_left, self.num_events = self._num_records, 0
        while num_left:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{num_left} records of the bench were not read in time")
            for record in consumer.consume(100, 0.5):
                value = record.value()
                if record.error() is not None or value is None:
                    continue
                num_left -= 1
                batch = decode_event_batch(value)
                self.num_events += len(batch.events)
                if with_payloads:
                    for event in batch.events:
                        decode(event.payload)
        seconds = time.process_time() - started
        consumer.close()
        return seconds

    def remove(self) -> None:
        """Delete the topic."""
        admin = AdminClient({"bootstrap.servers": self._bootstrap})
        for future in admin.delete_topics([self._topic]).values():
            future.result(READ_WITHIN_S)


def measure(bootstrap: str, num_copies: int = NUM_COPIES, num_rounds: int = NUM_ROUNDS) -> dict[str, object]:
    """Return the figures, with their names."""
    records = make_records(num_copies)
    num_events = sum(len(decode_event_batch(record).events) for record in records)
    all_rules, without = Stitching(records, read_rules("")), Stitching(records, no_rules())
    reading = Reading(bootstrap, records)
    seconds: dict[str, list[float]] = {}
    num_read: set[int] = set()
    try:
        with collected_seldom():
            for _ in range(num_rounds):
                for name, run in (
                    ("stitched with all rules", all_rules.round),
                    ("stitched without rules", without.round),
                    ("consumed and decoded", lambda: reading.round(with_payloads=False)),
                    ("consumed and decoded with payloads", lambda: reading.round(with_payloads=True)),
                ):
                    seconds.setdefault(name, []).append(run())
                    num_read.add(reading.num_events)
    finally:
        reading.remove()
    rates = {name: Rates.of(name, num_events, its) for name, its in seconds.items()}
    stitched, plain, full = (rates[name].median for name in (*seconds,) if name != "stitched without rules")
    applied = {it.num_applied for it in (all_rules, without)}
    return {
        "num_events": num_events,
        "bytes_per_event": round(sum(map(len, records)) / num_events),
        "rates_per_s": {name: [round(it.median), round(it.slowest), round(it.fastest)] for name, it in rates.items()},
        "num_alerts": all_rules.num_alerts,
        "R2": round(stitched / plain, 3),
        "R2_with_payloads": round(stitched / full, 3),
        "ledger_balances": applied == {num_events}
        and num_read - {0} == {num_events}
        and len(all_rules.digests) == len(without.digests) == 1,
        "load_average": os.getloadavg()[0],
    }


def measure_part(world: World) -> Part:
    """R2, on the broker of the bench's stack."""
    found = measure(world.settings.kafka_bootstrap)
    rates = found["rates_per_s"]
    assert isinstance(rates, dict)
    part = Part("stitch", details=found)
    part.figures = [
        Figure("R2 stitched ÷ consumed and decoded", float(str(found["R2"])), goal=("≥", GOAL_R2)),
        Figure("stitched ÷ consumed and decoded with payloads", float(str(found["R2_with_payloads"]))),
        *(
            Figure(f"{name}, one core", median, "events/s", spread=(fastest - slowest) / median)
            for name, (median, slowest, fastest) in rates.items()
        ),
    ]
    part.ledger = [
        Check("rounds that applied each event once and wrote the same", 1, int(bool(found["ledger_balances"])))
    ]
    return part


def print_table(figures: dict[str, object], console: Console) -> None:
    """Print the figures for people."""
    table = Table(title=f"Events per second of one core ({figures['num_events']:,} events)")
    for column in ("what", "median", "slowest", "fastest"):
        table.add_column(column, justify="left" if column == "what" else "right")
    rates = figures["rates_per_s"]
    assert isinstance(rates, dict)
    for name, values in rates.items():
        table.add_row(name, *(f"{value:,}" for value in values))
    console.print(table)
    verdict = "balances" if figures["ledger_balances"] else "DOES NOT BALANCE"
    console.print(
        f"R2: {figures['R2']} of consume and decode, {figures['R2_with_payloads']} with payloads decoded; "
        f"load {figures['load_average']:.1f}. Ledger: {verdict}"
    )


def main() -> int:
    """Print the figures; 0 when the ledger balances."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", default=StackSettings().kafka_bootstrap)
    parser.add_argument("--copies", type=int, default=NUM_COPIES)
    parser.add_argument("--rounds", type=int, default=NUM_ROUNDS)
    wanted = parser.parse_args()
    figures = measure(wanted.bootstrap, wanted.copies, wanted.rounds)
    print_table(figures, Console(stderr=True, width=None if sys.stderr.isatty() else 120))
    print(json.dumps(figures))
    return 0 if figures["ledger_balances"] else 1


if __name__ == "__main__":
    sys.exit(main())
