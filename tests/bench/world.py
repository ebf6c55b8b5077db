"""The fresh stack that the parts of ``make bench`` share, and the keys to it.

Upstream: tests/stack.py.
Downstream: every part.
Guarantee: a part that kills or fills something says so; each starts with everything stored that was sent before it.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2
import psutil

from infra.runtime.settings import StackSettings
from tests.integration.doors import Doors
from tests.stack import run_clawtrace, running_stack, settings_of

PORT_BASE = 4840
# All is stored when every table says so. One that gets no rows says it once a minute by default, and what is measured
# is when rows are there.
QUICKER_MARKS = {"CLAWTRACE_SINK_MARK_SECONDS": "5"}
TENANT = "benchten"
NUM_AGENTS = 8


@dataclass(frozen=True)
class World:
    """A stack that runs. ``cold_start_s`` is what it took to start in an empty home; ``keys`` are one an agent."""

    environment: dict[str, str]
    settings: StackSettings
    doors: Doors
    keys: tuple[str, ...]
    cold_start_s: float

    def pids(self) -> dict[str, int]:
        """Process ids of the parts that run, by name."""
        status = json.loads(run_clawtrace("status", "--json", environment=self.environment).stdout)
        return {process["name"]: process["pid"] for process in status["processes"] if process["pid"]}

    def stored_events(self) -> tuple[int, int]:
        """Events of the bench's tenant in the table: rows, and different ones."""
        question = f"SELECT count(*), count(DISTINCT event_id) FROM iceberg.silver.events WHERE tenant_id = '{TENANT}'"
        num_rows, num_distinct = self.doors.operator_rows(question)[0]
        return int(num_rows), int(num_distinct)


@contextmanager
def running_world(**settings: str) -> Iterator[World]:
    """Start the stack, make the keys, yield both, stop it. ``settings`` are environment variables."""
    started_s = time.monotonic()
    with (
        running_stack(".clawtrace-bench", PORT_BASE, **QUICKER_MARKS, **settings) as environment,
        httpx2.Client(timeout=60, trust_env=False) as client,
    ):
        cold_start_s = time.monotonic() - started_s
        settings = settings_of(environment)
        keys = tuple(make_key(environment, TENANT, number) for number in range(NUM_AGENTS))
        yield World(environment, settings, Doors(settings, client), keys, cold_start_s)


def make_key(environment: dict[str, str], tenant_id: str, number: int) -> str:
    """Make a key for events of one agent."""
    owner = ("--tenant", tenant_id, "--agent", f"agent-{number}")
    made = run_clawtrace("keys", "create", *owner, "--scope", "ingest", "--json", environment=environment)
    return str(json.loads(made.stdout)["key"])


def machine() -> str:
    """The machine in one line."""
    return f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"


def at_rate(num: int, per_s: float, do: Callable[[int], None]) -> None:
    """Call ``do`` on a fixed schedule; a stall is charged to every call that waited behind it."""
    started = time.monotonic()
    for number in range(num):
        wait_s = started + number / per_s - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        do(number)
