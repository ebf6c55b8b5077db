"""A rule tried on what is stored fires as it fired live and as the tables say, to the alert.

The bill of a trace is that of its card; a dear run is blamed to the micro-dollar; tenants stay apart.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx2
import msgspec
import pytest
import typer
from typer.testing import CliRunner, Result

from api.client import EXIT_QUESTION
from api.console.costs import reread_app, why_app
from api.console.rules import rules_app
from stream_jobs.contracts.alert import Alert, AlertBatch
from tests.captures import hook_lines
from tests.integration.api.conftest import Client, People, people_of
from tests.integration.doors import Doors, spool_id_of, wire_batch
from tests.unit.stream_jobs.detect.story import MINUTE_MS, SECOND_MS, Story

SCENARIOS = ("runaway", "loop-detection", "subagent", "tool-error", "two-turns")
AGENTS = ("agent", "other")


class Lines(Story):
    """A story that keeps the lines of a capture; its ids are its own."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.lines: list[dict[str, Any]] = []

    def hook(self, hook: str, event: dict[str, Any], ctx: dict[str, Any] | None = None) -> None:
        super().hook(hook, event, ctx)
        self.lines.append({"hook": hook, "tsMs": self.now_ms, "event": event, "ctx": ctx or {}})

    def next_id(self, prefix: str) -> str:
        return super().next_id(f"{prefix}-{self.name}")


def dear_lines() -> list[dict[str, Any]]:
    """Two runs of one session: prompts of millions of tokens, a tool that fails, a good end."""
    story = Lines("dear")
    for _ in range(2):
        run = story.run("agent:main:dear")
        for number in range(6):
            run.call(3_000_000 + 1_000_000 * number)
            run.tool("exec", error="" if number else "no such file")
            story.wait(SECOND_MS)
        run.end()
        story.wait(MINUTE_MS)
    return story.lines


def task_lines(session: str, num_calls: int, number: int) -> list[dict[str, Any]]:
    """One run of a task; with more calls it is a dear one."""
    story = Lines(f"task-{number}")
    story.wait(number * 10 * MINUTE_MS)
    run = story.run(session, run_id=f"run-of-task-{number}")
    for call in range(num_calls):
        run.call(10_000, cached=1_000 * call, output=50 * num_calls)
        run.tool("read", text="x" * 4_000)
    run.end()
    return story.lines


# How many calls each run of the daily task makes; the last is the dear one.
DAILY = (3, 2, 4, 9)
SENT = {
    f"daily-{number}": task_lines(f"agent:main:cron:daily:run:{number}", num_calls, number)
    for number, num_calls in enumerate(DAILY)
}
SENT["alone"] = task_lines("agent:main:alone", 1, len(DAILY))
SENT |= {**{scenario: hook_lines(scenario) for scenario in SCENARIOS}, "dear": dear_lines()}


@pytest.fixture(scope="module")
def owner(api: httpx2.Client, written_rules: None, read_key: Callable[[str, str], str]) -> People:
    """People of the tenant whose captures are stored."""
    return people_of(api, read_key)


@pytest.fixture(scope="module")
def live(doors: Doors, owner: People, make_key: Callable[..., str]) -> list[Alert]:
    """Captures of two agents, sent, stitched and stored; the alerts that the stitcher sent of them."""
    starts = doors.end_offsets(["clawtrace.alerts.v1"])
    for agent_id in AGENTS:
        key = make_key(owner.tenant_id, agent_id, "ingest")
        for scenario, lines in SENT.items():
            spool_id = spool_id_of(owner.tenant_id, agent_id, scenario)
            for first in range(0, len(lines), 40):
                answer = doors.send(key, wire_batch(lines[first : first + 40], spool_id, first))
                assert answer.status_code == 202, answer.text
    doors.wait_until_stored()
    batches = [msgspec.json.decode(record.value() or b"", type=AlertBatch) for record in doors.records_since(starts)]
    return [alert for batch in batches if batch.tenant_id == owner.tenant_id for alert in batch.alerts]


def tried(client: Client, rule: str, **body: Any) -> dict[str, Any]:
    """The result of a backtest; progress comes before it."""
    answer = client.send("POST", f"/v1/rules/{rule}/backtest", body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [
        (lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: ")))
        for block in answer.text.split("\n\n")
        if len(lines := block.splitlines()) == 2
    ]
    assert [name for name, _ in events[:-1]] == ["progress"] * (len(events) - 1)
    name, result = events[-1]
    assert name == "result", result
    found: dict[str, Any] = result
    return found


def test_live_stored_and_backtest_are_equal_to_the_alert(owner: People, live: list[Alert]) -> None:
    for rule in ("run_cost", "session_cost", "tool_loop"):
        newest = {it.alert_id: it for it in live if it.rule == rule}
        assert newest
        rows = owner.viewer.sql(
            f"SELECT alert_id, state, CAST(at AS varchar) AS at FROM alerts WHERE rule = '{rule}'"
        ).json()
        assert {row[0]: row[1] for row in rows["rows"]} == {it.alert_id: it.state for it in newest.values()}
        result = tried(owner.operator, rule)
        assert {it["alert_id"] for it in result["firings"]} == {
            it.alert_id for it in live if it.rule == rule and it.state != "ok"
        }
        assert {it["alert_id"]: it["state"] for it in result["firings"]} == {
            it.alert_id: it.state for it in newest.values()
        }
        assert {it["alert_id"]: it["recorded"]["at"] for it in result["firings"]} == {
            it["alert_id"]: it["changed_at"] for it in result["firings"]
        }
        assert result["only_recorded"] == []
        assert (result["num_fired"], result["num_recorded"], result["num_both"]) == (len(newest),) * 3


def test_other_settings_fire_otherwise_and_say_what_they_save(owner: People, live: list[Alert]) -> None:
    strict = tried(owner.operator, "run_cost", settings={"limit_usd": "0.01"}, agent_id="agent")
    assert strict["settings"]["limit_usd"] == "0.01"
    assert strict["num_fired"] > 0
    assert {it["agent_id"] for it in strict["firings"]} == {"agent"}
    saved = sum(Decimal(it["saved_usd"]) for it in strict["firings"])
    assert saved == Decimal(strict["saved_usd"]) > 0
    # The dollars are those of stored calls that began after the firing, in the run that fired and under it.
    of_runaway = max(strict["firings"], key=lambda it: Decimal(it["saved_usd"]))
    fired_at = of_runaway["fired_at"].replace("T", " ").removesuffix("Z")
    (row,) = owner.viewer.sql(
        "SELECT CAST(sum(cost_usd) AS varchar) FROM spans WHERE kind = 'model_call' AND agent_id = 'agent' AND "
        f"trace_id = '{of_runaway['trace_id']}' AND started_at > TIMESTAMP '{fired_at} UTC'"
    ).json()["rows"]
    assert Decimal(row[0]) == Decimal(of_runaway["saved_usd"])
    hurt = sum(Decimal(it["spent_after_usd"]) for it in strict["hurt_runs"])
    assert hurt == Decimal(strict["hurt_usd"]) <= saved
    assert tried(owner.operator, "tool_loop", settings={"enabled": False})["num_fired"] == 0


def test_commands_say_it_in_words_and_as_documents(
    owner: People, live: list[Alert], api: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAWTRACE_API_URL", str(api.base_url))
    monkeypatch.setenv("CLAWTRACE_READ_KEY", owner.operator.key)

    def run(app: typer.Typer, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    arguments = ("run_cost", "--set", "limit_usd=0.01", "--agent", "agent", "--days", "30")
    done = run(rules_app, "backtest", *arguments)
    assert done.exit_code == 0, done.output
    assert "runs that ended well" in done.stdout
    assert "\x1b" not in done.output
    result = json.loads(run(rules_app, "backtest", *arguments, "--json").stdout)
    assert f"saves {result['saved_usd']} $" in done.stdout
    assert all(it["trace_id"] in done.stdout for it in result["hurt_runs"][:20])
    refused = run(rules_app, "backtest", "run_cost", "--set", "limit_usd=-1")
    assert (refused.exit_code, refused.stdout) == (EXIT_QUESTION, "")
    assert "limit_usd" in refused.stderr
    assert run(rules_app, "backtest", "run_cost", "--set", "limit_usd").exit_code == EXIT_QUESTION

    dear = max(owner.viewer.get("/v1/traces", agent_id="agent", limit=200).json()["items"], key=_num_calls)["trace_id"]
    for app, sure in ((reread_app, "results cost"), (why_app, "cost ")):
        assert sure in run(app, dear, "--agent", "agent").stdout
        assert json.loads(run(app, dear, "--agent", "agent", "--json").stdout)["trace"]["trace_id"] == dear
        assert run(app, "nothing").exit_code == EXIT_QUESTION


def _num_calls(trace: dict[str, Any]) -> int:
    """Model calls of a trace of the daily task."""
    return int(trace["num_model_calls"]) * (":cron:daily" in trace["session_key"])


def test_who_may_not_and_what_cannot_be(owner: People, live: list[Alert]) -> None:
    path = "/v1/rules/tool_loop/backtest"
    assert owner.viewer.send("POST", path, {}).status_code == 403
    assert owner.operator.send("POST", "/v1/rules/nothing/backtest", {}).status_code == 404
    assert owner.operator.send("POST", "/v1/rules/closing/backtest", {}).status_code == 404
    for body, field in (
        ({"settings": {"max": 1}}, "body.settings.max"),
        ({"settings": {"severity": "loud"}}, "body.settings.severity"),
        ({"days": 0}, "body.days"),
        ({"agent_id": "A B"}, "body.agent_id"),
        ({"more": 1}, "body.more"),
    ):
        answer = owner.operator.send("POST", path, body)
        assert answer.status_code == 422, body
        assert [it["field"] for it in answer.json()["errors"]] == [field]
    # Another tenant has other events, and other alerts.
    result = tried(owner.stranger, "tool_loop")
    assert (result["num_events"], result["num_fired"], result["num_recorded"]) == (0, 0, 0)


def test_events_are_read_in_pages_that_end_anywhere(
    owner: People, live: list[Alert], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tried(owner.operator, "tool_loop")
    monkeypatch.setattr("api.repositories.stored_events._PAGE_ROWS", 301)
    in_pages = tried(owner.operator, "tool_loop")
    assert in_pages.pop("until") > whole.pop("until")
    assert in_pages.pop("since") > whole.pop("since")
    in_pages.pop("num_ticks"), whole.pop("num_ticks")
    assert in_pages == whole
    assert whole["num_events"] == len(AGENTS) * sum(map(len, SENT.values()))


def test_the_bill_of_each_trace_is_that_of_its_card(owner: People, live: list[Alert]) -> None:
    rows = owner.viewer.sql(
        "SELECT trace_id, agent_id FROM cards WHERE agent_id = 'agent' AND reread_cost_usd > 0 "
        "ORDER BY num_tool_calls DESC, trace_id LIMIT 6"
    ).json()["rows"]
    assert len(rows) == 6
    for trace_id, agent_id in rows:
        card = owner.viewer.get(f"/v1/traces/{trace_id}/card", agent_id=agent_id).json()
        answer = owner.viewer.get(f"/v1/traces/{trace_id}/reread", agent_id=agent_id)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["cost_usd"] == card["reread_cost_usd"]
        assert Decimal(found["cost_usd"]) == sum(Decimal(it["cost_usd"]) for it in found["results"])
        assert all(it["num_again"] == it["num_calls"] - 1 for it in found["results"])
        listed = {(it["span_id"], it["num_tokens"], it["num_calls"], it["cost_usd"]) for it in found["results"]}
        in_card = {(it["span_id"], it["num_tokens"], it["num_calls"], it["cost_usd"]) for it in card["reread_bill"]}
        assert in_card <= listed


def test_a_dear_run_is_compared_with_the_median_of_its_task(owner: People, live: list[Alert]) -> None:
    rows = owner.viewer.sql(
        "SELECT trace_id, num_model_calls FROM cards WHERE agent_id = 'agent' AND task_id = 'agent:main:cron:daily'"
    ).json()["rows"]
    traces = {num_calls: trace_id for trace_id, num_calls in rows}
    assert sorted(traces) == sorted(DAILY)
    answer = owner.viewer.get(f"/v1/traces/{traces[9]}/why", agent_id="agent", limit=2)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["task_id"], found["num_runs"]) == ("agent:main:cron:daily", 3)
    assert found["usual"]["trace_id"] == traces[3]
    delta = Decimal(found["trace"]["cost_usd"]) - Decimal(found["usual"]["cost_usd"])
    assert Decimal(found["cost_delta_usd"]) == delta > 0
    assert sum(Decimal(it["cost_delta_usd"]) for it in found["reasons"]) == delta
    listed = sum(Decimal(it["cost_delta_usd"]) for it in found["items"])
    assert listed + Decimal(found["rest_cost_delta_usd"]) == delta
    assert found["reasons"][0]["reason"] == "more_calls"
    assert {it["reason"] for it in found["reasons"]} == {"more_calls", "longer_output"}
    # A cheap run is told to be cheaper, by as much the other way round.
    cheap = owner.viewer.get(f"/v1/traces/{traces[2]}/why", agent_id="agent").json()
    assert cheap["times"] < 1
    assert Decimal(cheap["cost_delta_usd"]) < 0
    # One of its kind has nothing to be compared with.
    of_alone = "SELECT trace_id FROM cards WHERE agent_id = 'agent' AND task_id = 'agent:main:alone'"
    (row,) = owner.viewer.sql(of_alone).json()["rows"]
    alone = owner.viewer.get(f"/v1/traces/{row[0]}/why", agent_id="agent").json()
    assert (alone["usual"], alone["num_runs"], alone["cost_delta_usd"], alone["items"]) == (None, 0, None, [])
    for view in ("why", "reread"):
        assert owner.stranger.get(f"/v1/traces/{traces[9]}/{view}").status_code == 404
