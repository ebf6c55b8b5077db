"""R11: memory of the stitcher for a trace of 100,000 spans, against one of 1,000.

Upstream: a captured run whose one tool call is made again and again, under new ids and with other params.
Downstream: ``tests.bench``.
Guarantee: the shipped routine and core over RocksDB with the stitcher's own options, in a process of its own for each
size, all rules on; memory is the most that the process ever held, files that RocksDB keeps on disk left out. No record
of state or output may be over its limit. Ledger: spans that the trace counts against tool calls made.

    python -m tests.bench.memory --spans 100000
"""

import argparse
import asyncio
import copy
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import psutil

from infra.runtime.collector import collect_seldom
from infra.runtime.topics import MAX_RECORD_BYTES
from producers.contracts.event import Event, EventBatch, Source, encode_event_batch
from producers.contracts.normalise import normalise_event
from producers.contracts.wire import WireEvent
from stream_jobs.contracts.trace import TraceBatch
from stream_jobs.core.cost import PriceBook
from stream_jobs.core.stitch import read_rules
from stream_jobs.processors.backtest import BookCore
from stream_jobs.processors.shell import SourceRecord
from stream_jobs.processors.stitcher import Stitcher
from stream_jobs.processors.topology import MAX_STATE_RECORD_BYTES, Topology
from tests.bench.harness import Check, Figure, Part
from tests.bench.world import World
from tests.captures import ROOT, hook_lines
from tests.lone_shell import LoneShell, open_state, peak_rss_bytes

SIZES = (1_000, 100_000)
BATCH_EVENTS = 50
CHILD_WITHIN_S = 600.0
GOAL_R11 = 2.0
SCENARIO = "runaway"
_SPOOL_ID = "00000000-0000-4000-8000-000000000011"


def tool_calls(num_calls: int) -> Iterator[dict[str, Any]]:
    """Lines of one run: its beginning as captured, then so many tool calls, each begun and ended."""
    lines = hook_lines(SCENARIO)
    first = next(number for number, line in enumerate(lines) if line["hook"] == "before_tool_call")
    yield from lines[:first]
    before, after = lines[first], next(line for line in lines[first:] if line["hook"] == "after_tool_call")
    known_id, at_ms = before["event"]["toolCallId"], before["tsMs"]
    texts = [json.dumps(line).replace(known_id, "CALL-ID") for line in (before, after)]
    for number in range(num_calls):
        for text in texts:
            line = json.loads(text.replace("CALL-ID", f"call_{number}"))
            line["tsMs"] = at_ms + 10 * number
            if "params" in line["event"]:
                line["event"]["params"] = {"command": f"cat part_{number % 997}.txt"}
            yield line


def records_of(lines: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """Records of the events topic."""
    events: list[Event] = []

    def record() -> bytes:
        batch = EventBatch(
            tenant_id="benchten",
            agent_id="agent-0",
            source=Source(name="bench", host_version="2026.9.6"),
            spool_id=_SPOOL_ID,
            received_at_us=events[-1].at_us,
            events=copy.copy(events),
        )
        return encode_event_batch(batch)

    for seq, line in enumerate(lines):
        event, ctx = (msgspec.Raw(json.dumps(line[name]).encode()) for name in ("event", "ctx"))
        wire = WireEvent(seq=seq, at_us=int(line["tsMs"]) * 1_000, hook=line["hook"], event=event, ctx=ctx)
        events.append(normalise_event(_SPOOL_ID, wire))
        if len(events) == BATCH_EVENTS:
            yield record()
            events.clear()
    if events:
        yield record()


async def _stitch(num_spans: int, folder: Path) -> dict[str, Any]:
    topology = Topology.with_prefix("")
    counted_spans = 0

    def look(topic: str, value: bytes) -> None:
        nonlocal counted_spans
        if topic == topology.traces:
            for trace in msgspec.json.decode(value, type=TraceBatch).traces:
                counted_spans = trace.num_spans

    shell = LoneShell(open_state(folder), look)
    prices = PriceBook.from_toml((ROOT / "producers/replay/captures/prices.toml").read_text())
    stitcher = Stitcher(shell, BookCore(prices, read_rules("")), topology)
    collect_seldom()
    before, started = psutil.Process().memory_info().rss, time.process_time()
    for offset, value in enumerate(records_of(tool_calls(num_spans))):
        await stitcher.process(SourceRecord(0, offset, b"benchten|agent-0", value, 1))
    await stitcher.drain()
    stitcher.close()
    return {
        "spans": num_spans,
        "counted_spans": counted_spans,
        "rss_before_bytes": before,
        "peak_rss_bytes": peak_rss_bytes(),
        "largest_output_bytes": shell.largest_output_bytes,
        "largest_state_bytes": shell.largest_change_bytes,
        "cpu_seconds": round(time.process_time() - started, 2),
    }


def _in_process(num_spans: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.memory", "--spans", str(num_spans)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=CHILD_WITHIN_S,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(_: World) -> Part:
    """Stitch both sizes, each in a process of its own."""
    small, large = (_in_process(size) for size in SIZES)
    grown = {name: it["peak_rss_bytes"] - it["rss_before_bytes"] for name, it in (("small", small), ("large", large))}
    part = Part("memory", details={"small": small, "large": large})
    part.figures = [
        Figure(
            "R11 memory, 100,000 spans ÷ 1,000", large["peak_rss_bytes"] / small["peak_rss_bytes"], goal=("≤", GOAL_R11)
        ),
        Figure("peak of the process, 1,000 spans", small["peak_rss_bytes"] / 2**20, "MiB"),
        Figure("peak of the process, 100,000 spans", large["peak_rss_bytes"] / 2**20, "MiB"),
        Figure("of it above the empty process, 1,000 spans", grown["small"] / 2**20, "MiB"),
        Figure("of it above the empty process, 100,000 spans", grown["large"] / 2**20, "MiB"),
        Figure("largest output record", large["largest_output_bytes"] / 1000, "kB", ("≤", MAX_RECORD_BYTES / 1000)),
        Figure(
            "largest value of state", large["largest_state_bytes"] / 1000, "kB", ("≤", MAX_STATE_RECORD_BYTES / 1000)
        ),
        Figure("processor per span", large["cpu_seconds"] / large["spans"] * 1e6, "µs"),
    ]
    part.ledger = [
        Check(
            "spans of the large trace beyond those of the small",
            SIZES[1] - SIZES[0],
            large["counted_spans"] - small["counted_spans"],
        ),
    ]
    return part


def main() -> None:
    """Stitch one trace of a size; print what it took as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=SIZES[0])
    with TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(_stitch(parser.parse_args().spans, Path(folder)))))


if __name__ == "__main__":
    main()
