"""Runaways that people have told of: each is caught, and within how many calls.

The numbers of issues are those of openclaw/openclaw, where users reported them.
"""

from tests.unit.stream_jobs.core.hooks import Script
from tests.unit.stream_jobs.detect.agent_at_work import Agent, alerts_of, calls_until


def test_the_same_command_121_times() -> None:
    """#34574."""
    agent = Agent()
    for _ in range(121):
        agent.run("openclaw status --json", '{"ok": true}')
    assert calls_until(agent, "tool_loop") == 10


def test_a_random_id_around_the_result_hides_nothing() -> None:
    """#130210: 39 calls in 108 s, each result wrapped with an id of its own."""
    agent = Agent()
    for number in range(39):
        text = f'<<<EXTERNAL_UNTRUSTED_CONTENT id="{number:016x}">>>\nService unavailable\n<<<END id="{number:016x}">>>'
        agent.use("web_fetch", text, url="https://status.acme.test")
    assert calls_until(agent, "tool_loop") == 10


def test_the_warnings_of_the_host_are_not_needed() -> None:
    """#70546: the host warned 21 times and never blocked; its own words in the result change with each call."""
    agent = Agent()
    for _ in range(30):
        agent.use("read", "no such file", error="ENOENT", path="/etc/missing")
    assert calls_until(agent, "tool_loop") == 10


def test_a_scheduled_run_that_is_over_and_goes_on() -> None:
    """#95907: a cron run was marked ok and went on calling for 7 h."""
    agent = Agent(session="agent:main:cron:nightly:run:1")
    agent.run("make report", "report written")
    agent.end()
    agent.lifecycle("end")
    for _ in range(100):
        agent.run("curl -s https://reports.acme.test/latest", "report of yesterday")
        agent.rest(20)
    assert calls_until(agent, "tool_loop") == 11


def test_forty_variants_of_one_failing_command() -> None:
    """#117637."""
    agent = Agent()
    for number in range(40):
        agent.run(
            f"docker compose -f stack.yml up --scale web={number} --wait-timeout {30 + number}", "no such service", 1
        )
    assert calls_until(agent, "failing_variants") == 8


def test_two_files_edited_to_and_fro() -> None:
    """#112479: the paths alternate, so that each call looks like progress."""
    agent = Agent()
    for number in range(60):
        path = f"/home/user/src/{'ab'[number % 2]}.py"
        agent.use("edit", f"Edited {path}", path=path, oldText="x", newText="y")
    assert calls_until(agent, "ping_pong") == 13


def test_two_agents_writing_to_each_other() -> None:
    """Two agents at each other for 11 days, at 47,000 dollars."""
    agent = Agent(session="agent:planner:main")
    for number in range(200):
        mine, other = ("planner", "critic") if number % 2 == 0 else ("critic", "planner")
        agent.at(f"run-{mine}", f"agent:{mine}:main")
        agent.use("sessions_send", "sent", sessionKey=f"agent:{other}:main", message=f"Refine step {number} once more")
        agent.rest(30)
    assert calls_until(agent, "ping_pong") == 24


def test_errors_cascade_over_tools() -> None:
    """#75924."""
    agent = Agent()
    for number in range(30):
        tool = ("exec", "read", "web_fetch", "edit")[number % 4]
        agent.use(tool, error=f"{tool}: sandbox is gone ({number})", target=f"thing-{number * 7919}")
    assert calls_until(agent, "error_cascade") == 8


def test_turn_after_turn_against_a_rate_limit() -> None:
    """#120962: 219 turns in 6 h 42 m after HTTP 429, each of which cost tokens."""
    agent = Agent()
    for _ in range(219):
        agent.call(tokens=70_000)
        agent.call(tokens=None, outcome="error")
        agent.rest(110)
    assert calls_until(agent, "retry_storm", "model_call_ended") == 32


def test_nothing_but_errors_from_the_provider() -> None:
    """4,800 iterations an hour against a 429, for 63 h."""
    agent = Agent()
    for _ in range(100):
        agent.call(tokens=None, outcome="error")
        agent.rest(0.75)
    assert calls_until(agent, "retry_storm", "model_call_ended") == 12


def test_calls_that_are_begun_and_never_answered() -> None:
    """#155081: a runtime that no longer says that tools have ended."""
    agent = Agent()
    for _ in range(50):
        agent.run("make deploy", "failed", 2)
    agent.events = [event for event in agent.events if event.hook != "after_tool_call"]
    assert calls_until(agent, "tool_loop", "before_tool_call") == 20


def test_an_agent_that_plans_and_reads_the_same_again() -> None:
    """One night, 4,217 dollars: a planner that refines its plan from the same inputs."""
    agent = Agent()
    for number in range(60):
        for name in ("brief", "plan", "budget", "risks"):
            agent.use("read", f"{name} " * 2_000, path=f"/home/user/plan/{name}.md")
        agent.run(f"python plan.py --round {number}", f"plan {number}")
    assert calls_until(agent, "reread_file") == 21
    assert calls_until(agent, "repeated_result") <= 15


def spawn(script: Script, requester: str, number: int) -> None:
    child = f"agent:main:subagent:{number:08d}"
    event = {"runId": f"child-{number}", "childSessionKey": child, "agentId": "main", "mode": "run"}
    script.hook(
        "subagent_spawned",
        event,
        {"runId": f"child-{number}", "childSessionKey": child, "requesterSessionKey": requester},
    )


def test_a_chain_of_sub_agents() -> None:
    agent = Agent()
    requester = agent.session
    for number in range(12):
        spawn(agent, requester, number)
        requester = f"agent:main:subagent:{number:08d}"
    assert calls_until(agent, "spawn_chain", "subagent_spawned") == 5
    (depth,) = alerts_of(agent, "spawn_chain")[:1]
    assert depth.evidence["depth"] == "5"
    assert depth.labels["root_session_key"] == agent.session


def test_a_swarm_of_sub_agents() -> None:
    agent = Agent()
    for number in range(40):
        spawn(agent, agent.session, number)
    assert calls_until(agent, "spawn_chain", "subagent_spawned") == 21


def test_the_same_asked_with_little_changes() -> None:
    """A search agent and its sub-agents that ask for the same with other numbers, and are told the same."""
    agent = Agent()
    for number in range(60):
        if number == 15:
            agent.at("run-child", "agent:main:subagent:1")
        agent.use("web_search", "No results found.", query="price list of acme widgets 2026", count=number)
    assert calls_until(agent, "redundant_tool_calls") <= 22
