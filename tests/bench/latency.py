"""R5 and R6: how long from the gateway's ack to the alert, and to a row that SQL can see.

Upstream: the stack of the bench with all rules on, fed with captured runs under new ids (tests/load.py).
Downstream: ``tests.bench``.
Guarantee: delays count from the ack on a fixed schedule, so a stall is charged to every probe that waited behind it.
Ledger: probes sent against probes seen, events acknowledged against rows stored.
"""

import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench.harness import Check, Figure, Goal, Part, percentile
from tests.bench.watches import AlertWatch, RowWatch
from tests.bench.world import NUM_AGENTS, TENANT, World, at_rate
from tests.integration.doors import Doors, spool_id_of, wire_batch
from tests.load import RunTemplate, dear

NUM_PROBES = 240
WARM_UP_PROBES = 20
ALERT_PROBES_PER_S = 10.0
ROW_PROBES_PER_S = 4.0
BATCH_EVENTS = 50
LAST_PROBE_WITHIN_S = 60.0
# The maximum is what passes while so many senders push for so long.
NUM_PUSHERS = 4
PUSH_S = 10.0
SHARES_OF_MAXIMUM = (0.25, 0.5, 0.75, 1.0)
GOALS_ALERT_MS = (50.0, 250.0)
GOAL_ROW_MS = 8_000.0


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
        delays = [(seen_at[probe] - acked_at[probe]) * 1000 for probe in probes if probe in seen_at]
        at = (percentile(delays, share) for share in (0.5, 0.99, 1.0))
        return cls(name, len(probes), len(probes) - len(delays), *at)


class Sender:
    """Sends runs to the gateway and keeps the ledger."""

    def __init__(self, doors: Doors, ledger: Ledger, keys: tuple[str, ...]) -> None:
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


def trace_id_of(lines: list[dict[str, Any]]) -> str:
    """The trace a run belongs to."""
    return next(line["ctx"]["trace"]["traceId"] for line in lines if line["ctx"].get("trace"))


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
    for agent in range(NUM_AGENTS):
        lines = dear(probe.lines(f"max-last-{agent}"))
        acked_at[trace_id_of(lines)] = sender.send_run(agent, f"max-last-{agent}", lines, len(lines))
    wait_for(acked_at, watch.seen_at)
    watch.close()
    if acked_at.keys() - watch.seen_at.keys():
        raise RuntimeError("the alerts behind the load never came")
    return (sender.num_acked - before) / (max(watch.seen_at[it] for it in acked_at) - started)


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


def _figures(found: Latency, p50: Goal | None, p99: Goal | None) -> list[Figure]:
    return [
        Figure(f"{found.name}, p50", found.p50_ms, "ms", p50),
        Figure(f"{found.name}, p99", found.p99_ms, "ms", p99),
    ]


def _part(name: str, world: World, sender: Sender, latencies: list[Latency], acked_before: int) -> Part:
    world.doors.wait_until_stored()
    stored, distinct = world.stored_events()
    part = Part(name)
    part.ledger = [
        Check("events stored", sender.num_acked + acked_before, stored),
        Check("events distinct", stored, distinct),
        *(Check(f"probes: {found.name}", found.num_probes, found.num_probes - found.missing) for found in latencies),
    ]
    part.details = {"latencies": [asdict(found) for found in latencies]}
    return part


def measure_alerts(world: World) -> Part:
    """R5: alerts beside nothing, beside 1,000 events/s, and at shares of the most that passes."""
    before, _ = world.stored_events()
    sender = Sender(world.doors, Ledger(), world.keys)
    calm = ack_to_alert(world.doors, sender, 0)
    loaded = ack_to_alert(world.doors, sender, 1000)
    maximum = maximum_events_per_s(world.doors, sender)
    shares = [
        ack_to_alert(world.doors, sender, round(share * maximum), f" ({share:.0%})") for share in SHARES_OF_MAXIMUM
    ]
    part = _part("alerts", world, sender, [calm, loaded, *shares], before)
    p50, p99 = GOALS_ALERT_MS
    part.figures = [*_figures(calm, None, None), *_figures(loaded, ("≤", p50), ("≤", p99))]
    part.figures += [figure for found in shares for figure in _figures(found, None, None)]
    part.figures.append(Figure("most that passes to alerts, all rules on", maximum, "events/s"))
    return part


def measure_rows(world: World) -> Part:
    """R6: rows beside nothing and beside 300 events/s."""
    before, _ = world.stored_events()
    sender = Sender(world.doors, Ledger(), world.keys)
    found = [ack_to_row(world.doors, sender, events_per_s) for events_per_s in (0, 300)]
    part = _part("rows", world, sender, found, before)
    part.figures = [figure for one in found for figure in _figures(one, None, ("≤", GOAL_ROW_MS))]
    return part
