"""What a release left behind in the topics: events, the stitcher's state in the middle of runs, and its outputs.

Upstream: the shipped routine and core at the time of that release, over captured runs.
Downstream: test_older_release.py, with the code of today.
Guarantee: a file is written once, with the release, and never again: ``python -m
tests.unit.stream_jobs.processors.older_release <release>``.
"""

import asyncio
import base64
import gzip
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from producers.contracts.event import encode_event_batch, make_tick
from stream_jobs.processors.backtest import BookCore
from stream_jobs.processors.stitcher import Stitcher
from tests.captures import ROOT
from tests.unit.stream_jobs.core.stitching import PRICES, RULES, batch_of, events_of, lines_of
from tests.unit.stream_jobs.processors.test_stitcher import TOPOLOGY, Shell, record

FOLDER: Final = ROOT / "tests/data/older-release"
SCENARIOS: Final = ("multi-tool", "runaway", "subagent", "tool-error")
BATCH_EVENTS: Final = 5
# Soon after the instant at which the batches say they came.
TICK_US: Final = 1_000_000


@dataclass(frozen=True)
class LeftBehind:
    """One agent's partition: all records, how many were done, and what the topics held then."""

    records: list[bytes]
    num_done: int
    state: dict[bytes, bytes]
    outputs: list[tuple[str, bytes]]


def stitch_records(records: list[bytes], kept: dict[bytes, bytes]) -> list[tuple[str, bytes]]:
    """Work through a partition from its beginning, over this state, which changes; return what is sent."""
    shell = Shell(kept=kept, acknowledge=True)

    async def run() -> None:
        stitcher = Stitcher(shell, BookCore(PRICES, RULES), TOPOLOGY)
        for offset, value in enumerate(records):
            await stitcher.process(record(offset, value))
            await stitcher.drain()
        stitcher.close()

    asyncio.run(run())
    return [(topic, value) for topic, _, value, _ in shell.sent]


def records_of(scenario: str) -> list[bytes]:
    """The run as the gateway writes it, with a tick amid it."""
    events = events_of(lines_of(scenario))
    starts = range(0, len(events), BATCH_EVENTS)
    records = [encode_event_batch(batch_of(events[start : start + BATCH_EVENTS])) for start in starts]
    middle = len(records) // 2
    return [*records[:middle], encode_event_batch(make_tick(TICK_US)), *records[middle:]]


def leave_behind(scenario: str) -> LeftBehind:
    """Stop in the middle of a run."""
    records = records_of(scenario)
    num_done = len(records) // 2 + 1
    state: dict[bytes, bytes] = {}
    outputs = stitch_records(records[:num_done], state)
    return LeftBehind(records, num_done, state, outputs)


def write(path: Path, left: dict[str, LeftBehind]) -> None:
    """Keep it."""
    told = {
        scenario: {
            "records": [_text(value) for value in one.records],
            "num_done": one.num_done,
            "state": {_text(key): _text(value) for key, value in sorted(one.state.items())},
            "outputs": [[topic, _text(value)] for topic, value in one.outputs],
        }
        for scenario, one in left.items()
    }
    path.write_bytes(gzip.compress(json.dumps(told, indent=0).encode(), mtime=0))


def read(path: Path) -> dict[str, LeftBehind]:
    """Read what was kept."""
    told = json.loads(gzip.decompress(path.read_bytes()))
    return {
        scenario: LeftBehind(
            [_bytes(value) for value in one["records"]],
            one["num_done"],
            {_bytes(key): _bytes(value) for key, value in one["state"].items()},
            [(topic, _bytes(value)) for topic, value in one["outputs"]],
        )
        for scenario, one in told.items()
    }


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)


if __name__ == "__main__":
    write(FOLDER / f"{sys.argv[1]}.json.gz", {scenario: leave_behind(scenario) for scenario in SCENARIOS})
