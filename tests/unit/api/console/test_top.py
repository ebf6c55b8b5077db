"""`clawtrace top`: who spends fastest stands first, and money is exact."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner

from api.client import EXIT_AWAY
from api.console.top import rank_agents, top_app
from tests.unit.api.console.spoken_api import Document, SpokenApi, spoken_api

COLUMNS = (
    "agent_id", "recent_cost_usd", "today_cost_usd", "num_open_runs", "num_runs_today", "num_errors_today",
    "last_seen_at",
)  # fmt: skip
SEEN = "2026-11-23T14:00:00.5Z"
ROWS: list[list[Any]] = [
    ["slow", "0.10", "9.5", 0, 3, 1, SEEN],
    ["fast", "0.25", "0.75", 2, 5, 0, SEEN],
    ["unpriced", None, None, 1, 1, 0, SEEN],
]
ALERT = {
    "alert_id": "a1", "agent_id": "fast", "at": SEEN, "severity": "critical", "state": "alert",
    "message": "It loops.\x1b]0;title\x07",
}  # fmt: skip
GONE = {**ALERT, "alert_id": "a2", "agent_id": "gone", "severity": "info"}
OVER = {**ALERT, "alert_id": "a3", "state": "ok"}


def test_the_fastest_spender_stands_first() -> None:
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
    lines = rank_agents(rows, [ALERT, GONE], minutes=5)
    assert [line.agent_id for line in lines] == ["fast", "slow", "gone", "unpriced"]
    fast, slow, gone, unpriced = lines
    assert (fast.usd_per_hour, slow.usd_per_hour) == (Decimal("3"), Decimal("1.2"))
    assert (fast.num_open_runs, fast.num_open_alerts, slow.num_open_alerts) == (2, 1, 0)
    # An alert of an agent that did nothing is not forgotten; nothing spent and nothing known differ.
    assert (gone.num_open_alerts, gone.num_runs_today) == (1, 0)
    assert unpriced.today_cost_usd is None


@pytest.fixture
def api() -> Iterator[SpokenApi]:
    columns = [{"name": name, "type": "varchar"} for name in COLUMNS]
    found = Document({"columns": columns, "rows": ROWS, "truncated": False})
    alerts = Document({"items": [ALERT, GONE, OVER], "next_cursor": None})
    with spoken_api({"/v1/sql": [found], "/v1/alerts": [alerts]}) as api:
        yield api


def test_one_table(api: SpokenApi) -> None:
    done = CliRunner().invoke(top_app, ["--once", "--url", api.url, "--key", "k"])
    assert done.exit_code == 0, done.output
    head, names, fast, *_ = done.stdout.splitlines()
    assert head == "spending $ 2.1000 an hour (by the last 10 min) · today $ 10.2500 · open runs 3 · open alerts 2"
    assert names.split()[:4] == ["agent", "$", "per", "hour"]
    assert fast.split() == ["fast", "1.5000", "0.7500", "2", "5", "0", "1", "2026-11-23", "14:00:00"]
    assert done.stdout.count("It loops.]0;title") == 2
    assert "\x1b" not in done.stdout
    sql = next(body["sql"] for path, _, body in api.asked if path == "/v1/sql")
    assert "INTERVAL '10' MINUTE" in sql


def test_one_document(api: SpokenApi) -> None:
    done = CliRunner().invoke(top_app, ["--once", "--json", "--minutes", "5", "--url", api.url, "--key", "k"])
    found = json.loads(done.stdout)
    assert (found["window_minutes"], found["usd_per_hour"], found["today_cost_usd"]) == (5, "4.2", "10.25")
    assert [agent["agent_id"] for agent in found["agents"]] == ["fast", "slow", "gone", "unpriced"]
    assert [alert["alert_id"] for alert in found["alerts"]] == ["a1", "a2"]


def test_an_api_that_is_away_is_told_so(api: SpokenApi) -> None:
    api.replies["/v1/alerts"] = [Document({"detail": "Postgres does not answer"}, 503)]
    done = CliRunner().invoke(top_app, ["--once", "--url", api.url, "--key", "k"])
    assert (done.exit_code, done.stdout, done.stderr) == (EXIT_AWAY, "", "Postgres does not answer\n")
