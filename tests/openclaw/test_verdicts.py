"""What people and the stream order reaches a running OpenClaw: block, note, ask, stop, release."""

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.doors import wait_until
from tests.openclaw.balance import wait_until_quiet
from tests.openclaw.conftest import TENANT, Install

Clawtrace = Callable[..., subprocess.CompletedProcess[str]]
STOPPED = "Stopped by the ClawTrace cost guard: somebody is trying this out."


class Commander:
    """Sends verdicts to one install and waits until they are there."""

    def __init__(self, install: Install, clawtrace: Clawtrace) -> None:
        """Remember whom to command."""
        self.install = install
        self._clawtrace = clawtrace

    def send(self, action: str, session: str = "") -> None:
        """Send a verdict for a session, or for the whole agent; returns when the plugin has it."""
        before = self._rev()
        covers = ("--scope", "session", "--id", f"agent:main:{session}") if session else ("--scope", "agent")
        target = ("--tenant", TENANT, "--agent", self.install.agent_id)
        reason = ("--reason", "somebody is trying this out", "--minutes", "5")
        done = self._clawtrace("guard", "verdict", *target, "--action", action, *covers, *reason)
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until(self._rev, lambda rev: rev > before, f"the verdict {action} arrived")

    def _rev(self) -> int:
        return int((self.install.host.plugin_status().get("guard") or {}).get("rev", 0))

    def decisions(self, action: str) -> list[dict[str, Any]]:
        """The decisions of one kind that are stored."""
        self.install.doors.wait_until_stored()
        rows = self.install.doors.sql(
            self.install.read_key,
            f"SELECT payload FROM events WHERE agent_id = '{self.install.agent_id}' AND hook = 'guard_decision'",
        )
        told = [json.loads(row["payload"])["event"] for row in rows]
        return [event for event in told if event["action"] == action]


@pytest.fixture(scope="module")
def commander(make_install: Callable[..., Install], clawtrace: Clawtrace) -> Iterator[Commander]:
    """An OpenClaw that obeys, with a limit that ends what would go on for ever."""
    install = make_install("obedient", change={"tools": {"toolSearch": False}})
    done = clawtrace("guard", "set", "--tenant", TENANT, "--agent", install.agent_id, "--run-usd", "0.05")
    assert done.returncode == 0, done.stdout + done.stderr
    install.host.start_gateway()
    commander = Commander(install, clawtrace)
    wait_until(
        lambda: install.host.plugin_status().get("guard", {}).get("hasState"), lambda has: has is True, "the policy"
    )
    yield commander
    install.host.close()


def said_to_the_model(install: Install, label: str) -> str:
    """Everything the provider was sent under a label."""
    return json.dumps([install.provider.bodies[entry.number] for entry in install.entries(label)])


def test_a_repeated_call_is_blocked_with_the_earlier_result(commander: Commander, label: str) -> None:
    install = commander.install
    commander.send("block", label)
    install.host.ask(f"[[scenario:runaway label={label}]] Go on.", label).result(120)
    said = said_to_the_model(install, label)
    assert "Not run again, because somebody is trying this out." in said
    assert "The same call of exec was made already in this run; its result was: again" in said
    spans = install.balanced(label)
    statuses = [span["status"] for span in spans if span["kind"] == "tool_call"]
    assert statuses.count("ok") == 1
    assert commander.decisions("block")


def test_a_note_stands_before_the_next_turn(commander: Commander, label: str) -> None:
    install = commander.install
    running = install.host.ask(f"[[scenario:slow-tool seconds=15 label={label}]] Please.", label)
    wait_until(lambda: len(install.entries(label)), lambda found: found == 1, "the run is under way")
    commander.send("note", label)
    assert "It slept." in running.result(60)
    assert "Hello from the model." in install.host.ask(f"[[scenario:simple label={label}]] Hi.", label).result(60)
    last = install.entries(label)[-1]
    assert "Note of the ClawTrace cost guard: somebody is trying this out." in json.dumps(
        install.provider.bodies[last.number]
    )


def test_a_question_that_nobody_answers_is_a_no(commander: Commander, label: str) -> None:
    install = commander.install
    commander.send("ask", label)
    install.host.ask(f"[[scenario:runaway label={label}]] Go on.", label).result(120)
    wait_until_quiet(lambda: install.entries(label))
    assert len(install.entries(label)) <= 2
    assert commander.decisions("ask")
    assert not [span for span in install.balanced(label) if span["kind"] == "tool_call" and span["status"] == "ok"]


def test_what_is_closed_says_so_and_opens_again(commander: Commander, label: str) -> None:
    install = commander.install
    commander.send("abort", label)
    message = f"[[scenario:simple label={label}]] Hi."
    assert STOPPED in install.host.ask(message, label).result(60)
    assert not install.entries(label)
    commander.send("release", label)
    assert install.host.ask(message, label).result(60) == "Hello from the model."


def test_a_heartbeat_of_a_stopped_agent_stays_quiet(commander: Commander, label: str) -> None:
    install = commander.install
    commander.send("abort")
    try:
        num_before, logged = len(commander.decisions("block")), len(install.host.log_file.read_text())
        install.host.must("system", "event", "--mode", "now", "--text", f"[[scenario:heartbeat label={label}]]")
        wait_until(
            lambda: len(commander.decisions("block")), lambda num: num > num_before, "the heartbeat was answered"
        )
        assert not install.entries(label)
        assert "Stopped by the ClawTrace cost guard" not in install.host.log_file.read_text()[logged:]
    finally:
        commander.send("release")
    assert "Hello" in install.host.ask(f"[[scenario:simple label={label}]] Hi.", label).result(60)
