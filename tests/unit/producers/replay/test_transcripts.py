"""Importing OpenClaw's transcripts adds what is missing and nothing that is there."""

import json
import random
import shutil
import sqlite3
from functools import cache
from pathlib import Path

import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.contracts.event import Event
from producers.replay.transcript_import import plan_import
from producers.replay.transcript_runs import runs_of
from producers.replay.transcripts import TranscriptsUnreadable, read_sessions
from stream_jobs.contracts.span import Span
from tests.unit.producers.replay.transcript_cases import (
    DATABASE,
    PLUGIN_SPOOL,
    captured_events,
    feed,
    feed_plans,
    plan_for,
    tokens_of,
    write_lines,
)
from tests.unit.stream_jobs.core.stitching import Replay

ANNOUNCE = "announce:"


@cache
def whole() -> Replay:
    """Everything: what was captured, and the announce run that was not."""
    captured = feed(Replay(), PLUGIN_SPOOL, captured_events())
    return feed_plans(captured, plan_for(captured)[0])


@cache
def all_captured() -> tuple[Event, ...]:
    return tuple(captured_events())


def calls_of(stitched: Replay) -> list[tuple[str | None, int | None, int | None, str]]:
    return sorted((it.run_id, it.input_tokens, it.output_tokens, it.status) for it in stitched.of_kind("model_call"))


def tools_of(stitched: Replay) -> list[tuple[str | None, str | None, str | None, int | None, str]]:
    return sorted(
        (it.run_id, it.tool_call_id, it.tool_name, it.exit_code, it.status) for it in stitched.of_kind("tool_call")
    )


def run_of(stitched: Replay, run_id: str) -> Span:
    return next(span for span in stitched.of_kind("run") if span.run_id == run_id)


def test_what_was_captured_is_not_sent_again() -> None:
    captured = feed(Replay(), PLUGIN_SPOOL, captured_events())
    plans, report = plan_for(captured)
    # Only the announce run, which the capture leaves out, is missing.
    assert [plan.run.run_id[: len(ANNOUNCE)] for plan in plans] == [ANNOUNCE]
    assert report["runs_complete"] == report["runs"] - 1
    before = tokens_of(captured)
    # One call of the announce run: 700 input, 305 read, 15 output.
    after = tokens_of(feed_plans(captured, plans))
    assert [new - old for new, old in zip(after, before, strict=True)] == [700, 305, 0, 15]


def test_importing_twice_changes_nothing() -> None:
    imported = feed_plans(Replay(), plan_for(Replay())[0])
    again, report = plan_for(imported)
    assert again == []
    assert report["events"] == 0
    assert imported.rejects == []
    # The same, when the tables do not show the first time yet: the same numbers in the same spools.
    spans, traces = dict(imported.spans), dict(imported.traces)
    feed_plans(imported, plan_for(Replay())[0])
    assert (imported.spans, imported.traces) == (spans, traces)


def test_a_session_that_was_never_captured_comes_out_as_if_it_had_been() -> None:
    captured, imported = whole(), feed_plans(Replay(), plan_for(Replay())[0])
    assert tokens_of(imported) == tokens_of(captured)
    assert calls_of(imported) == calls_of(captured)
    assert tools_of(imported) == tools_of(captured)
    assert imported.counts["usage_mismatches"] == 0
    costs = [sum(it.reported_cost_usd or 0 for it in stitched.traces.values()) for stitched in (imported, captured)]
    assert costs[0] == costs[1] > 0
    for run in captured.of_kind("run"):
        twin = run_of(imported, run.run_id or "")
        assert (twin.session_key, twin.status, twin.model) == (run.session_key, run.status, run.model)
        assert abs(twin.started_at_us - run.started_at_us) < 20_000_000
    # The child hangs under the tool call that spawned it, in one trace with it.
    spawn = next(it for it in imported.of_kind("tool_call") if it.tool_name == "sessions_spawn")
    child = next(it for it in imported.of_kind("run") if ":subagent:" in (it.session_key or ""))
    assert child.parent_span_id == spawn.span_id
    announce = next(it for it in imported.of_kind("run") if (it.run_id or "").startswith(ANNOUNCE))
    assert announce.parent_span_id == child.span_id
    assert announce.status == "error"
    assert announce.error == "the transcript ends before the run does"
    assert len(imported.traces) == 4


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whatever_is_missing_is_filled_in(seed: int) -> None:
    """A plugin that was installed late, died, or lost a stretch: with the import, the sums are those of the whole."""
    rng = random.Random(seed)
    events = list(all_captured())
    first, last = sorted((rng.randrange(len(events) + 1), rng.randrange(len(events) + 1)))
    some = [event for event in events if rng.random() < 0.8]
    kept = rng.choice((events[first:], events[:first], events[:first] + events[last:], some))
    partly = feed(Replay(), PLUGIN_SPOOL, kept) if kept else Replay()
    feed_plans(partly, plan_for(partly)[0])
    assert tokens_of(partly) == tokens_of(whole())
    assert calls_of(partly) == calls_of(whole())
    assert [it[:3] for it in tools_of(partly)] == [it[:3] for it in tools_of(whole())]
    assert plan_for(partly)[0] == []
    # A run that was cut off is closed by what the transcript says of its end.
    assert {it.run_id: it.status for it in partly.of_kind("run")} == {
        it.run_id: it.status for it in whole().of_kind("run")
    }


def test_lines_and_database_are_the_same(tmp_path: Path) -> None:
    write_lines(tmp_path / "agents/main/sessions")
    from_lines, _ = plan_for(Replay(), tmp_path)
    from_database, _ = plan_for(Replay())
    by_spool = {plan.spool_id: plan.events for plan in from_database}
    assert {plan.spool_id: plan.events for plan in from_lines} == by_spool


def test_a_session_in_two_places_is_read_once(tmp_path: Path) -> None:
    folder = tmp_path / "agents/main/sessions"
    (archived, *_) = write_lines(folder)
    (folder / f"{archived.name}.reset.2026").write_bytes(archived.read_bytes())
    (tmp_path / "agents/main/agent").mkdir()
    shutil.copy(DATABASE, tmp_path / "agents/main/agent" / DATABASE.name)
    assert len(read_sessions(tmp_path)) == len(read_sessions(DATABASE)) == 3


def test_packed_rows_and_files_are_read(tmp_path: Path) -> None:
    packed = tmp_path / DATABASE.name
    shutil.copy(DATABASE, packed)
    connection = sqlite3.connect(packed)
    for rowid, text in connection.execute("SELECT rowid, event_json FROM transcript_events").fetchall():
        row = (bytes(cramjam.zstd.compress(text.encode(), level=1)), rowid)
        connection.execute("UPDATE transcript_events SET event_json = NULL, event_zstd = ? WHERE rowid = ?", row)
    connection.commit()
    connection.close()
    assert read_sessions(packed)[1].entries == read_sessions(DATABASE)[1].entries
    (file, *_) = write_lines(tmp_path / "sessions")
    cold = tmp_path / f"{file.name}.zst"
    cold.write_bytes(bytes(cramjam.zstd.compress(file.read_bytes())))
    assert read_sessions(cold)[0].entries == read_sessions(file)[0].entries


def test_reading_leaves_no_trace(tmp_path: Path) -> None:
    database = tmp_path / DATABASE.name
    shutil.copy(DATABASE, database)
    before = database.read_bytes()
    read_sessions(tmp_path)
    assert [it.name for it in tmp_path.iterdir()] == [database.name]
    assert database.read_bytes() == before


def test_old_versions_without_run_ids_get_runs_by_question(tmp_path: Path) -> None:
    (file, *_) = [it for it in write_lines(tmp_path / "sessions") if it.name.startswith("sess-tools")]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        line.get("message", {}).pop("__openclaw", None)
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    runs = runs_of(read_sessions(file))
    assert [len(run.calls) for run in runs.values()] == [3, 1]
    assert [run.prompt for run in runs.values()] == ["TASK-TOOLS please", "TASK-FAIL please"]
    plans, _ = plan_for(Replay(), file)
    imported = feed_plans(Replay(), plans)
    assert plan_for(imported, file)[0] == []


def test_damaged_entries_are_counted_and_skipped(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    (whole_file, *_) = write_lines(tmp_path / "sessions")
    file.write_bytes(whole_file.read_bytes() + b'{"type": "message", "mess\n\xff\xfe\n')
    (session,) = read_sessions(file)
    assert session.num_unreadable == 2
    assert session.entries == read_sessions(whole_file)[0].entries


def test_runs_that_just_ended_are_left_alone() -> None:
    plans, report = plan_import(DATABASE, lambda _: {}, settled_before_ms=0)
    assert plans == []
    assert report["runs_too_young"] == report["runs"] > 0


def test_what_holds_no_transcripts_says_so(tmp_path: Path) -> None:
    with pytest.raises(TranscriptsUnreadable, match="state folder"):
        read_sessions(tmp_path)
    (tmp_path / DATABASE.name).write_bytes(b"no database")
    with pytest.raises(TranscriptsUnreadable, match=DATABASE.name):
        read_sessions(tmp_path)
