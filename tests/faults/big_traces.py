"""Traces bigger than any in the field, and what they cost the stitcher: wide, deep, the same call over and over.

Upstream: a shape and a size; the shipped routine and core, over a store in memory or in RocksDB as the stitcher's.
Downstream: tests/unit/stream_jobs/processors/test_big_traces.py at small sizes; ``python -m tests.faults.big_traces``
at full ones, each in a process of its own, for its memory is measured.
Guarantee: the same shape and size give the same events; a shape of size n has n spans or one more.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import msgspec

from infra.runtime.topics import MAX_RECORD_BYTES
from producers.contracts.event import encode_event_batch
from stream_jobs.contracts.span import SpanBatch
from stream_jobs.processors.again import MemoryStore
from stream_jobs.processors.backtest import BookCore
from stream_jobs.processors.journal import Change
from stream_jobs.processors.shell import SourceRecord
from stream_jobs.processors.state import PartitionStore
from stream_jobs.processors.stitcher import Stitcher
from stream_jobs.processors.topology import Topology
from tests.captures import ROOT
from tests.lone_shell import LoneShell, open_state, peak_rss_bytes
from tests.unit.stream_jobs.core.hooks import START_MS, Script
from tests.unit.stream_jobs.core.stitching import PRICES, RULES, batch_of

EVENTS_A_RECORD: Final = 50
# As far apart as records of a busy agent come.
RECORD_EVERY_US: Final = 500_000
_ASSIGNMENT: Final = 1
_TOPOLOGY: Final = Topology.with_prefix("")
# Shape, its full size, the small one that memory is compared with, and how much more it may take. The one record with
# which the parent of 50,000 runs comes leads to 50,000 spans at once: that is the only one that takes more.
FULL: Final = (
    ("flat", 100_000, 1_000, 2.0),
    ("chain", 5_000, 1_000, 2.0),
    ("children", 50_000, 1_000, 2.0),
    ("orphans", 50_000, 1_000, 6.0),
    ("tops", 10_000, 1_000, 2.0),
    ("identical", 10_000, 1_000, 2.0),
)


def flat(num_spans: int) -> Script:
    """One run with model calls and different tool calls."""
    script = Script()
    script.begin()
    for number in range(num_spans // 2):
        script.call(tokens=10)
        script.tool(f"tool-{number}", name=f"tool{number % 50}")
    script.end()
    return script


def identical(num_spans: int) -> Script:
    """One run that makes the same tool call again and again."""
    script = Script()
    script.begin()
    for number in range(num_spans):
        script.tool(f"tool-{number}")
    script.end()
    return script


def chain(num_spans: int) -> Script:
    """Each run started by the one before it, which goes on until it has ended."""
    script = Script()
    for number in range(num_spans):
        _at(script, number).begin(parent=f"harness-run-{number - 1}" if number else None)
    for number in reversed(range(num_spans)):
        _at(script, number).end()
    return script


def children(num_spans: int) -> Script:
    """All runs but the first started by the first."""
    return _within_first(num_spans, "harness-run-0")


def orphans(num_spans: int) -> Script:
    """All runs but the first name a parent that comes last."""
    script = _within_first(num_spans - 1, "harness-late", ends=False)
    script.at("late", "agent:main:late", "harness-late")
    script.begin()
    script.end()
    _at(script, 0).end()
    return script


def tops(num_spans: int) -> Script:
    """Runs side by side in one trace, without a parent."""
    return _within_first(num_spans, None)


def _at(script: Script, number: int) -> Script:
    return script.at(f"run-{number}", f"agent:main:s{number}")


def _within_first(num_runs: int, parent: str | None, *, ends: bool = True) -> Script:
    """One run after the other, each ended before the next, while the first goes on."""
    script = Script()
    _at(script, 0).begin()
    for number in range(1, num_runs):
        _at(script, number).begin(parent=parent)
        script.end()
    if ends:
        _at(script, 0).end()
    return script


SHAPES: Final[dict[str, Callable[[int], Script]]] = {
    make.__name__: make for make in (flat, identical, chain, children, orphans, tops)
}


def records_of(script: Script) -> Iterator[bytes]:
    """Cut the events of a script into records of the events topic."""
    for number, first in enumerate(range(0, len(script.events), EVENTS_A_RECORD)):
        received_at_us = START_MS * 1_000 + number * RECORD_EVERY_US
        events = script.events[first : first + EVENTS_A_RECORD]
        yield encode_event_batch(batch_of(events, received_at_us=received_at_us))


class CountingStore(MemoryStore):
    """State in memory, which counts the bytes that are read and written: the work, whatever the machine."""

    num_bytes_moved = 0

    def get(self, key: bytes, /) -> bytes | None:
        """Return a value or None."""
        value = super().get(key)
        self.num_bytes_moved += len(value or b"")
        return value

    async def write(self, changes: Sequence[Change], stored: Callable[[], None], /) -> None:
        """Write changes in their order."""
        self.num_bytes_moved += sum(len(value or b"") for _, value in changes)
        await super().write(changes, stored)


@dataclass
class Stitched:
    """What a trace came to."""

    num_events: int = 0
    num_spans: int = 0
    num_dead: int = 0
    largest_output_bytes: int = 0
    largest_change_bytes: int = 0
    largest_change_key: str = ""
    cpu_s: float = 0.0
    slowest_record_s: float = 0.0
    peak_mib: float = 0.0


async def stitch(records: Iterator[bytes], store: PartitionStore) -> Stitched:
    """Stitch records by the shipped routine, one after another."""
    found = Stitched()
    # Their hashes: the ids themselves would be most of what a big trace takes.
    span_ids: set[int] = set()

    def look(topic: str, value: bytes) -> None:
        if topic == _TOPOLOGY.spans:
            span_ids.update(hash(span.span_id) for span in msgspec.json.decode(value, type=SpanBatch).spans)
        found.num_dead += topic == _TOPOLOGY.dead_letter

    shell = LoneShell(store, look)
    stitcher = Stitcher(shell, BookCore(PRICES, RULES), _TOPOLOGY)
    began_s = time.process_time()
    for offset, value in enumerate(records):
        record_began_s = time.process_time()
        await stitcher.process(SourceRecord(0, offset, None, value, _ASSIGNMENT))
        await stitcher.drain()
        found.slowest_record_s = max(found.slowest_record_s, time.process_time() - record_began_s)
    stitcher.close()
    found.cpu_s = time.process_time() - began_s
    found.num_spans = len(span_ids)
    found.largest_output_bytes = shell.largest_output_bytes
    found.largest_change_bytes, found.largest_change_key = shell.largest_change_bytes, shell.largest_change_key
    return found


def _records_in(file: Path) -> Iterator[bytes]:
    with file.open("rb") as lines:
        for line in lines:
            yield line.rstrip(b"\n")


def measure(shape: str, num_spans: int, folder: Path) -> Stitched:
    """Stitch a trace in a process of its own; its records lie in a file, so its memory is the stitcher's alone."""
    file = folder / f"{shape}-{num_spans}.ndjson"
    num_events = 0
    if num_spans:
        script = SHAPES[shape](num_spans)
        num_events = len(script.events)
        with file.open("wb") as out:
            out.writelines(value + b"\n" for value in records_of(script))
    else:
        file.write_bytes(b"")
    command = [sys.executable, "-m", "tests.faults.big_traces", "--stitch", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return Stitched(**{**json.loads(done.stdout), "num_events": num_events})


def findings_of(shape: str, num_spans: int, big: Stitched, small: Stitched, max_ratio: float) -> list[str]:
    """Say what is wrong with a big trace."""
    found = []
    if not num_spans <= big.num_spans <= num_spans + 1:
        found.append(f"{shape}: {big.num_spans} spans came out of {num_spans}")
    if big.num_dead:
        found.append(f"{shape}: {big.num_dead} records became dead letters")
    if max(big.largest_output_bytes, big.largest_change_bytes) > MAX_RECORD_BYTES + 1_000:
        found.append(f"{shape}: a record of {max(big.largest_output_bytes, big.largest_change_bytes)} bytes")
    if big.peak_mib > max_ratio * small.peak_mib:
        found.append(f"{shape}: {big.peak_mib:.0f} MiB, {small.peak_mib:.0f} MiB when small")
    return found


def run_full_sizes(tell: Callable[[str], object]) -> list[str]:
    """Measure the full sizes, telling a line for each; return what is wrong."""
    findings: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = measure("flat", 0, folder)
        tell("shape         spans   events  us/event slowest s largest B   MiB ratio")
        for shape, num_spans, num_small, max_ratio in FULL:
            small, big = measure(shape, num_small, folder), measure(shape, num_spans, folder)
            for size, one in ((num_small, small), (num_spans, big)):
                largest = max(one.largest_output_bytes, one.largest_change_bytes)
                each_us = 1e6 * one.cpu_s / one.num_events
                ratio = one.peak_mib / small.peak_mib
                above = (one.peak_mib - bare.peak_mib) / (small.peak_mib - bare.peak_mib)
                tell(
                    f"{shape:10} {size:8,} {one.num_events:8,} {each_us:9.0f} {one.slowest_record_s:9.2f} "
                    f"{largest:9,} {one.peak_mib:5.0f} {ratio:.2f} (above the bare process: {above:.1f})"
                )
            findings += findings_of(shape, num_spans, big, small, max_ratio)
    return findings


def main() -> int:
    """Measure the full sizes; 0 when nothing is found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.big_traces", description="Stitch big traces.")
    parser.add_argument("--stitch", type=Path, help="Stitch the records of a file and print what came of it.")
    wanted = parser.parse_args()
    if wanted.stitch is not None:
        with tempfile.TemporaryDirectory() as folder:
            found = asyncio.run(stitch(_records_in(wanted.stitch), open_state(Path(folder))))
        found.peak_mib = peak_rss_bytes() / 2**20
        print(json.dumps(asdict(found)))
        return 0
    findings = run_full_sizes(lambda line: print(line, flush=True))
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
