"""What a run has taught makes the next one cheaper: by a distilled skill, and by the agent that asks about itself.

The provider's model repeats a command sixteen times, and stops when a skill that OpenClaw offers it says so.
"""

import json
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.doors import wait_until
from tests.openclaw.conftest import Install
from tests.openclaw.host import OPENCLAW

TIMES = 16
# Long enough that the name of the run ends before the marker.
WORDS = "Please make the weekly report about the notes of this project and tell me how many lines it has in all."


@dataclass(frozen=True)
class Learner:
    """An OpenClaw whose agents may ask ClawTrace, and what the stack knows of its runs."""

    install: Install

    def run(self, task: str, skill: str) -> dict[str, Any]:
        """Do a task once, in a session of its own; the trace when it has a card."""
        number = str(uuid.uuid4().int)[:10]
        message = f"{WORDS} [[scenario:repeat what={task} skill={skill} times={TIMES} label={task}{number}]]"
        reply = self.install.host.ask(message, f"{task}-{number}").result(300)
        assert "three lines" in reply
        return self.finished(f"agent:main:{task}-{number}")

    def finished(self, session_key: str) -> dict[str, Any]:
        """The trace of a session's only run, when its card is there."""
        install = self.install
        question = (
            "SELECT t.trace_id FROM traces t JOIN cards c ON c.trace_id = t.trace_id AND c.trace_date = t.trace_date "
            f"WHERE t.agent_id = '{install.agent_id}' AND c.agent_id = t.agent_id "
            f"AND t.session_key = '{session_key}' AND NOT t.is_open AND c.num_model_calls = t.num_model_calls "
            "AND element_at(t.labels, 'config') IS NOT NULL"
        )
        rows = wait_until(
            lambda: install.doors.sql(install.read_key, question), lambda found: len(found) == 1, session_key
        )
        return dict(self.get(f"/v1/traces/{rows[0]['trace_id']}")["trace"])

    def is_offered(self, skill: str) -> bool:
        """Whether OpenClaw offers a skill to a new session; it looks at the folders of skills by itself."""
        label = f"offered-{uuid.uuid4().hex}"
        self.install.host.ask(f"[[scenario:simple label={label}]]", label).result(300)
        (entry, *_) = self.install.entries(label)
        return f"<name>{skill}</name>" in json.dumps(self.install.provider.bodies[entry.number])

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """GET of the API."""
        return dict(self.install.doors.get(self.install.read_key, path, **parameters).json())

    @property
    def workspace(self) -> Path:
        """Folder of the agent."""
        return self.install.host.state / "workspace"


@pytest.fixture(scope="module")
def learner(make_install: Callable[..., Install], node: str) -> Learner:
    """An OpenClaw of its own: what is learned must not change the runs of other tests."""
    install = make_install("learner")
    host = install.host
    host.change_config({"plugins": {"entries": {"clawtrace": {"config": {"api": install.doors.stack.api_url}}}}})
    # Agents call `openclaw` as users do.
    command = host.home / "bin/openclaw"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{node}" "{OPENCLAW}" "$@"\n')
    command.chmod(0o755)
    host.extra_env["PATH"] = f"{command.parent}:{host.environment['PATH']}"
    host.start_gateway()
    return Learner(install)


def within(predicted: float, measured: float, percent: float = 20) -> bool:
    """Whether a figure is as predicted."""
    return abs(measured - predicted) <= predicted * percent / 100


def test_a_distilled_skill_saves_in_the_second_round_what_was_predicted(
    learner: Learner, clawtrace: Callable[..., Any], tmp_path: Path
) -> None:
    before = learner.run("audit", "audit-report")
    assert before["num_tool_calls"] == TIMES
    file = tmp_path / "SKILL.md"
    head = "---\nname: audit-report\ndescription: How to make the report. Read it first.\n---\n"
    file.write_text(head)
    install = learner.install
    options = ["--agent", install.agent_id, "--task", "agent:main:audit", "--no-model", "--skill", str(file)]
    door = ["--key", install.read_key, "--url", install.doors.stack.api_url]
    done = clawtrace("skill", "distill", *options, "--out", str(file), "--json", *door)
    assert done.returncode == 0, done.stdout + done.stderr
    saving = json.loads(done.stdout)["saving"]
    assert saving["num_tool_calls"] == TIMES - 1
    folder = learner.workspace / "skills/audit-report"
    folder.mkdir(parents=True)
    shutil.copy(file, folder / "SKILL.md")
    wait_until(lambda: learner.is_offered("audit-report"), bool, "the skill is offered")

    after = learner.run("audit", "audit-report")
    saved_usd = Decimal(str(before["cost_usd"])) - Decimal(str(after["cost_usd"]))
    print(f"\npredicted ${saving['usd']}, measured ${saved_usd}: {before['cost_usd']} -> {after['cost_usd']}")
    assert after["num_tool_calls"] == 2, "it reads the skill and runs the command once"
    assert within(saving["num_tool_calls"], before["num_tool_calls"] - after["num_tool_calls"])
    assert within(float(saving["usd"]), float(saved_usd)), (saving, before, after)
    labels = [run["labels"] for run in (before, after)]
    assert "skill:audit-report" not in labels[0]
    assert labels[1]["skill:audit-report"] != ""
    found = learner.get("/v1/traces", label=f"skill:audit-report:{labels[1]['skill:audit-report']}")
    labelled = {item["trace_id"] for item in found["items"]}
    assert after["trace_id"] in labelled
    assert before["trace_id"] not in labelled


def test_an_agent_asks_about_itself_applies_the_fix_and_the_log_says_why(learner: Learner) -> None:
    before = learner.run("report", "clawtrace-learned")
    assert before["num_tool_calls"] == TIMES
    number = str(time.time_ns())
    message = f"{WORDS} [[scenario:evolve task=agent:main:report label=evolve{number}]]"
    told = learner.install.host.ask(message, f"evolve-{number}").result(600)
    assert "at most once" in told, told
    assert "The same command ran again and again" in told
    file = learner.workspace / "skills/clawtrace-learned/SKILL.md"
    assert "at most once" in file.read_text()
    wait_until(lambda: learner.is_offered("clawtrace-learned"), bool, "the skill is offered")

    after = learner.run("report", "clawtrace-learned")
    assert after["num_tool_calls"] == 2
    assert Decimal(str(after["cost_usd"])) < Decimal(str(before["cost_usd"])) / 4

    def changes() -> list[dict[str, Any]]:
        return list(learner.get(f"/v1/agents/{learner.install.agent_id}/configs")["skill_changes"])

    (change,) = wait_until(changes, lambda found: len(found) == 1, "the change is stored")
    assert (change["skill"], change["source"], change["action"]) == ("clawtrace-learned", "clawtrace", "created")
    assert change["why"].startswith("The same command ran again and again - ")
    assert f"{TIMES - 1} tool calls" in change["why"]
    assert (change["before"], change["after"]) == (None, after["labels"]["skill:clawtrace-learned"])
    configs = learner.get(f"/v1/agents/{learner.install.agent_id}/configs")["items"]
    versions = {item["hash"] for item in configs}
    assert {before["labels"]["config"], after["labels"]["config"]} <= versions
    assert before["labels"]["config"] != after["labels"]["config"]
    compared = learner.get(
        f"/v1/agents/{learner.install.agent_id}/configs/diff",
        before=before["labels"]["config"],
        after=after["labels"]["config"],
    )
    assert [it["name"] for it in compared["texts"]] == ["clawtrace-learned"]
    assert "at most once" in compared["texts"][0]["diff"]
