"""The stitcher's process on a real broker: start, stop, bad records, missing topics."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stream_jobs.processors.runner import TopicsMissing, prepare_topics
from stream_jobs.processors.topology import Topology
from stream_jobs.settings import StitcherSettings
from tests.integration.stream_jobs.harness import DEADLINE_S, Install, as_a_reader_sees, free_port_base, wait_until
from tests.integration.stream_jobs.standin import POISON_HOOK, value_of

pytestmark = pytest.mark.kafka


def log_events(one: Install) -> list[str]:
    """What the process logged, by name."""
    lines = (one.home / "stitcher.log").read_text().splitlines()
    return [json.loads(line).get("event", "") for line in lines if line.startswith("{")]


def test_stopped_and_started_again_goes_on_where_it_was(install: Callable[[str], Install]) -> None:
    one, straight = install("restart"), install("straight")
    one.produce_batches(1, 60)
    one.start()
    one.wait_all_committed()
    assert one.stop() == 0
    one.produce_batches(2, 60)
    one.start()
    one.wait_all_committed()
    assert one.stop() == 0
    outputs = one.outputs()
    assert len(as_a_reader_sees(outputs)) == len(outputs), "a clean stop repeats nothing"
    assert "local_state_dropped" not in log_events(one)
    # The second half counts on from the first, as if there had been no stop: its state was there.
    straight.produce_batches(1, 60)
    straight.produce_batches(2, 60)
    straight.start()
    straight.wait_all_committed()
    assert straight.stop() == 0
    assert outputs == straight.outputs()


def test_bad_records_are_kept_and_do_not_stop_the_others(install: Callable[[str], Install]) -> None:
    one = install("bad")
    one.produce(0, b"junk \xff\x00", b"some key")
    one.produce(0, value_of("agent0", 0, 5, hook=POISON_HOOK))
    one.produce(0, value_of("agent0", 5, 50))
    one.flush()
    one.start()
    one.wait_all_committed()
    assert one.stop() == 0
    junk, poison = one.read(one.topology.dead_letter)
    assert (junk.key, junk.value) == (b"some key", b"junk \xff\x00")
    assert poison.value == value_of("agent0", 0, 5, hook=POISON_HOOK)
    told = dict(poison.headers)
    assert told["reason"] == b"ValueError: poison"
    assert told["original_topic"] == one.topology.events.encode()
    assert (told["original_partition"], told["original_offset"]) == (b"0", b"1")
    assert sorted({out.topic for out in one.outputs()}) == [
        "clawtrace.alerts.v1",
        "clawtrace.spans.v1",
        "clawtrace.traces.v1",
    ]


def test_a_topic_full_of_junk_stops_the_process(install: Callable[[str], Install]) -> None:
    one = install("junk")
    for _ in range(150):
        one.produce(1, b"junk")
    one.flush()
    one.start()
    process = one.process
    assert process is not None
    wait_until(lambda: process.poll() is not None, "the process gives up")
    assert process.returncode == 1
    assert "stitcher_gives_up" in log_events(one)


def test_a_refused_change_stops_all_commits_and_the_process(install: Callable[[str], Install]) -> None:
    one, quiet = install("refused"), install("quiet")
    for each in (one, quiet):
        each.produce_batches(3, 200)
    failing = one.another("refused", STITCHER_TEST_FAIL_AT="1")
    failing.start()
    process = failing.process
    assert process is not None
    wait_until(lambda: process.poll() is not None, "the process gives up")
    assert process.returncode == 1
    assert set(one.committed().values()) == {0}, "its very first change was refused, so nothing may be committed"
    failing.process = None
    for each in (one, quiet):
        each.start()
        each.wait_all_committed()
        assert each.stop() == 0
    assert as_a_reader_sees(one.outputs()) == as_a_reader_sees(quiet.outputs())
    assert one.state() == quiet.state()


def test_a_second_process_in_the_same_home_is_refused(install: Callable[[str], Install]) -> None:
    one = install("twice")
    one.start()
    one.wait_ready()
    first = one.process
    one.port_base = free_port_base()
    one.start()
    second = one.process
    assert second is not None
    assert second.wait(timeout=DEADLINE_S) == 1
    assert "stitcher_cannot_run" in log_events(one)
    one.process = first
    assert one.stop() == 0


def test_missing_topics_are_named(bootstrap: str, tmp_path: Path) -> None:
    settings = StitcherSettings(home=tmp_path, kafka_bootstrap=bootstrap)
    lonely = replace(Topology.with_prefix(""), events="nowhere.events")
    with pytest.raises(TopicsMissing, match=r"nowhere\.events"):
        prepare_topics(settings, lonely)
