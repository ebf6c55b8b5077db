"""One round of the campaign: runs come in from several agents while parts of the stack are killed or held.

Upstream: a seed; a running stack.
Downstream: ``python -m tests.faults`` and tests/integration/test_faults.py.
Guarantee: whatever happens, every delivery is sent until it is acknowledged, as the plugin does; after the round all
parts run again. The seed says which fault comes after how many deliveries.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import httpx2
import psutil

from infra.local.layout import Layout
from infra.local.status import look
from infra.runtime.access_keys import create_key, read_pepper
from infra.runtime.database import make_engine
from infra.runtime.fail_points import POINTS
from infra.runtime.settings import StackSettings
from tests.faults.ledger import Ledger
from tests.faults.mixture import Delivery, deliveries_of, runs_of
from tests.faults.oracle import findings_of
from tests.integration.doors import Doors, wait_until, wire_batch

VICTIMS: Final = ("gateway", "stitcher", "sink", "budgets", "upkeep", "kafka", "postgres", "trino")
# Ours are hit more often than what we build upon.
WEIGHTS: Final = (3, 4, 4, 1, 1, 1, 1, 1)
PAUSE_SHARE: Final = 0.25
# Of the kills of processes that have named places; the others come at any moment.
AT_POINT_SHARE: Final = 0.5
# In the life of one process; the sink comes to its places a few times in five seconds.
MAX_PASSES: Final = 5
MAX_PAUSE_S: Final = 5.0
NUM_SENDERS: Final = 4
AFTER_FAULTS: Final = 2
MAX_GAP_S: Final = 3.0
UP_AGAIN_WITHIN_S: Final = 180.0
SENT_WITHIN_S: Final = 180.0


@dataclass(frozen=True)
class Fault:
    """What happens to one part of the stack: killed, killed at a named place, held for ``held_s``, or told to
    end, after which it is started again, as in an upgrade.
    """

    victim: str
    kind: Literal["kill", "point", "hold", "restart"]
    after_deliveries: int
    held_s: float = 0.0
    point: str = ""

    def __str__(self) -> str:
        if self.kind == "hold":
            return f"hold {self.victim} {self.held_s:.1f} s"
        return f"kill at {self.point}" if self.kind == "point" else f"{self.kind} {self.victim}"


@dataclass
class Round:
    """What was done in a round, and what came of it."""

    seed: int
    num_events: int = 0
    num_runs: int = 0
    faults: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    took_s: float = 0.0


@dataclass(frozen=True)
class World:
    """The stack as a round needs it. ``pid_of`` is None while a part is down; ``is_up`` when all parts run.

    ``fail_point_file`` is the file that ``CLAWTRACE_FAIL_POINT`` of the stack names; without one nothing is killed at
    named places.
    """

    doors: Doors
    ledger: Ledger
    tenants: tuple[str, ...]
    key_of: Callable[[str, str], str]
    pid_of: Callable[[str], int | None]
    is_up: Callable[[], bool]
    fail_point_file: Path | None = None

    @classmethod
    def of(cls, doors: Doors, ledger: Ledger, tenants: tuple[str, ...], fail_point_file: Path | None = None) -> "World":
        """Reach a stack by what is behind ``clawtrace keys`` and ``clawtrace status``: no process for each look."""
        layout = Layout.of(doors.stack)
        keys: dict[tuple[str, str], str] = {}

        def key_of(tenant_id: str, agent_id: str) -> str:
            if (tenant_id, agent_id) not in keys:
                keys[tenant_id, agent_id] = ingest_key(doors.stack, tenant_id, agent_id)
            return keys[tenant_id, agent_id]

        def pid_of(name: str) -> int | None:
            return next(process.pid for process in look(layout)[0].processes if process.name == name)

        return cls(doors, ledger, tenants, key_of, pid_of, lambda: look(layout)[0].ready, fail_point_file)


def ingest_key(stack: StackSettings, tenant_id: str, agent_id: str) -> str:
    """Make the key of an agent."""
    engine = make_engine(stack)
    try:
        pepper = read_pepper(stack.key_pepper_file)
        return create_key(engine, pepper, tenant_id=tenant_id, agent_id=agent_id, scope="ingest").key
    finally:
        engine.dispose()


def faults_of(seed: int, num_faults: int, num_deliveries: int, *, with_points: bool = False) -> list[Fault]:
    """Choose what happens when, in order; the last of them come when all is sent and the stack still works on it."""
    chooser = random.Random(f"{seed}/faults")
    places = sorted(chooser.randrange(num_deliveries) for _ in range(max(0, num_faults - AFTER_FAULTS)))
    places += [num_deliveries] * (num_faults - len(places))
    faults = []
    for place in places:
        (victim,) = chooser.choices(VICTIMS, WEIGHTS)
        is_held = chooser.random() < PAUSE_SHARE
        points = [point for point in POINTS if point.startswith(f"{victim}.")]
        if is_held:
            faults.append(Fault(victim, "hold", place, held_s=round(chooser.uniform(0.05, MAX_PAUSE_S), 2)))
        elif with_points and points and chooser.random() < AT_POINT_SHARE:
            point = f"{chooser.choice(points)}:{chooser.randint(1, MAX_PASSES)}"
            faults.append(Fault(victim, "point", place, point=point))
        else:
            faults.append(Fault(victim, "kill", place))
    return faults


def play(world: World, seed: int, num_runs: int, num_faults: int, more: Sequence[Fault] = ()) -> Round:
    """Play one round; the result says what is wrong, if anything is.

    ``more`` are faults besides those that the seed chooses.
    """
    began_s = time.monotonic()
    runs = runs_of(seed, num_runs, world.tenants)
    in_time, late = deliveries_of(seed, runs)
    told = Round(seed, num_events=sum(run.expected.num_events for run in runs), num_runs=num_runs)
    with_points = world.fail_point_file is not None
    faults = faults_of(seed, num_faults, len(in_time) + len(late), with_points=with_points)
    faults = sorted([*faults, *more], key=lambda fault: fault.after_deliveries)
    chaos = _Chaos(world, faults, told.faults, seed)
    # The deliveries of a run keep their order, so a run belongs to one sender.
    lane_of = {run: number % NUM_SENDERS for number, run in enumerate(runs)}
    for run in runs:
        # All keys now: later the part that makes them may be down.
        world.key_of(run.tenant_id, run.agent_id)
    for deliveries in (in_time, late):
        lanes: list[list[Delivery]] = [[] for _ in range(NUM_SENDERS)]
        for delivery in deliveries:
            lanes[lane_of[delivery.run]].append(delivery)
        with ThreadPoolExecutor(NUM_SENDERS) as pool:
            for done in [pool.submit(_send_all, world, lane, chaos) for lane in lanes]:
                done.result()
    chaos.finish()
    wait_until(world.is_up, bool, f"all parts run again after {told.faults}", within_s=UP_AGAIN_WITHIN_S)
    told.findings = findings_of(world.doors, world.ledger, runs, world.tenants)
    told.took_s = time.monotonic() - began_s
    return told


def _send_all(world: World, deliveries: list[Delivery], chaos: "_Chaos") -> None:
    for delivery in deliveries:
        world.ledger.note(delivery)
        key = world.key_of(delivery.run.tenant_id, delivery.run.agent_id)
        body = wire_batch(delivery.lines, delivery.spool_id, delivery.first_seq)

        def status(key: str = key, body: dict[str, object] = body) -> int:
            try:
                return world.doors.send(key, body).status_code
            except httpx2.TransportError:
                return 0

        wait_until(status, lambda found: found == 202, "delivery acknowledged", within_s=SENT_WITHIN_S)
        world.ledger.acknowledge(delivery)
        chaos.on_delivery()


class _Chaos:
    """Lets the faults happen when their time has come."""

    def __init__(self, world: World, faults: list[Fault], told: list[str], seed: int) -> None:
        self._world, self._faults, self._told = world, list(faults), told
        self._chooser = random.Random(f"{seed}/gaps")
        self._lock = threading.Lock()
        self._num_delivered = 0
        self._holders: list[threading.Thread] = []

    def on_delivery(self) -> None:
        """Count one; the sender that comes to the place of a fault lets it happen."""
        with self._lock:
            self._num_delivered += 1
            while self._faults and self._faults[0].after_deliveries < self._num_delivered:
                self._do(self._faults.pop(0))

    def finish(self) -> None:
        """Let the rest happen, with pauses, and wait until nothing is held any more."""
        for fault in self._faults:
            time.sleep(self._chooser.uniform(0, MAX_GAP_S))
            self._do(fault)
        for holder in self._holders:
            holder.join()
        self._disarm()

    def _disarm(self) -> None:
        """Take back the point that is armed, if none of the processes has come to it."""
        file = self._world.fail_point_file
        if file is not None and file.exists():
            self._told.append(f"{file.read_text()} was not reached")
            file.unlink(missing_ok=True)

    def _do(self, fault: Fault) -> None:
        if fault.kind == "point":
            assert self._world.fail_point_file is not None
            self._disarm()
            self._told.append(str(fault))
            self._world.fail_point_file.write_text(fault.point)
            return
        pid = self._world.pid_of(fault.victim)
        if pid is None:
            self._told.append(f"{fault.victim} is down already")
            return
        self._told.append(str(fault))
        if fault.kind != "hold":
            _signal(pid, signal.SIGKILL if fault.kind == "kill" else signal.SIGTERM)
            return
        # Postgres answers from processes of its own: held alone, its first one would only let nobody new in.
        held = _family(pid)
        for member in held:
            _signal(member, signal.SIGSTOP)
        holder = threading.Timer(fault.held_s, _signal_all, (held, signal.SIGCONT))
        holder.start()
        self._holders.append(holder)


def _family(pid: int) -> list[int]:
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [pid]


def _signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        _signal(pid, number)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        # It ended by itself meanwhile; the supervisor starts it again.
        return
