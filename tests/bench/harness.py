"""What all parts of ``make bench`` share: figures with their goal and ledger, pairs that take turns, CPU by process.

Upstream: the parts, one module each.
Downstream: ``tests.bench`` prints the figures for people and as one line of JSON.
Guarantee: a ratio is the median over pairs of which ours and the baseline ran one right after the other, told with its
spread; a figure without a ledger that balances is no figure, and the exit code says so.
"""

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import psutil

from infra.runtime.collector import collect_seldom

# Beyond it a ratio is of a busy machine: it is told, and marked.
STEADY_SPREAD: Final = 0.15

Goal = tuple[Literal["≥", "≤"], float]


@dataclass(frozen=True)
class Figure:
    """One measured thing. ``spread`` is (largest - smallest) / median over the pairs, None without pairs."""

    name: str
    value: float
    unit: str = ""
    goal: Goal | None = None
    spread: float | None = None

    @property
    def is_reached(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        sign, bound = self.goal
        return self.value >= bound if sign == "≥" else self.value <= bound

    @property
    def text(self) -> str:
        """The value as people read it."""
        digits = 0 if abs(self.value) >= 100 else 1 if abs(self.value) >= 10 else 3
        return f"{self.value:,.{digits}f} {self.unit}".rstrip()

    @property
    def goal_text(self) -> str:
        """The goal as people read it, and whether it is reached."""
        if self.goal is None:
            return ""
        return f"{self.goal[0]} {self.goal[1]:,g}: {'yes' if self.is_reached else 'NO'}"

    @property
    def spread_text(self) -> str:
        """The spread as people read it."""
        if self.spread is None:
            return ""
        return f"{self.spread:.0%}" + ("" if self.spread <= STEADY_SPREAD else " (unsteady)")


@dataclass(frozen=True)
class Check:
    """One line of a ledger: two counts that must be the same."""

    what: str
    wanted: int
    found: int

    @property
    def balances(self) -> bool:
        """Whether they are."""
        return self.wanted == self.found

    def __str__(self) -> str:
        verdict = "balances" if self.balances else "DOES NOT BALANCE"
        return f"{self.what}: {self.wanted:,} wanted, {self.found:,} found: {verdict}"


@dataclass
class Part:
    """What one part found. ``details`` are further numbers, for the line of JSON."""

    name: str
    figures: list[Figure] = field(default_factory=list)
    ledger: list[Check] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    load_average: float = field(default_factory=lambda: round(os.getloadavg()[0], 1))

    @property
    def is_good(self) -> bool:
        """Whether there is a ledger and all of it balances."""
        return bool(self.ledger) and all(check.balances for check in self.ledger)

    def as_json(self) -> dict[str, Any]:
        """The part for programs."""
        return {
            "figures": [asdict(figure) | {"is_reached": figure.is_reached} for figure in self.figures],
            "ledger": [asdict(check) | {"balances": check.balances} for check in self.ledger],
            "details": self.details,
            "load_average": self.load_average,
        }


@dataclass(frozen=True)
class Pairs:
    """What ours and the baseline took, pair by pair, in one unit (seconds, or events a second)."""

    ours: tuple[float, ...]
    baseline: tuple[float, ...]

    @property
    def median_ours(self) -> float:
        """Median of ours."""
        return statistics.median(self.ours)

    @property
    def median_baseline(self) -> float:
        """Median of the baseline."""
        return statistics.median(self.baseline)

    def figure(self, name: str, goal: Goal | None = None) -> Figure:
        """Ours ÷ baseline: median and spread of the ratios of the pairs."""
        ratios = [ours / baseline for ours, baseline in zip(self.ours, self.baseline, strict=True)]
        median = statistics.median(ratios)
        return Figure(name, median, goal=goal, spread=(max(ratios) - min(ratios)) / median)


def take_turns(ours: Callable[[], float], baseline: Callable[[], float], num_pairs: int, num_warm_up: int = 1) -> Pairs:
    """Run A/B/A/B …; which of the two begins changes from pair to pair, so that neither gains by its place."""
    for _ in range(num_warm_up):
        ours(), baseline()
    found: dict[str, list[float]] = {"ours": [], "baseline": []}
    both = {"ours": ours, "baseline": baseline}
    for number in range(num_pairs):
        for name in sorted(both, reverse=number % 2 == 0):
            found[name].append(both[name]())
    return Pairs(tuple(found["ours"]), tuple(found["baseline"]))


@contextmanager
def collected_seldom() -> Iterator[None]:
    """Set the collector as the processes do, for ours and for the baseline, and back again."""
    before = gc.get_threshold()
    collect_seldom()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which that share lies; NaN of nothing."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("nan")


class CpuMeter:
    """Processor seconds of named processes, with their children, since it was made."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        """``pids`` by the name of the part."""
        self._pids = dict(pids)
        self._before = self._seconds()
        self._started_s = time.monotonic()

    def stop(self) -> dict[str, float]:
        """Seconds by name."""
        after = self._seconds()
        return {name: max(0.0, after[name] - self._before[name]) for name in self._pids}

    def _seconds(self) -> dict[str, float]:
        return {name: sum(map(_cpu_seconds, tree_of(pid))) for name, pid in self._pids.items()}


def tree_of(pid: int) -> list[psutil.Process]:
    """A process and all below it; empty when it is gone."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
