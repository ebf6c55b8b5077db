"""`clawtrace configs`: versions of an agent's configuration, and what differs."""

import json

from typer.testing import CliRunner

from api.console.configs import configs_app
from tests.unit.api.console.spoken_api import Document, Reply, spoken_api

BASE = "/v1/agents/office%20mac/configs"
VERSION = {
    "hash": "0a0a0a0a0a0a", "openclaw_agent_id": "main", "model": "fake/sim-1", "skill": "aaaaaaaaaaaa",
    "first_run_at": "2026-11-23T10:00:00Z", "last_run_at": "2026-11-23T12:00:00Z", "num_traces": 7, "num_failed": 0,
    "num_tool_calls": 20, "cost_usd": "1.25", "is_current": True,
}  # fmt: skip
CHANGE = {
    "at": "2026-11-23T11:00:00Z", "action": "updated", "source": "clawtrace", "skill": "deploy",
    "before": "bbbbbbbbbbbb", "after": None, "why": "it\u202e ran \x1b[2Jfive times",
}  # fmt: skip


def run(documents: dict[str, list[Reply]], *arguments: str) -> tuple[int, str, str]:
    with spoken_api(documents) as api:
        done = CliRunner().invoke(configs_app, [*arguments, "--url", api.url, "--key", "k"])
    return done.exit_code, done.stdout, done.stderr


def test_versions_and_the_reasons_of_changes() -> None:
    code, out, _ = run({BASE: [Document({"items": [VERSION], "skill_changes": [CHANGE]})]}, "list", "office mac")
    assert code == 0
    names, version, gap, _, change = out.splitlines()
    assert names.split()[:4] == ["config", "agent", "model", "skills"]
    row = "0a0a0a0a0a0a main fake/sim-1 aaaaaaaaaaaa 2026-11-23 10:00:00 2026-11-23 12:00:00 7 20 1.25"
    assert version.split() == row.split()
    assert gap == ""
    # What an agent wrote cannot move the cursor.
    assert " ".join(change.split()[2:]) == "clawtrace deploy bbbbbbbbbbbb none updated: it ran [2Jfive times"


def test_an_older_plugin_is_told_so() -> None:
    code, out, err = run({BASE: [Document({"items": [], "skill_changes": []})]}, "list", "office mac")
    assert (code, out) == (0, "")
    assert "0.5" in err


def test_a_difference_without_a_text_says_so() -> None:
    text = {"kind": "skill", "name": "deploy", "before": "bbbbbbbbbbbb", "after": None, "diff": None}
    value = {"path": "model.primary", "before": '"a"', "after": None}
    found = {"values": [value], "texts": [text]}
    code, out, _ = run({f"{BASE}/diff": [Document(found)]}, "diff", "office mac", "0" * 12, "1" * 12)
    assert code == 0
    assert out.splitlines() == [
        'model.primary: "a" -> not set',
        "skill deploy: bbbbbbbbbbbb -> none",
        "  its text was not told",
    ]
    _, out, _ = run({f"{BASE}/diff": [Document(found)]}, "diff", "office mac", "0" * 12, "1" * 12, "--json")
    assert json.loads(out) == found
    code, out, err = run(
        {f"{BASE}/diff": [Document({"values": [], "texts": []})]}, "diff", "office mac", "0" * 12, "1" * 12
    )
    assert (code, out, err.strip()) == (0, "", "They say the same.")
