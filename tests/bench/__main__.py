"""``make bench``: how long from the gateway's ack to the alert, and to a row that SQL can see; what one core stitches.

Upstream: a fresh stack on ports of its own, with all rules on, fed with captured runs under new ids (tests/load.py).
Downstream: a table for people and one line of JSON. ``python -m tests.bench alerts stitch`` measures only these.
Guarantee: every figure comes with a ledger check, events acknowledged against rows stored; a figure whose ledger
does not balance is printed as failed, and the exit code says so.
"""

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import httpx2
import msgspec
import psutil
from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.table import Table

from stream_jobs.contracts.alert import AlertBatch
from tests.bench import redundancy, stitch
from tests.integration.doors import Doors, spool_id_of, wire_batch
from tests.load import RunTemplate, dear
from tests.stack import run_clawtrace, running_stack, settings_of

BENCH_PORT_BASE = 4840
TENANT = "benchten"
NUM_PROBES = 240
WARM_UP_PROBES = 20
ALERT_PROBES_PER_S = 10.0
ROW_PROBES_PER_S = 4.0
BATCH_EVENTS = 50
NUM_LOAD_AGENTS = 8
ALERTS_TOPIC = "clawtrace.alerts.v1"
LAST_PROBE_WITHIN_S = 60.0
# The maximum is what passes while so many senders push for so long.
NUM_PUSHERS = 4
PUSH_S = 10.0
SHARES_OF_MAXIMUM = (0.25, 0.5, 0.75, 1.0)
PARTS = ("alerts", "rows", "stitch", "redundancy")
PLAIN_WIDTH = 120


@dataclass
class Ledger:
    """What was acknowledged, counted where it was sent."""

    acked_events: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledge(self, num_events: int) -> None:
        """Count events that the gateway answered with 202."""
        with self._lock:
            self.acked_events += num_events


@dataclass(frozen=True)
class Latency:
    """One measured delay."""

    name: str
    num_probes: int
    missing: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, name: str, acked_at: dict[str, float], seen_at: dict[str, float]) -> "Latency":
        """Compare two tables of instants (seconds) by key; the first probes only warm up."""
        probes = list(acked_at)[WARM_UP_PROBES:]
        delays = sorted((seen_at[probe] - acked_at[probe]) * 1000 for probe in probes if probe in seen_at)
        at = lambda share: delays[min(int(len(delays) * share), len(delays) - 1)] if delays else float("nan")  # noqa: E731
        return cls(name, len(probes), len(probes) - len(delays), at(0.5), at(0.99), at(1.0))


class Sender:
    """Sends runs to the gateway and keeps the ledger."""

    def __init__(self, doors: Doors, ledger: Ledger, keys: list[str]) -> None:
        """One key an agent."""
        self._doors, self._ledger, self._keys = doors, ledger, keys

    @property
    def num_acked(self) -> int:
        """Events acknowledged so far."""
        return self._ledger.acked_events

    def send_run(self, number: int, name: str, lines: list[dict[str, object]], batch_events: int) -> float:
        """Send one run as one spool; return the instant (seconds) at which its last batch was acknowledged."""
        spool_id = spool_id_of(TENANT, name)
        for first in range(0, len(lines), batch_events):
            part = lines[first : first + batch_events]
            answer = self._doors.send(self._keys[number % len(self._keys)], wire_batch(part, spool_id, first))
            answer.raise_for_status()
            self._ledger.acknowledge(answer.json()["accepted"])
        return time.time()


def at_rate(num: int, per_s: float, do: Callable[[int], None]) -> None:
    """Call ``do`` on a fixed schedule; a stall is charged to every call that waited behind it."""
    started = time.monotonic()
    for number in range(num):
        wait_s = started + number / per_s - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        do(number)


class Background:
    """Ordinary runs at a steady rate of events, while something else is measured."""

    def __init__(self, sender: Sender, events_per_s: int, name: str) -> None:
        """Nothing is sent at a rate of 0."""
        self._sender, self._events_per_s, self._name = sender, events_per_s, name
        self._template = RunTemplate("multi-tool")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent_events = 0

    def _run(self) -> None:
        pause_s = self._template.num_events / self._events_per_s
        started, number = time.monotonic(), 0
        while not self._stop.wait(max(0.0, started + number * pause_s - time.monotonic())):
            name = f"{self._name}-load-{number}"
            self._sender.send_run(number, name, self._template.lines(name), BATCH_EVENTS)
            self.sent_events += self._template.num_events
            number += 1

    def __enter__(self) -> "Background":
        self._started = time.monotonic()
        if self._events_per_s:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._events_per_s:
            self._thread.join()
        self.measured_events_per_s = self.sent_events / (time.monotonic() - self._started)


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


def trace_id_of(lines: list[dict[str, object]]) -> str:
    """The trace a run belongs to."""
    return next(line["ctx"]["trace"]["traceId"] for line in lines if line["ctx"].get("trace"))  # type: ignore[index,attr-defined]


def wait_for(acked_at: dict[str, float], seen_at: dict[str, float]) -> None:
    """Wait until every probe was seen, or give up on the rest."""
    deadline = time.monotonic() + LAST_PROBE_WITHIN_S
    while acked_at.keys() - seen_at.keys() and time.monotonic() < deadline:
        time.sleep(0.05)


def ack_to_alert(doors: Doors, sender: Sender, events_per_s: int, note: str = "") -> Latency:
    """Delay from the ack of the batch that crosses a limit to the alert's record."""
    template, watch, acked_at = RunTemplate("simple"), AlertWatch(doors), {}

    def probe(number: int) -> None:
        name = f"alert-{events_per_s}{note}-{number}"
        lines = dear(template.lines(name))
        acked_at[trace_id_of(lines)] = sender.send_run(number, name, lines, len(lines))

    with Background(sender, events_per_s, f"alert-{events_per_s}{note}") as load:
        at_rate(NUM_PROBES, ALERT_PROBES_PER_S, probe)
        wait_for(acked_at, watch.seen_at)
    watch.close()
    label = f"gateway ack → alert, {load.measured_events_per_s:.0f} events/s beside it{note}"
    found = Latency.of(label, acked_at, watch.seen_at)
    # Told at once: on a busy machine nobody knows whether the rest will be reached.
    print(f"{label}: p50 {found.p50_ms:.0f} ms, p99 {found.p99_ms:.0f} ms", file=sys.stderr)
    return found


def maximum_events_per_s(doors: Doors, sender: Sender) -> float:
    """Events per second that pass from the gateway to the alerts of the last runs, when senders push all they can."""
    template, probe, watch = RunTemplate("multi-tool"), RunTemplate("simple"), AlertWatch(doors)
    before, started = sender.num_acked, time.time()

    def push(pusher: int) -> None:
        number = pusher
        while time.time() < started + PUSH_S:
            name = f"max-{number}"
            sender.send_run(number, name, template.lines(name), BATCH_EVENTS)
            number += NUM_PUSHERS

    pushers = [threading.Thread(target=push, args=(pusher,)) for pusher in range(NUM_PUSHERS)]
    for thread in pushers:
        thread.start()
    for thread in pushers:
        thread.join()
    # One for each agent: behind all that was pushed, whichever partition it lies in.
    acked_at: dict[str, float] = {}
    for agent in range(NUM_LOAD_AGENTS):
        lines = dear(probe.lines(f"max-last-{agent}"))
        acked_at[trace_id_of(lines)] = sender.send_run(agent, f"max-last-{agent}", lines, len(lines))
    wait_for(acked_at, watch.seen_at)
    watch.close()
    if acked_at.keys() - watch.seen_at.keys():
        raise RuntimeError("the alerts behind the load never came")
    return (sender.num_acked - before) / (max(watch.seen_at[it] for it in acked_at) - started)


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


def ack_to_row(doors: Doors, sender: Sender, events_per_s: int) -> Latency:
    """Delay from the ack of a run to the answer of a SQL question that holds it."""
    template, watch, acked_at = RunTemplate("simple"), RowWatch(doors), {}

    def probe(number: int) -> None:
        name = f"row-{events_per_s}-{number}"
        lines = template.lines(name)
        trace_id = trace_id_of(lines)
        acked_at[trace_id] = sender.send_run(number, name, lines, len(lines))
        watch.waiting.add(trace_id)

    with Background(sender, events_per_s, f"row-{events_per_s}") as load:
        at_rate(NUM_PROBES, ROW_PROBES_PER_S, probe)
        wait_for(acked_at, watch.seen_at)
    watch.close()
    label = f"gateway ack → row in Trino, {load.measured_events_per_s:.0f} events/s beside it"
    return Latency.of(label, acked_at, watch.seen_at)


def main() -> int:
    """Run all benches on a fresh stack; 0 when the ledger balances and nothing is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=PARTS, help="all of them by default")
    parts = set(parser.parse_args().parts or PARTS)
    console = Console(stderr=True, width=None if sys.stderr.isatty() else PLAIN_WIDTH)
    with running_stack(".clawtrace-bench", BENCH_PORT_BASE) as environment:
        settings = settings_of(environment)
        keys = []
        for number in range(NUM_LOAD_AGENTS):
            arguments = (
                "keys",
                "create",
                "--tenant",
                TENANT,
                "--agent",
                f"agent-{number}",
                "--scope",
                "ingest",
                "--json",
            )
            keys.append(json.loads(run_clawtrace(*arguments, environment=environment).stdout)["key"])
        ledger = Ledger()
        latencies = []
        maximum, stitched = 0.0, {}
        with httpx2.Client(timeout=60, trust_env=False) as client:
            doors = Doors(settings, client)
            sender = Sender(doors, ledger, keys)
            if "alerts" in parts:
                for events_per_s in (0, 1000):
                    with console.status(f"Alerts, {events_per_s} events/s beside them …"):
                        latencies.append(ack_to_alert(doors, sender, events_per_s))
                with console.status("The most that passes …"):
                    maximum = maximum_events_per_s(doors, sender)
                for share in SHARES_OF_MAXIMUM:
                    with console.status(f"Alerts at {share:.0%} of the most that passes …"):
                        latencies.append(ack_to_alert(doors, sender, round(share * maximum), f" ({share:.0%})"))
            if "rows" in parts:
                for events_per_s in (0, 300):
                    with console.status(f"Rows, {events_per_s} events/s beside them …"):
                        latencies.append(ack_to_row(doors, sender, events_per_s))
            doors.wait_until_stored()
            question = (
                f"SELECT count(*), count(DISTINCT event_id) FROM iceberg.silver.events WHERE tenant_id = '{TENANT}'"
            )
            stored, distinct = doors.operator_rows(question)[0]
        if "stitch" in parts:
            with console.status("What one core stitches …"):
                stitched = stitch.measure(settings.kafka_bootstrap)
        status = json.loads(run_clawtrace("status", "--json", environment=environment).stdout)
    rss_bytes = {process["name"]: process["rss_bytes"] for process in status["processes"]}
    balanced = ledger.acked_events == stored == distinct and bool(stitched.get("ledger_balances", True))
    complete = all(latency.missing == 0 for latency in latencies)
    table = Table(title=f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB")
    for column in ("figure", "probes", "missing", "p50 ms", "p99 ms", "max ms"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for found in latencies:
        times = (f"{value:,.0f}" for value in (found.p50_ms, found.p99_ms, found.max_ms))
        table.add_row(found.name, str(found.num_probes), str(found.missing), *times)
    console.print(table)
    verdict = "balances" if balanced else "DOES NOT BALANCE"
    console.print(f"Ledger: {ledger.acked_events:,} acknowledged, {stored:,} stored, {distinct:,} distinct: {verdict}")
    console.print(f"Memory (RSS) after it: {sum(rss_bytes.values()) / 2**30:.2f} GiB")
    if maximum:
        console.print(f"The most that passes with all rules: {maximum:,.0f} events/s; load {os.getloadavg()[0]:.1f}")
    if stitched:
        stitch.print_table(stitched, console)
    similar = redundancy.measure() if "redundancy" in parts else {}
    if similar:
        redundancy.print_table(similar, console)
    result = {
        "latencies": [asdict(found) for found in latencies],
        "maximum_events_per_s": round(maximum),
        "acked": ledger.acked_events,
        "stored": stored,
        "distinct": distinct,
        "rss_bytes": rss_bytes,
        "stitch": stitched,
        "redundancy": similar,
        "load_average": os.getloadavg()[0],
    }
    print(json.dumps(result))
    return 0 if balanced and complete and (not similar or redundancy.is_good(similar)) else 1


if __name__ == "__main__":
    sys.exit(main())
