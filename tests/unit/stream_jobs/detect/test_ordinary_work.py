"""What looks like a loop and is none: no rule about loops and repetition fires."""

import pytest

from tests.captures import SCENARIOS
from tests.unit.stream_jobs.core.stitching import Replay, events_of, lines_of
from tests.unit.stream_jobs.detect.agent_at_work import DEFAULTS, LOOP_RULES, Agent, fired
from tests.unit.stream_jobs.detect.test_stories import spawn

# Made to run away, or kept from running by a guard until they gave up.
RUNAWAYS = {"runaway", "runaway-review", "loop-detection", "guard-notools", "guard-policy"}


@pytest.mark.parametrize("scenario", [it for it in SCENARIOS if it not in RUNAWAYS])
def test_captured_work(scenario: str) -> None:
    stitched = Replay(rules=DEFAULTS).feed_each(events_of(lines_of(scenario)), 9)
    assert [alert for alert in stitched.alerts if alert.rule in LOOP_RULES] == []


@pytest.mark.parametrize("scenario", sorted(RUNAWAYS))
def test_captured_runaways(scenario: str) -> None:
    stitched = Replay(rules=DEFAULTS).feed_each(events_of(lines_of(scenario)), 9)
    fired = {alert.rule for alert in stitched.alerts if alert.rule in LOOP_RULES}
    assert fired == {"tool_loop"}


def test_polling_a_job_whose_result_changes() -> None:
    agent = Agent()
    for number in range(100):
        agent.run("kubectl get job import -o json", f'{{"succeeded": {number}}}')
    assert fired(agent) == set()


def test_polling_a_process_that_says_nothing() -> None:
    agent = Agent()
    agent.run("make release", "Command still running (session brisk-otter)")
    for _ in range(120):
        agent.use("process", "(no new output)\n\nProcess still running.", action="poll", sessionId="brisk-otter")
        agent.rest(10)
    assert fired(agent) == set()


def test_sleeping_in_a_command() -> None:
    agent = Agent()
    for _ in range(60):
        agent.run("sleep 30; gh run list --limit 1 --json status", '[{"status": "in_progress"}]')
    assert fired(agent) == set()


def test_sleeping_between_two_looks() -> None:
    agent = Agent()
    for _ in range(60):
        agent.run("curl -s localhost:8080/health", "starting")
        agent.run("curl -s localhost:8081/health", "starting")
        agent.run("sleep 20")
    assert fired(agent) == set()


def test_pauses_between_calls() -> None:
    agent = Agent()
    for _ in range(60):
        agent.use("web_fetch", "Queue: 4", url="https://queue.acme.test")
        agent.rest(300)
    assert fired(agent) == set()


def test_waiting_for_sub_agents() -> None:
    agent = Agent()
    for number in range(8):
        spawn(agent, agent.session, number)
    for _ in range(60):
        agent.use("agents_wait", "2 of 8 done", timeoutSeconds=60)
    assert fired(agent) == set()


def test_write_a_fix_and_test_again() -> None:
    agent = Agent()
    for number in range(40):
        agent.use("edit", "Edited src/app.py", path="src/app.py", oldText=f"x = {number}", newText=f"x = {number + 1}")
        agent.run("python -m pytest -q tests/test_app.py", "1 failed in 0.31s", 1)
    assert fired(agent) == set()


def test_reading_a_folder() -> None:
    agent = Agent()
    for number in range(60):
        path = f"/home/user/project/src/components/part_{number:02d}.tsx"
        agent.use("read", f"export const part = {number * 7919}", path=path)
    assert fired(agent) == set()


def test_paging_through_a_long_file() -> None:
    agent = Agent()
    for number in range(60):
        agent.use("read", f"lines from {number * 200}", path="/var/log/app.log", offset=number * 200, limit=200)
    assert fired(agent) == set()


def test_searching_for_what_is_not_there() -> None:
    agent = Agent()
    for number in range(30):
        agent.run(f"grep -rn 'legacy_flag_{number}' src", "", 1)
    assert fired(agent) == set()


def test_a_few_failures_on_the_way() -> None:
    agent = Agent()
    for number in range(20):
        agent.run(f"npm install --save package-{number}", "not found", 1)
        if number % 4 == 3:
            agent.run("npm install --save left-pad", "added 1 package")
    assert fired(agent) == set()


def test_retries_of_one_call() -> None:
    agent = Agent()
    for _ in range(20):
        agent.call()
        for _ in range(2):
            agent.call(tokens=None, outcome="error")
        agent.call()
        agent.call()
        agent.call()
    assert fired(agent) == set()


def test_a_requester_and_its_sub_agent_talk() -> None:
    agent = Agent()
    for number in range(9):
        agent.at("run-1", "agent:main:one")
        agent.use("sessions_send", "ok", sessionKey="agent:main:subagent:1", message=f"Next: part {number}")
        agent.at("run-2", "agent:main:subagent:1")
        agent.use("sessions_send", "ok", sessionKey="agent:main:one", message=f"Part {number} is done")
        agent.rest(60)
    assert fired(agent) == set()


def test_sub_agents_over_a_day() -> None:
    agent = Agent()
    for number in range(60):
        spawn(agent, agent.session, number)
        agent.rest(600)
    assert fired(agent) == set()


def test_a_wrapper_and_what_it_wraps_are_one_call() -> None:
    agent = Agent()
    for number in range(9):
        outer = {
            "toolName": "tool_call",
            "runId": agent.run_id,
            "toolCallId": f"outer-{number}",
            "params": {"id": "look"},
        }
        inner = {**outer, "toolName": "look", "toolCallId": f"tool_search_code:outer-{number}:look:1"}
        ctx = {"runId": agent.run_id, "sessionKey": agent.session}
        span = {"trace": agent.trace(f"run-{agent.run_id}", agent.harness_id)}
        agent.hook("before_tool_call", outer, {**ctx, **span})
        agent.hook("before_tool_call", inner, {**ctx, **span})
        agent.hook("after_tool_call", {**inner, "result": {"content": [{"type": "text", "text": "same"}]}}, ctx)
        agent.hook("after_tool_call", {**outer, "result": {"content": [{"type": "text", "text": "same"}]}}, ctx)
    assert fired(agent) == set()
