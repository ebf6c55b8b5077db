"""Captures become the same batches every time."""

import json
import uuid
from pathlib import Path

import msgspec
import pytest

from producers.contracts.wire import WireBatch, WireEvent
from producers.replay.capture import UnreadableCapture, agent_events_beside, read_capture, wire_batches
from tests.captures import AGENT_EVENT_FILES, HOOK_FILES, SCENARIOS, hook_lines


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_capture_is_read_whole_and_in_order(scenario: str) -> None:
    path = HOOK_FILES[scenario]
    capture = read_capture(path, AGENT_EVENT_FILES.get(scenario))
    assert [event.seq for event in capture.events] == list(range(len(capture.events)))
    hooks = [event for event in capture.events if event.hook not in ("agent_event", "diagnostic")]
    assert [event.hook for event in hooks] == [line["hook"] for line in hook_lines(scenario)]
    assert [event.at_us for event in hooks] == [line["tsMs"] * 1000 for line in hook_lines(scenario)]
    sent = [event for _, group in wire_batches(capture) for event in group]
    assert sent == capture.events


def test_ids_depend_on_the_bytes_alone(tmp_path: Path) -> None:
    original = HOOK_FILES["simple"]
    copy = tmp_path / "other-name.jsonl"
    copy.write_bytes(original.read_bytes())
    first, second = read_capture(original), read_capture(copy)
    assert first.spool_id == second.spool_id
    assert uuid.UUID(first.spool_id).version == 5
    assert list(wire_batches(first)) == list(wire_batches(second))
    with_others = read_capture(HOOK_FILES["subagent"], AGENT_EVENT_FILES["subagent"])
    assert with_others.spool_id != read_capture(HOOK_FILES["subagent"]).spool_id


def test_shifted_events_are_other_events() -> None:
    plain, shifted = read_capture(HOOK_FILES["simple"]), read_capture(HOOK_FILES["simple"], shift_us=5)
    assert plain.spool_id != shifted.spool_id
    assert [event.at_us + 5 for event in plain.events] == [event.at_us for event in shifted.events]


def test_other_sources_are_merged_by_time_and_transcripts_left_out() -> None:
    path = AGENT_EVENT_FILES["subagent"]
    capture = read_capture(HOOK_FILES["subagent"], path)
    sources = [json.loads(line)["src"] for line in path.read_text().splitlines()]
    assert capture.num_skipped == sources.count("onSessionTranscriptUpdate") > 0
    assert len(capture.events) == len(hook_lines("subagent")) + len(sources) - capture.num_skipped
    times = [event.at_us for event in capture.events]
    assert times == sorted(times)
    lifecycles = [event for event in capture.events if event.hook == "agent_event"]
    assert {"runId", "stream", "data"} <= set(msgspec.json.decode(lifecycles[0].event))


def test_the_sibling_is_found() -> None:
    assert agent_events_beside(HOOK_FILES["subagent"]) == AGENT_EVENT_FILES["subagent"]
    assert agent_events_beside(HOOK_FILES["simple"]) is None


def test_bodies_are_wire_batches_within_bounds() -> None:
    capture = read_capture(HOOK_FILES["auto-compaction"], AGENT_EVENT_FILES["auto-compaction"])
    bodies = list(wire_batches(capture, max_events=7))
    assert all(len(group) <= 7 for _, group in bodies)
    for body, group in bodies:
        batch = msgspec.json.decode(body, type=WireBatch)
        assert batch.spool_id == capture.spool_id
        assert [msgspec.json.decode(raw, type=WireEvent).seq for raw in batch.events] == [event.seq for event in group]


@pytest.mark.parametrize("line", ["{", "[]", '{"hook":"x"}', '{"hook":"x","tsMs":"now","event":{},"ctx":{}}'])
def test_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text('{"hook":"x","tsMs":1,"event":{},"ctx":{}}\n\n' + line + "\n")
    with pytest.raises(UnreadableCapture, match=r"broken\.jsonl line 3"):
        read_capture(path)
