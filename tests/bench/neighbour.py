"""F16: a tenant's alerts while its neighbour pushes all it can against its bound at the gateway.

Upstream: a fresh stack of the bench whose gateway takes ``TENANT_EVENTS_PER_S`` of each tenant; captured runs.
Downstream: a table for people, one line of JSON.
Guarantee: the neighbour sends from the first probe to the last. Ledger: every probe was seen and none refused; what was
acknowledged to either tenant is stored once, and only the neighbour was told to wait.

    python -m tests.bench.neighbour
"""

import itertools
import json
import multiprocessing
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import synchronize

import httpx2
from rich.console import Console

from tests.bench.__main__ import PLAIN_WIDTH, print_part
from tests.bench.harness import Check, Figure, Part
from tests.bench.latency import BATCH_EVENTS, Ledger, Sender, ack_to_alert
from tests.bench.world import TENANT, World, machine, make_key, running_world
from tests.integration.doors import Doors, spool_id_of, wire_batch
from tests.load import RunTemplate
from tests.stack import settings_of

NEIGHBOUR = "benchhot"
TENANT_EVENTS_PER_S = 1_000
NUM_PUSHERS = 4
MOST_SLOWER = 2.0
ENDS_WITHIN_S = 120.0
ACCEPTED, TOLD_TO_WAIT = 202, 429


@dataclass
class Neighbour:
    """What the hot tenant was answered: batches by status, and the events that were acknowledged."""

    answers: Counter[int] = field(default_factory=Counter)
    num_acked: int = 0


@contextmanager
def pushing(world: World) -> Iterator[Neighbour]:
    """Push until the end of the block, from a process of its own: what it spends must not slow the probes here."""
    context = multiprocessing.get_context("spawn")
    stop, told = context.Event(), context.Queue()
    keys = [make_key(world.environment, NEIGHBOUR, number) for number in range(NUM_PUSHERS)]
    process = context.Process(target=_push_all, args=(world.environment, keys, stop, told), daemon=True)
    process.start()
    neighbour = Neighbour()
    try:
        yield neighbour
    finally:
        stop.set()
        for found in (told.get(timeout=ENDS_WITHIN_S) for _ in keys):
            neighbour.answers += found.answers
            neighbour.num_acked += found.num_acked
        process.join()


def _push_all(
    environment: dict[str, str], keys: list[str], stop: synchronize.Event, told: "multiprocessing.Queue[Neighbour]"
) -> None:
    with httpx2.Client(timeout=60, trust_env=False) as client:
        doors = Doors(settings_of(environment), client)
        pushers = [threading.Thread(target=_push, args=(doors, key, stop, told)) for key in keys]
        for pusher in pushers:
            pusher.start()
        for pusher in pushers:
            pusher.join()


def _push(doors: Doors, key: str, stop: synchronize.Event, told: "multiprocessing.Queue[Neighbour]") -> None:
    """Send runs as quickly as the gateway answers; a batch that is refused is sent again at once."""
    template, found = RunTemplate("multi-tool"), Neighbour()
    for number in itertools.count():
        name = f"{key[-12:]}-{number}"
        lines, spool_id = template.lines(name), spool_id_of(NEIGHBOUR, name)
        for first in range(0, len(lines), BATCH_EVENTS):
            batch, status = wire_batch(lines[first : first + BATCH_EVENTS], spool_id, first), 0
            while status != ACCEPTED:
                if stop.is_set():
                    told.put(found)
                    return
                answer = doors.send(key, batch)
                status = answer.status_code
                found.answers[status] += 1
            found.num_acked += answer.json()["accepted"]


def measure(world: World) -> Part:
    """Measure alerts alone, then beside the neighbour."""
    sender = Sender(world.doors, Ledger(), world.keys)
    calm = ack_to_alert(world.doors, sender, 0)
    with pushing(world) as neighbour:
        beside = ack_to_alert(world.doors, sender, 0, " beside a hot tenant")
    world.doors.wait_until_stored()
    stored = dict(
        world.doors.operator_rows("SELECT tenant_id, count(DISTINCT event_id) FROM iceberg.silver.events GROUP BY 1")
    )
    part = Part("neighbour")
    part.figures = [
        Figure("alone, p50", calm.p50_ms, "ms"),
        Figure("alone, p99", calm.p99_ms, "ms"),
        Figure("beside the hot tenant, p50", beside.p50_ms, "ms"),
        Figure("beside the hot tenant, p99", beside.p99_ms, "ms"),
        Figure("p99, beside ÷ alone", beside.p99_ms / calm.p99_ms, goal=("≤", MOST_SLOWER)),
        Figure("batches of the hot tenant that were taken", neighbour.answers[ACCEPTED]),
        Figure("batches of the hot tenant that were told to wait", neighbour.answers[TOLD_TO_WAIT]),
    ]
    part.ledger = [
        Check(f"events of {TENANT}", sender.num_acked, stored.get(TENANT, 0)),
        Check(f"events of {NEIGHBOUR}", neighbour.num_acked, stored.get(NEIGHBOUR, 0)),
        Check("probes seen", calm.num_probes + beside.num_probes, 2 * calm.num_probes - calm.missing - beside.missing),
        Check(
            "answers other than 202 and 429",
            0,
            neighbour.answers.total() - neighbour.answers[ACCEPTED] - neighbour.answers[TOLD_TO_WAIT],
        ),
    ]
    return part


def main() -> int:
    """Run on a fresh stack; 0 when the ledger balances."""
    with running_world(CLAWTRACE_GATEWAY_TENANT_EVENTS_PER_S=str(TENANT_EVENTS_PER_S)) as world:
        part = measure(world)
    print_part(part, Console(stderr=True, width=None if sys.stderr.isatty() else PLAIN_WIDTH))
    print(json.dumps({"machine": machine(), part.name: part.as_json()}))
    return 0 if part.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
