"""R12: what the stack takes when nobody uses it: memory, processor, and the time to start in an empty home.

Upstream: the stack of the bench, just started.
Downstream: ``tests.bench``.
Guarantee: memory is that of the supervisor and all below it. PSS counts what processes share once, RSS once for each.
Programs and packages are downloaded before; the home is empty. Ledger: every part runs, none was started twice.
"""

import json
import time

import psutil

from tests.bench.harness import Check, CpuMeter, Figure, Part, tree_of
from tests.bench.world import World
from tests.stack import run_clawtrace

# Caches fill and the first snapshots expire meanwhile.
SETTLE_S = 20.0
IDLE_S = 10.0
GOAL_GIB = 3.0
GOAL_START_S = 60.0
GIB = 2**30


def measure(world: World) -> Part:
    """Wait until the stack is at rest, then look."""
    time.sleep(SETTLE_S)
    pids = world.pids()
    supervisor = psutil.Process(next(iter(pids.values()))).ppid()
    cpu = CpuMeter({"all": supervisor})
    time.sleep(IDLE_S)
    idle_seconds = cpu.stop()["all"]
    rss, pss = 0, 0
    for process in tree_of(supervisor):
        memory = process.memory_full_info()
        rss, pss = rss + memory.rss, pss + memory.pss
    status = json.loads(run_clawtrace("status", "--json", environment=world.environment).stdout)
    by_part = {name: sum(it.memory_full_info().pss for it in tree_of(pid)) for name, pid in pids.items()}
    part = Part("footprint", details={"pss_bytes": by_part})
    part.figures = [
        Figure("R12 idle memory, PSS", pss / GIB, "GiB", ("≤", GOAL_GIB)),
        Figure("idle memory, RSS", rss / GIB, "GiB"),
        Figure("R12 cold start, empty home", world.cold_start_s, "s", ("≤", GOAL_START_S)),
        Figure("idle processor", idle_seconds / IDLE_S * 100, "% of a core"),
    ]
    processes = status["processes"]
    part.ledger = [
        Check("parts that run", len(processes), sum(process["state"] == "running" for process in processes)),
        Check("restarts", 0, sum(process["restarts"] for process in processes)),
    ]
    return part
