"""Rules about loops and repetition: recovery, settings, marks, and that batches and repetition make no difference."""

import pytest

from stream_jobs.core.detect.tool_view import head_of
from stream_jobs.core.stitch import read_rules
from tests.unit.stream_jobs.core.stitching import Replay, events_of, lines_of
from tests.unit.stream_jobs.detect.agent_at_work import DEFAULTS, LOOP_RULES, Agent, alerts_of, fired


def test_a_loop_is_over_when_the_result_changes() -> None:
    agent = Agent()
    for number in range(14):
        agent.run("make status", "waiting" if number < 12 else "done")
    alerts = alerts_of(agent, "tool_loop")
    assert [it.state for it in alerts] == ["alert", "ok"]
    assert alerts[0].alert_id == alerts[1].alert_id
    assert alerts[0].evidence["num_same_calls"] == "10"
    assert alerts[0].labels["tool_name"] == "exec"
    assert alerts[0].severity == "critical"


def test_a_loop_of_polls_has_a_limit_too() -> None:
    agent = Agent()
    for _ in range(50):
        agent.use("process", "still running", action="poll", sessionId="a")
    assert fired(agent) == set()
    (alert,) = alerts_of(agent, "tool_loop", rules="[tool_loop]\nmax_same_waits = 40\n")
    assert alert.evidence["num_same_calls"] == "40"


def test_a_loop_within_other_work() -> None:
    agent = Agent()
    for number in range(30):
        agent.run("make status", "waiting")
        agent.run(f"cat notes/{number * 7919}.txt", f"note {number}")
    (alert,) = alerts_of(agent, "tool_loop")
    assert alert.evidence["num_same_calls"] == "10"
    assert alerts_of(agent, "tool_loop", rules="[tool_loop]\nwithin_calls = 15\n") == []


def test_an_abort_goes_to_the_run() -> None:
    agent = Agent()
    for _ in range(10):
        agent.run("echo poll", "poll")
    stitched = Replay(rules=read_rules('[tool_loop]\naction = "abort"\nhold_s = 60\n')).feed_each(agent.events, 3)
    (verdict,) = stitched.verdicts
    assert (verdict.scope, verdict.scope_id, verdict.action) == ("run", agent.run_id, "abort")


def test_a_disabled_rule_is_silent() -> None:
    agent = Agent()
    for _ in range(20):
        agent.run("echo poll", "poll")
    off = "".join(f"[{rule}]\nenabled = false\n" for rule in sorted(LOOP_RULES))
    stitched = Replay(rules=read_rules(off)).feed_each(agent.events, 5)
    assert [it for it in stitched.alerts if it.rule in LOOP_RULES] == []
    assert all("redundant" not in span.flags for span in stitched.spans.values())


def test_failing_variants_recover_by_success() -> None:
    agent = Agent()
    for number in range(12):
        agent.run(f"cargo build --features f{number}", "error[E0432]", 101)
    agent.run("cargo build --features none", "Finished")
    alerts = alerts_of(agent, "failing_variants")
    assert [it.state for it in alerts] == ["alert", "ok"]
    assert alerts[0].labels["program"] == "cargo build"
    assert alerts[0].evidence["num_variants"] == "8"


def test_an_error_cascade_recovers_by_success() -> None:
    agent = Agent()
    for number in range(9):
        agent.use(("read", "exec")[number % 2], error="EIO", path=str(number * 7919))
    agent.use("read", "text", path="/a")
    assert [it.state for it in alerts_of(agent, "error_cascade")] == ["alert", "ok"]


def test_a_retry_storm_recovers_when_the_model_answers() -> None:
    agent = Agent()
    for _ in range(14):
        agent.call(tokens=None, outcome="error")
    for _ in range(4):
        agent.call()
    alerts = alerts_of(agent, "retry_storm")
    assert [it.state for it in alerts] == ["alert", "ok"]
    assert alerts[0].evidence["num_failures_in_row"] == "12"


def test_a_write_to_the_file_starts_its_readings_anew() -> None:
    agent = Agent()
    for _ in range(3):
        for _ in range(4):
            agent.use("read", "same", path="/a.txt")
        agent.use("write", "ok", path="/a.txt", content="same")
    assert alerts_of(agent, "reread_file") == []


def test_near_duplicates_are_marked_also_across_sub_agents() -> None:
    agent = Agent()
    agent.use("web_search", "a", query="opening hours of the town library")
    agent.use("web_search", "b", query="a thing that is quite another")
    agent.at("run-2", "agent:main:subagent:1")
    agent.use("web_search", "c", query="opening hours of the town libraries")
    agent.use("web_fetch", "d", query="opening hours of the town library")
    stitched = Replay(rules=DEFAULTS).feed_each(agent.events, 2)
    marked = [(it.run_id, it.tool_call_id) for it in stitched.of_kind("tool_call") if "redundant" in it.flags]
    assert marked == [("run-1", "call-1"), ("run-2", "call-3")]


@pytest.mark.parametrize("scenario", ["runaway", "loop-detection", "multi-tool", "tool-search", "model-429"])
def test_batches_and_repetition_make_no_difference(scenario: str) -> None:
    events = events_of(lines_of(scenario))
    whole = Replay(rules=DEFAULTS).feed_each(events, len(events))
    for size in (1, 3, 10):
        pieces = Replay(rules=DEFAULTS)
        for start in range(0, len(events), size):
            pieces.feed(events[start : start + size])
            pieces.feed(events[: start + size])
        # A state that a batch both reached and left is told only at its end.
        last = {it.alert_id: (it.rule, it.state) for it in pieces.alerts}
        assert last == {it.alert_id: (it.rule, it.state) for it in whole.alerts}
        assert {it.span_id: it.flags for it in pieces.spans.values()} == {
            it.span_id: it.flags for it in whole.spans.values()
        }


def test_a_hook_that_fires_twice_is_one_call() -> None:
    agent = Agent()
    for _ in range(9):
        agent.run("make status", "waiting")
        again = agent.events[-2:]
        for event in again:
            agent.events.append(type(event)(**{name: getattr(event, name) for name in event.__struct_fields__}))
    renumbered = [
        type(event)(**{name: getattr(event, name) for name in event.__struct_fields__} | {"seq": number})
        for number, event in enumerate(agent.events)
    ]
    stitched = Replay(rules=DEFAULTS).feed_each(renumbered, 7)
    assert [it for it in stitched.alerts if it.rule in LOOP_RULES] == []


def test_memory_has_a_bound() -> None:
    def biggest(num_calls: int) -> int:
        agent = Agent()
        for number in range(num_calls):
            agent.run(f"{number:06d} {number * 7919:08d}" * 4, f"text {number * 104729}", number % 2)
            agent.use("write", "ok", path=f"/{number * 7919}", content=str(number))
        rules = read_rules("[redundant_tool_calls]\nmax_texts = 64\n")
        return max(map(len, Replay(rules=rules).feed_each(agent.events, 50).store.values()))

    assert biggest(900) < 1.1 * biggest(300)


def test_what_is_not_remembered_is_counted() -> None:
    agent = Agent()
    for number in range(30):
        agent.use("web_search", query=chr(0x4E00 + number) * 30)
    stitched = Replay(rules=read_rules("[redundant_tool_calls]\nmax_texts = 20\n")).feed_each(agent.events, 9)
    assert stitched.counts["forgotten_tool_texts"] == 10


@pytest.mark.parametrize(
    ("command", "head"),
    [
        ("cd /srv/app && git status -s", "git status"),
        ("FOO=1 sudo timeout 30 /usr/bin/docker compose up", "docker compose"),
        ("python3 -m pytest -q", "python -m pytest"),
        ("bash -lc 'npm run build'", "npm run"),
        ("./run.sh --fast", "run.sh"),
        ("   ", ""),
    ],
)
def test_what_a_command_runs(command: str, head: str) -> None:
    assert head_of(command) == head
