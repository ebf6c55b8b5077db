"""Labels: which of them a run keeps, when it has several words of them, and what of them is shown."""

import msgspec
import pytest

from stream_jobs.contracts.labels import MAX_LABELS, checked_labels, version_of, version_of_all
from stream_jobs.core.state import NO_SEQ, RunState
from tests.unit.stream_jobs.core.hooks import Script
from tests.unit.stream_jobs.core.stitching import Replay

LABELS = {
    "skill": "c0f8cf095936",
    "skill:deploy": "789b4d6d3c1b",
    "config": "aa11bb22cc33",
    "model": "ollama/llama3:8b",
}


def label(script: Script, labels: dict[str, object]) -> None:
    script.hook("run_labels", {"labels": labels}, script.run_ctx())


def run_script(labels: dict[str, object]) -> Script:
    script = Script()
    script.begin()
    label(script, labels)
    script.call()
    script.end()
    script.lifecycle("end")
    return script


def test_versions_are_those_of_the_plugin() -> None:
    # The same texts and the same digits stand in producers/openclaw_plugin/test/labels.test.mjs.
    assert version_of("Deploy once.") == "789b4d6d3c1b"
    assert version_of_all({"deploy": "Deploy once.", "answer": "Answer briefly."}) == "c0f8cf095936"


@pytest.mark.parametrize("step", [1, 100])
def test_labels_of_the_root_run_are_on_its_trace_and_its_card(step: int) -> None:
    stitched = Replay().feed_each(run_script(dict(LABELS)).events, step)
    (trace,) = stitched.traces.values()
    (card,) = stitched.cards.values()
    assert trace.labels == card.labels == dict(sorted(LABELS.items()))
    assert stitched.rejects == []


def test_a_run_of_an_older_plugin_has_none() -> None:
    script = Script()
    script.begin()
    script.lifecycle("end")
    stitched = Replay()
    stitched.feed(script.events)
    assert [trace.labels for trace in stitched.traces.values()] == [{}]
    assert [card.labels for card in stitched.cards.values()] == [{}]


def test_the_first_word_counts_in_whatever_order_it_arrives() -> None:
    script = run_script({"variant": "a"})
    label(script, {"variant": "b"})
    first, second = Replay(), Replay()
    first.feed(script.events)
    second.feed(script.events[:1] + script.events[2:])
    second.feed(script.events[1:2])
    for stitched in (first, second):
        assert [trace.labels for trace in stitched.traces.values()] == [{"variant": "a"}]


def test_labels_of_a_sub_agent_are_not_those_of_the_trace() -> None:
    script = Script()
    script.begin()
    label(script, {"variant": "a"})
    script.at("run-2", "agent:main:subagent:x").begin(parent="harness-run-1")
    label(script, {"variant": "b"})
    stitched = Replay()
    stitched.feed(script.events)
    assert [trace.labels for trace in stitched.traces.values()] == [{"variant": "a"}]


def test_labels_that_come_when_all_is_over_open_nothing_again() -> None:
    events = run_script({"variant": "a"}).events
    stitched = Replay()
    stitched.feed(events[:1] + events[2:])
    stitched.feed(events[1:2])
    (trace,) = stitched.traces.values()
    assert (trace.labels, trace.is_open, trace.status) == ({"variant": "a"}, False, "ok")


def test_what_breaks_a_limit_is_left_out_alone() -> None:
    many = [(f"k{number:02}", "v") for number in range(MAX_LABELS + 4)]
    odd = [("", "v"), ("k" * 65, "v"), ("key", ""), ("value", "v" * 129), ("tab", "a\tb"), ("fine", "v" * 128)]
    assert checked_labels(odd) == {"fine": "v" * 128}
    assert list(checked_labels(many)) == [f"k{number:02}" for number in range(MAX_LABELS)]


def test_a_label_that_is_no_text_is_told_and_refuses_nothing_else() -> None:
    stitched = Replay()
    stitched.feed(run_script({"variant": 7}).events)
    (trace,) = stitched.traces.values()
    assert (trace.labels, trace.status) == ({}, "ok")
    assert len(stitched.rejects) == 1


def test_state_of_an_older_release_is_read() -> None:
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(RunState(ref="r", run_id="run-1", num_open_tools=3)))
    run = msgspec.msgpack.decode(msgspec.msgpack.encode(stored[:-2]), type=RunState)
    assert (run.run_id, run.num_open_tools, run.labels, run.labels_seq) == ("run-1", 3, {}, NO_SEQ)
