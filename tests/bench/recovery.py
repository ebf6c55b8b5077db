"""R9: kill -9 of the stitcher: how long until the next alert, and how quickly its state comes back.

Upstream: the stack of the bench with a state of some size; the supervisor starts the stitcher again.
Downstream: ``tests.bench``.
Guarantee: after kill -9 the local files stay, and the next start reads what the changelog has more. Then the same with
the files lost: all of the state is read back. Probes go out four times a second from the kill on; the first alert that
lies in the topic ends the wait. The baseline consumes the same changelog and does nothing with it. Ledger: events
acknowledged, stored, distinct.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from stream_jobs.processors.datadir import FORMAT_FILE
from stream_jobs.processors.topology import STATE
from tests.bench.gateway import Door
from tests.bench.harness import Check, Figure, Pairs, Part
from tests.bench.latency import Ledger, Sender, trace_id_of
from tests.bench.watches import AlertWatch
from tests.bench.wire_runs import RunMaker
from tests.bench.world import World
from tests.integration.doors import wait_until
from tests.load import RunTemplate, dear

NUM_EVENTS = 30_000
NUM_KILLS = 3
NUM_LOSSES = 2
PROBE_EVERY_S = 0.25
ALERT_WITHIN_S = 600.0
CONSUME_WITHIN_S = 120.0
GOAL_ALERT_S = 15.0
GOAL_RATIO = 0.5
_RESTORING = "restored"


def measure(world: World) -> Part:
    """Fill the state, then kill and measure, some times over."""
    rows_before, _ = world.stored_events()
    sender = Sender(world.doors, Ledger(), world.keys)
    num_acked = _fill(world)
    world.doors.wait_until_stored()
    to_alert_s = []
    for number in range(NUM_KILLS):
        to_alert_s.append(_kill(world, sender, number)[0])
        print(f"kill {number}: alert after {to_alert_s[-1]:.1f} s", file=sys.stderr)
    lost_to_alert_s, ours, baseline, num_records = [], [], [], 0
    for number in range(NUM_KILLS, NUM_KILLS + NUM_LOSSES):
        rate, num_records = _consume(world)
        baseline.append(rate)
        # Without it the next start takes the files for another release's, and begins with none.
        (world.settings.home / "stitcher" / FORMAT_FILE).unlink()
        alert_s, restore_s = _kill(world, sender, number)
        lost_to_alert_s.append(alert_s)
        ours.append(num_records / restore_s)
        print(f"kill {number}, files lost: alert after {alert_s:.1f} s, state in {restore_s:.2f} s", file=sys.stderr)
    world.doors.wait_until_stored()
    stored, distinct = world.stored_events()
    pairs = Pairs(tuple(ours), tuple(baseline))
    part = Part("recovery", details={"changelog_records": num_records, "to_alert_s": to_alert_s})
    part.figures = [
        Figure("R9 kill -9 → next alert, slowest", max(to_alert_s), "s", ("≤", GOAL_ALERT_S)),
        Figure("the same with the local files lost, slowest", max(lost_to_alert_s), "s"),
        pairs.figure("R9 state restored ÷ changelog consumed", ("≥", GOAL_RATIO)),
        Figure("state restored", pairs.median_ours, "records/s"),
        Figure("changelog consumed", pairs.median_baseline, "records/s"),
    ]
    part.ledger = [
        Check("events stored", rows_before + num_acked + sender.num_acked, stored),
        Check("events distinct", stored, distinct),
    ]
    return part


def _fill(world: World) -> int:
    doors = [Door(world.settings.port("gateway"), key) for key in world.keys]
    bodies = RunMaker("recovery").bodies(NUM_EVENTS)
    # The batches of a run keep their order, and its agent: one thread.
    return sum(doors[0].send(body) for body in bodies)


def _consume(world: World) -> tuple[float, int]:
    """Read the changelog to its end; return the records a second, and how many there are."""
    consumer = Consumer({"bootstrap.servers": world.settings.kafka_bootstrap, "group.id": "bench-state"})
    try:
        places = [TopicPartition(STATE.name, number, OFFSET_BEGINNING) for number in range(STATE.partitions)]
        ends = {place.partition: consumer.get_watermark_offsets(place, timeout=10) for place in places}
        # What compaction took away leaves gaps, so the end is an offset and not a count.
        left = {number for number, (low, high) in ends.items() if high > low}
        num_records, started = 0, time.perf_counter()
        consumer.assign(places)
        while left:
            if time.perf_counter() - started > CONSUME_WITHIN_S:
                raise RuntimeError("the changelog was not read in time")
            for message in consumer.consume(1_000, 0.2):
                number, offset = message.partition(), message.offset()
                if message.error() is None and number is not None and offset is not None:
                    num_records += 1
                    if offset + 1 >= ends[number][1]:
                        left.discard(number)
        return num_records / (time.perf_counter() - started), num_records
    finally:
        consumer.close()


def _kill(world: World, sender: Sender, number: int) -> tuple[float, float]:
    """Kill the stitcher; return the seconds to the next alert, and those that restoring took, 0 if none was seen."""
    pid, watch, template = world.pids()["stitcher"], AlertWatch(world.doors), RunTemplate("simple")
    stop, sent_ids = threading.Event(), set[str]()

    def probe() -> None:
        rank = 0
        while not stop.wait(PROBE_EVERY_S):
            name = f"recovery-{number}-{rank}"
            lines = dear(template.lines(name))
            sent_ids.add(trace_id_of(lines))
            sender.send_run(rank, name, lines, len(lines))
            rank += 1

    try:
        with ThreadPoolExecutor(2) as pool:
            os.kill(pid, signal.SIGKILL)
            killed_at, killed_s = time.time(), time.monotonic()
            probing, restoring = pool.submit(probe), pool.submit(_restore_seconds, world, killed_s)
            try:
                wait_until(
                    lambda: [at for trace_id, at in dict(watch.seen_at).items() if trace_id in set(sent_ids)],
                    bool,
                    "an alert after the kill",
                    within_s=ALERT_WITHIN_S,
                )
            finally:
                stop.set()
            probing.result()
            restore_s = restoring.result()
        first_at = min(at for trace_id, at in watch.seen_at.items() if trace_id in sent_ids)
        return first_at - killed_at, restore_s
    finally:
        watch.close()


def _restore_seconds(world: World, killed_s: float) -> float:
    """Seconds from "state is being restored" to ready, by the stitcher's own word; it is asked all the time."""
    began_s, is_gone = None, False
    for missing in _states(world):
        now = time.monotonic()
        if now - killed_s > ALERT_WITHIN_S:
            break
        if missing is not None and any(_RESTORING in reason for reason in missing):
            began_s = began_s or now
        elif missing == [] and is_gone:
            return 0.0 if began_s is None else now - began_s
        is_gone = is_gone or missing is None
    raise RuntimeError("the stitcher was not ready again in time")


def _states(world: World) -> Iterator[list[str] | None]:
    """What the stitcher says it misses; None while it does not answer."""
    url = f"http://127.0.0.1:{world.settings.port('stitcher_metrics')}/readyz"
    while True:
        try:
            with urlopen(url, timeout=2) as answer:
                body = json.load(answer)
        except HTTPError as error:
            body = json.load(error)
        except (URLError, OSError):
            body = None
        yield None if body is None else list(body.get("missing", []))
        time.sleep(0.01)
