"""An hour of ordinary load: whether commits take longer, rows come later, files or memory become more as time goes by.

Upstream: a fresh stack of the bench with all rules and upkeep on; captured runs at a steady rate; the sink's metrics.
Downstream: a table for people, one line of JSON.
Guarantee: the last sixth of the time is held against the first. Files are a saw-tooth, because upkeep rewrites the
small ones every ten minutes, so its highest points are compared. Ledger: events acknowledged, stored, distinct.

    python -m tests.bench.hour --minutes 60
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import httpx2
import psutil
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from infra.runtime.settings import LOOPBACK
from tests.bench.__main__ import PLAIN_WIDTH, print_part
from tests.bench.harness import Check, Figure, Goal, Part, tree_of
from tests.bench.latency import Background, Ledger, Sender
from tests.bench.world import World, machine, running_world

EVENTS_PER_S = 300
SAMPLE_EVERY_S = 5.0
# Of the whole time: ten minutes of an hour.
WINDOW_SHARE = 1 / 6
MOST_GROWTH: Goal = ("≤", 1.2)
# What the first commits of a fresh process take says nothing.
SETTLE_S = 30.0
_COMMITS = "clawtrace_sink_commit_seconds"
_FRESHNESS = "clawtrace_sink_freshness_seconds"
_FILES = "clawtrace_sink_table_files"
# What people ask for first.
TABLE_OF_FRESHNESS = "spans"


@dataclass(frozen=True)
class Sample:
    """What the sink's metrics say at an instant: sums over all tables, and the files that the tables hold.

    Beside it what all processes of the stack hold: memory, and open files.
    """

    at_s: float
    commit_seconds: float
    num_commits: float
    freshness_seconds: float
    num_fresh: float
    num_files: float
    resident_bytes: int
    num_open_files: int


@dataclass(frozen=True)
class Window:
    """What happened between the first and the last of some samples."""

    mean_commit_s: float
    mean_freshness_s: float
    most_files: float
    num_commits: int
    mean_resident_bytes: float
    most_open_files: int

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> "Window":
        """Take differences of what only grows, and the highest of the files."""
        first, last = samples[0], samples[-1]
        num_commits, num_fresh = last.num_commits - first.num_commits, last.num_fresh - first.num_fresh
        return cls(
            (last.commit_seconds - first.commit_seconds) / num_commits,
            (last.freshness_seconds - first.freshness_seconds) / num_fresh,
            max(sample.num_files for sample in samples),
            int(num_commits),
            statistics.mean(sample.resident_bytes for sample in samples),
            max(sample.num_open_files for sample in samples),
        )


def _sample(client: httpx2.Client, pids: Iterable[int], at_s: float) -> Sample:
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(client.get("/metrics").raise_for_status().text):
        for sample in family.samples:
            if not sample.name.startswith(_FRESHNESS) or sample.labels["table"] == TABLE_OF_FRESHNESS:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    names = (f"{_COMMITS}_sum", f"{_COMMITS}_count", f"{_FRESHNESS}_sum", f"{_FRESHNESS}_count", _FILES)
    held = [_held_by(process) for pid in pids for process in tree_of(pid)]
    num_bytes, num_files = (sum(numbers) for numbers in zip(*held, strict=True))
    return Sample(at_s, *(found.get(name, 0.0) for name in names), resident_bytes=num_bytes, num_open_files=num_files)


def _held_by(process: psutil.Process) -> tuple[int, int]:
    try:
        return process.memory_info().rss, process.num_fds()
    except psutil.NoSuchProcess:
        # A connection of Postgres has a process of its own.
        return 0, 0


def _samples(world: World, seconds: float) -> list[Sample]:
    samples: list[Sample] = []
    pids = world.pids().values()
    url = f"http://{LOOPBACK}:{world.settings.port('sink_metrics')}"
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with (
        httpx2.Client(base_url=url, trust_env=False, timeout=30.0) as client,
        Progress(*columns, console=Console(stderr=True)) as progress,
    ):
        task = progress.add_task(f"{EVENTS_PER_S} events/s", total=seconds)
        started = time.monotonic()
        while (passed_s := time.monotonic() - started) < seconds:
            if passed_s >= SETTLE_S:
                samples.append(_sample(client, pids, passed_s))
            progress.update(task, completed=passed_s)
            time.sleep(SAMPLE_EVERY_S)
    return samples


def measure(world: World, seconds: float) -> Part:
    """Hold the rate for so long, and compare the end with the beginning."""
    sender = Sender(world.doors, Ledger(), world.keys)
    with Background(sender, EVENTS_PER_S, "hour") as load:
        samples = _samples(world, seconds)
    world.doors.wait_until_stored()
    stored, distinct = world.stored_events()
    window_s = seconds * WINDOW_SHARE
    first = Window.of([it for it in samples if it.at_s <= window_s])
    last = Window.of([it for it in samples if it.at_s >= seconds - window_s])
    part = Part("hour")
    minutes = f"{window_s / 60:g} minutes"
    part.figures = [
        Figure("rate held", load.measured_events_per_s, "events/s"),
        Figure(f"a commit, first {minutes}", first.mean_commit_s * 1000, "ms"),
        Figure(f"a commit, last {minutes}", last.mean_commit_s * 1000, "ms"),
        Figure("commit time, last ÷ first", last.mean_commit_s / first.mean_commit_s, goal=MOST_GROWTH),
        Figure(f"most files of all tables, first {minutes}", first.most_files),
        Figure(f"most files of all tables, last {minutes}", last.most_files),
        Figure("files, last ÷ first", last.most_files / first.most_files, goal=MOST_GROWTH),
        Figure(f"written → committed, first {minutes}", first.mean_freshness_s, "s"),
        Figure(f"written → committed, last {minutes}", last.mean_freshness_s, "s"),
        Figure("freshness, last ÷ first", last.mean_freshness_s / first.mean_freshness_s, goal=MOST_GROWTH),
        Figure("memory of all processes, last ÷ first", last.mean_resident_bytes / first.mean_resident_bytes),
        Figure("most files open, last ÷ first", last.most_open_files / first.most_open_files),
    ]
    part.ledger = [Check("events stored", sender.num_acked, stored), Check("events distinct", stored, distinct)]
    part.details = {"first": asdict(first), "last": asdict(last), "samples": [asdict(it) for it in samples]}
    return part


def main() -> int:
    """Run the hour on a fresh stack; 0 when the ledger balances."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.hour", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long the rate is held (default: 60)")
    seconds = parser.parse_args().minutes * 60
    if seconds * WINDOW_SHARE < SETTLE_S + 2 * SAMPLE_EVERY_S:
        parser.error("--minutes: at least 5, or there is nothing to compare")
    with running_world() as world:
        part = measure(world, seconds)
    print_part(part, Console(stderr=True, width=None if sys.stderr.isatty() else PLAIN_WIDTH))
    print(json.dumps({"machine": machine(), part.name: part.as_json()}))
    return 0 if part.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
