"""`clawtrace budgets`: how the budgets of the key's tenant stand."""

import json

from typer.testing import CliRunner

from api.console.budgets import budgets_app
from tests.unit.api.console.spoken_api import Document, spoken_api

BUDGET = {
    "budget_id": "0123456789ab", "agent_id": "office-mac", "openclaw_agent_id": "main", "session_prefix": None,
    "window": "day", "window_end": "2026-11-24T00:00:00Z", "unit": "usd", "limit": "20", "spent": "16.25",
    "left": "3.75", "percent": "81.3", "state": "warn", "warn_percents": [50, 80], "action": "abort",
    "grace_percent": 0, "leased": "0.5", "stopped": ["office-mac"], "released": [],
}  # fmt: skip

NAMES = "budget scope window unit limit spent left % state action until (UTC) stopped"
ROW = "0123456789ab office-mac / main day usd 20 16.25 3.75 81.3 warn abort 2026-11-24 00:00:00 office-mac"


def test_what_is_spent_and_left() -> None:
    whole = {**BUDGET, "agent_id": None, "openclaw_agent_id": None, "stopped": [], "state": "ok"}
    with spoken_api({"/v1/budgets": [Document({"items": [BUDGET, whole]})]}) as api:
        done = CliRunner().invoke(budgets_app, ["--url", api.url, "--key", "k"])
        assert done.exit_code == 0, done.output
        names, one, other = done.stdout.splitlines()
        assert names.split() == NAMES.split()
        assert one.split() == ROW.split()
        assert other.split()[1:5] == ["all", "agents", "day", "usd"]
        listed = CliRunner().invoke(budgets_app, ["--url", api.url, "--key", "k", "--json"])
        assert json.loads(listed.stdout)["items"] == [BUDGET, whole]


def test_no_budget_is_told_so() -> None:
    with spoken_api({"/v1/budgets": [Document({"items": []})]}) as api:
        done = CliRunner().invoke(budgets_app, ["--url", api.url, "--key", "k"])
    assert (done.exit_code, done.stdout) == (0, "")
    assert "clawtrace budget set" in done.stderr
