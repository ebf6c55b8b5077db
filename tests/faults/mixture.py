"""What a round sends: captured runs of several tenants and agents, cut, repeated, late, out of order and padded.

Upstream: a seed.
Downstream: ``campaign`` sends the deliveries, ``oracle`` knows from ``Run.expected`` what must come of them.
Guarantee: the same seed and names give the same deliveries. Whatever is done to the order, the events of a run are all
sent, each at least once.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.captures import SCENARIOS
from tests.expected import Expected, expected_of
from tests.integration.doors import spool_id_of
from tests.load import RunTemplate

NUM_AGENTS = 3
MAX_CUTS = 3
REPEAT_SHARE = 0.2
SWAP_SHARE = 0.15
LATE_SHARE = 0.1
PAD_SHARE = 0.3
MIN_PAD_BYTES, MAX_PAD_BYTES = 200, 64_000
# Captures that name a trace: only of those it is known from their lines what must come out.
USABLE = tuple(name for name in SCENARIOS if expected_of(name).trace_ids)


@dataclass(frozen=True)
class Run:
    """One copy of a captured run."""

    name: str
    tenant_id: str
    agent_id: str
    scenario: str

    @property
    def expected(self) -> Expected:
        """What its lines say."""
        return expected_of(self.scenario)


@dataclass(frozen=True)
class Delivery:
    """One request to the gateway."""

    run: Run
    first_seq: int
    lines: tuple[dict[str, Any], ...]

    @property
    def spool_id(self) -> str:
        """A run is a spool of its own."""
        return spool_id_of(self.run.name)

    @property
    def seqs(self) -> range:
        """Numbers of its events within the spool."""
        return range(self.first_seq, self.first_seq + len(self.lines))


def runs_of(seed: int, num_runs: int, tenants: tuple[str, ...]) -> list[Run]:
    """Choose the runs of a round; the first tenant has most of them, so that tenants differ in size."""
    chooser = random.Random(f"{seed}/runs")
    weights = [2.0**-number for number in range(len(tenants))]
    return [
        Run(
            name=f"{seed}-{number}-{tenants[0]}",
            tenant_id=chooser.choices(tenants, weights)[0],
            agent_id=f"agent{chooser.randrange(NUM_AGENTS)}",
            scenario=chooser.choice(USABLE),
        )
        for number in range(num_runs)
    ]


def deliveries_of(seed: int, runs: list[Run]) -> tuple[list[Delivery], list[Delivery]]:
    """Cut runs into deliveries; the second list is for after all others: what comes late."""
    chooser = random.Random(f"{seed}/deliveries")
    in_time: list[Delivery] = []
    late: list[Delivery] = []
    for run in runs:
        parts = list(_parts(chooser, run))
        if len(parts) > 1 and chooser.random() < SWAP_SHARE:
            at = chooser.randrange(len(parts) - 1)
            parts[at], parts[at + 1] = parts[at + 1], parts[at]
        if len(parts) > 1 and chooser.random() < LATE_SHARE:
            late.append(parts.pop())
        for part in parts:
            in_time.append(part)
            if chooser.random() < REPEAT_SHARE:
                (late if chooser.random() < LATE_SHARE else in_time).append(part)
    return in_time, late


def _parts(chooser: random.Random, run: Run) -> Iterator[Delivery]:
    lines = RunTemplate(run.scenario).lines(run.name)
    for line in lines:
        _pad(chooser, line)
    cuts = sorted(chooser.sample(range(1, len(lines)), min(chooser.randrange(MAX_CUTS + 1), len(lines) - 1)))
    for start, end in zip([0, *cuts], [*cuts, len(lines)], strict=True):
        yield Delivery(run, start, tuple(lines[start:end]))


def _pad(chooser: random.Random, line: dict[str, Any]) -> None:
    """Make the text of a tool's result as long as such texts are in the field."""
    result = line["event"].get("result") if line["hook"] == "after_tool_call" else None
    texts = [part for part in (result or {}).get("content", []) if isinstance(part, dict) and "text" in part]
    if texts and chooser.random() < PAD_SHARE:
        num_bytes = int(MIN_PAD_BYTES * (MAX_PAD_BYTES / MIN_PAD_BYTES) ** chooser.random())
        texts[0]["text"] += f"\n{chooser.randbytes(num_bytes // 2).hex()}"
