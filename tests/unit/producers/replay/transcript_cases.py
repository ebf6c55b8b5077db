"""The real transcript, the hooks of the same sessions, and a stitcher for both."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from producers.contracts.event import Event, EventBatch, Source
from producers.contracts.normalise import normalise_event
from producers.contracts.wire import WireEvent
from producers.replay.known_runs import note_row
from producers.replay.transcript_events import KnownRun, RunPlan
from producers.replay.transcript_import import plan_import
from producers.replay.transcript_runs import TranscriptRun
from stream_jobs.contracts.span import Span
from stream_jobs.core.stitch import stitch_batch
from tests.captures import ROOT
from tests.unit.stream_jobs.core.stitching import PRICES, RULES, Replay

DATABASE = ROOT / "tests/data/transcripts/openclaw-agent.sqlite"
HOOKS = ROOT / "tests/data/transcripts/hooks.jsonl"
PLUGIN_SPOOL = "0b9d1c9e-6f6c-4d86-a1a5-6f0f4b8f7a10"
FAR_FUTURE_MS = 4_000_000_000_000


def captured_events() -> list[Event]:
    """The hooks as the plugin would have sent them."""
    events = []
    for seq, text in enumerate(HOOKS.read_text().splitlines()):
        line = json.loads(text)
        wire = WireEvent(
            seq=seq,
            at_us=line["tsMs"] * 1_000,
            hook=line["hook"],
            event=msgspec.Raw(json.dumps(line["event"]).encode()),
            ctx=msgspec.Raw(json.dumps(line["ctx"]).encode()),
        )
        events.append(normalise_event(PLUGIN_SPOOL, wire))
    return events


def feed(into: Replay, spool_id: str, events: Sequence[Event]) -> Replay:
    """Stitch events of one spool as one record."""
    batch = EventBatch(
        tenant_id="acme01",
        agent_id="box-1",
        source=Source(name="test"),
        spool_id=spool_id,
        received_at_us=0,
        events=list(events),
    )
    result = stitch_batch(into.store, batch, into.next_rev, PRICES, RULES)
    into.next_rev += 1
    into.store |= {key: value for key, value in result.changes.items() if value is not None}
    into.store |= result.payloads
    into.spans |= {span.span_id: span for span in result.spans}
    into.traces |= {trace.trace_id: trace for trace in result.traces}
    into.counts.update(result.counts)
    into.rejects += result.rejects
    return into


def feed_plans(into: Replay, plans: Iterable[RunPlan]) -> Replay:
    """Stitch what an import sends."""
    for plan in plans:
        feed(into, plan.spool_id, [normalise_event(plan.spool_id, wire) for wire in plan.events])
    return into


def known_to(stitched: Replay) -> dict[str, KnownRun]:
    """What the tables would say, worked out from the spans that were sent."""
    known: dict[str, KnownRun] = {}
    for span in stitched.spans.values():
        note_row(known, row_of(span))
    return known


ROW = (
    "run_id",
    "span_id",
    "trace_id",
    "kind",
    "status",
    "started_at",
    "tool_call_id",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "usage_source",
)


def row_of(span: Span) -> dict[str, Any]:
    """The row of a span, as POST /v1/sql shows it."""
    at = datetime.fromtimestamp(span.started_at_us / 1_000_000, tz=UTC)
    row: dict[str, Any] = msgspec.to_builtins(span) | {"started_at": at.isoformat()}
    return {name: row.get(name) for name in ROW}


def plan_for(stitched: Replay, path: Path = DATABASE) -> tuple[list[RunPlan], dict[str, Any]]:
    """Plan an import over what a stitcher has."""

    def lookup(_: Sequence[TranscriptRun]) -> dict[str, KnownRun]:
        return known_to(stitched)

    return plan_import(path, lookup, settled_before_ms=FAR_FUTURE_MS)


def tokens_of(stitched: Replay) -> tuple[int, int, int, int]:
    """Sums over all traces, in four buckets."""
    traces = stitched.traces.values()
    return (
        sum(it.input_tokens for it in traces),
        sum(it.cache_read_tokens for it in traces),
        sum(it.cache_write_tokens for it in traces),
        sum(it.output_tokens for it in traces),
    )


def write_lines(folder: Path) -> list[Path]:
    """The sessions of the database as the .jsonl files of older versions, with their store."""
    folder.mkdir(parents=True)
    connection = sqlite3.connect(f"{DATABASE.as_uri()}?mode=ro", uri=True)
    files = []
    store = {}
    for session_id, key in connection.execute("SELECT session_id, session_key FROM session_windows"):
        rows = connection.execute(
            "SELECT event_json FROM transcript_events WHERE session_id = ? ORDER BY seq", (session_id,)
        )
        file = folder / f"{session_id}.jsonl"
        file.write_text("".join(f"{row[0]}\n" for row in rows))
        store[key] = {"sessionId": session_id, "updatedAt": 1}
        files.append(file)
    connection.close()
    (folder / "sessions.json").write_text(json.dumps(store))
    return files
