"""The whole pipeline: the highest rate at which spans become durable and can be asked for, without falling behind.

Upstream: captured runs in turn, sent to the gateway of the stack on a fixed schedule, all rules on.
Downstream: ``tests.bench``.
Guarantee: a rate counts when the stitcher does not fall behind while it holds (its lag at the end is below
``MAX_LAG_S`` of it), and all is in the tables ``STORED_WITHIN_S`` after the last ack. That a backlog drains quickly
counts for nothing. Ledger: events acknowledged, stored, distinct; spans in the view against spans of the runs.
"""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

from tests.bench.gateway import Door
from tests.bench.harness import Check, CpuMeter, Figure, Part
from tests.bench.wire_runs import Body, RunMaker
from tests.bench.world import TENANT, World
from tests.integration.doors import DEADLINE_S, wait_until

PUSH_S = 12.0
HOLD_S = 30.0
NUM_PUSHERS = 4
# Shares of what was pushed in, until all of it was stitched; the first that holds is the figure.
SHARES = (1.0, 0.9, 0.8, 0.7, 0.55, 0.4)
MAX_LAG_S = 2.0
# Two commits of the tables that are committed each 15 s.
STORED_WITHIN_S = 30.0
GOAL_SPANS_PER_S = 7_000.0
EVENTS_TOPIC = "clawtrace.events.v1"


@dataclass
class Held:
    """One rate that was tried."""

    asked_events_per_s: float
    events_per_s: float = 0.0
    num_events: int = 0
    num_records: int = 0
    lag_records: int = 0
    stored_after_s: float = 0.0
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def lag_s(self) -> float:
        """Seconds that the stitcher was behind when the last ack came."""
        return self.lag_records / (self.num_records / HOLD_S)

    @property
    def is_flat(self) -> bool:
        """Whether the rate was reached and nothing fell behind."""
        reached = self.events_per_s >= 0.97 * self.asked_events_per_s
        return reached and self.lag_s <= MAX_LAG_S and self.stored_after_s <= STORED_WITHIN_S


class _Load:
    """Whole runs, each by one agent in order; agents take turns."""

    def __init__(self, world: World) -> None:
        self._doors = [Door(world.settings.port("gateway"), key) for key in world.keys]
        self._lock = threading.Lock()
        self.num_acked = 0

    def send_run(self, number: int, run: list[Body]) -> None:
        """Send one run and wait for its acks."""
        door = self._doors[number % len(self._doors)]
        acked = sum(door.send(body) for body in run)
        with self._lock:
            self.num_acked += acked

    def push(self, seconds: float) -> float:
        """Push all that goes in; return the events a second."""
        runs, before, started = RunMaker("push").runs(), self.num_acked, time.monotonic()
        with ThreadPoolExecutor(NUM_PUSHERS) as pool:
            waiting: set[Future[None]] = set()
            number = 0
            while time.monotonic() - started < seconds:
                waiting = {future for future in waiting if not future.done()}
                if len(waiting) < 2 * NUM_PUSHERS:
                    waiting.add(pool.submit(self.send_run, number, next(runs)))
                    number += 1
                else:
                    time.sleep(0.001)
        return (self.num_acked - before) / (time.monotonic() - started)

    def hold(self, events_per_s: float, seconds: float) -> float:
        """Send on a fixed schedule; return the events a second that were acknowledged."""
        runs, before, started = RunMaker("hold").runs(), self.num_acked, time.monotonic()
        planned, number = 0, 0
        with ThreadPoolExecutor(4 * NUM_PUSHERS) as pool:
            futures = []
            while planned < events_per_s * seconds:
                wait_s = started + planned / events_per_s - time.monotonic()
                if wait_s > 0:
                    time.sleep(wait_s)
                run = next(runs)
                futures.append(pool.submit(self.send_run, number, run))
                planned += sum(body.num_events for body in run)
                number += 1
            for future in futures:
                future.result()
        return (self.num_acked - before) / (time.monotonic() - started)


def measure(world: World) -> Part:
    """Find what goes through when all is pushed at once, then go down from it until a rate holds."""
    load = _Load(world)
    rows_before, _ = world.stored_events()
    started = time.monotonic()
    pushed = load.push(PUSH_S)
    end = _end(world)
    wait_until(lambda: sum(world.doors.stitched_offsets().values()), lambda found: found >= end, "events stitched")
    drained = load.num_acked / (time.monotonic() - started)
    _wait_until_stored(world)
    tried: list[Held] = []
    for share in SHARES:
        tried.append(_hold(world, load, share * drained))
        if tried[-1].is_flat:
            break
    best = tried[-1]
    stored, distinct = world.stored_events()
    num_spans, num_span_rows = _num_spans(world)
    spans_per_event = num_spans / stored
    part = Part("pipeline")
    flat = best.events_per_s if best.is_flat else 0.0
    part.figures = [
        Figure("whole pipeline, durable and queryable", flat * spans_per_event, "spans/s", ("≥", GOAL_SPANS_PER_S)),
        Figure("the same in events", flat, "events/s"),
        Figure("the same in rows of the table of spans", flat * num_span_rows / stored, "rows/s"),
        Figure("gateway takes, when all is pushed at once", pushed, "events/s"),
        Figure("the stitcher is through with it at", drained, "events/s"),
        Figure("stitcher's lag at the end of it", best.lag_s, "s"),
        Figure("all queryable after the last ack", best.stored_after_s, "s"),
        *(
            Figure(f"{name}, processor per million events", seconds / best.num_events * 1e6, "s")
            for name, seconds in sorted(best.cpu_seconds.items(), key=lambda item: -item[1])
        ),
    ]
    part.ledger = [
        Check("events stored", load.num_acked + rows_before, stored),
        Check("events distinct", stored, distinct),
        Check("spans counted by their traces", _num_spans_of_traces(world), num_spans),
    ]
    part.details = {
        "tried": [asdict(it) | {"lag_s": it.lag_s, "is_flat": it.is_flat} for it in tried],
        "spans_per_event": round(spans_per_event, 3),
    }
    return part


def _hold(world: World, load: _Load, events_per_s: float) -> Held:
    held = Held(events_per_s)
    records_before, acked_before = _end(world), load.num_acked
    cpu = CpuMeter(world.pids())
    held.events_per_s = load.hold(events_per_s, HOLD_S)
    held.lag_records = _end(world) - sum(world.doors.stitched_offsets().values())
    held.num_records = _end(world) - records_before
    held.num_events = load.num_acked - acked_before
    stopped = time.monotonic()
    _wait_until_stored(world)
    held.stored_after_s = time.monotonic() - stopped
    held.cpu_seconds = {name: round(seconds, 2) for name, seconds in cpu.stop().items()}
    return held


def _end(world: World) -> int:
    return sum(world.doors.end_offsets([EVENTS_TOPIC]).values())


def _wait_until_stored(world: World) -> None:
    deadline = time.monotonic() + 4 * DEADLINE_S
    while True:
        try:
            world.doors.wait_until_stored()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        else:
            return


def _num_spans(world: World) -> tuple[int, int]:
    rows = world.doors.operator_rows(
        f"SELECT (SELECT count(*) FROM iceberg.clawtrace.spans WHERE tenant_id = '{TENANT}'), "
        f"(SELECT count(*) FROM iceberg.silver.spans WHERE tenant_id = '{TENANT}')"
    )
    return int(rows[0][0]), int(rows[0][1])


def _num_spans_of_traces(world: World) -> int:
    rows = world.doors.operator_rows(
        f"SELECT sum(num_spans) FROM iceberg.clawtrace.traces WHERE tenant_id = '{TENANT}'"
    )
    return int(rows[0][0] or 0)
