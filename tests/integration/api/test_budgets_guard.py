"""Budgets and orders over the API, with the real keeper of budgets, the real stitcher and the guard topic."""

import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from infra.runtime.access_keys import create_key, read_pepper
from infra.runtime.database import make_engine
from infra.runtime.settings import StackSettings
from tests.captures import hook_lines
from tests.days import wait_out_midnight
from tests.integration.api.conftest import Client, People
from tests.integration.doors import Doors, spool_id_of, wait_until, wire_batch

AGENT = "laptop"


def set_budget(client: Client, **changes: Any) -> httpx2.Response:
    return client.send("PUT", "/v1/budgets", {"window": "day", "unit": "usd", "limit": "20", **changes})


def listed(client: Client) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/v1/budgets").json()["items"]
    return items


@pytest.fixture
def ingest_key(people: People, stack: StackSettings) -> str:
    engine, pepper = make_engine(stack), read_pepper(stack.key_pepper_file)
    return create_key(engine, pepper, tenant_id=people.tenant_id, agent_id=AGENT, scope="ingest").key


def test_a_budget_is_made_changed_and_removed(people: People) -> None:
    made = set_budget(people.admin, agent_id=AGENT, warn_percents=[10, 90], action="note")
    assert made.status_code == 200, made.text
    budget = made.json()
    assert (budget["limit"], budget["spent"], budget["left"], budget["state"]) == ("20", "0", "20", "ok")
    changed = set_budget(people.admin, agent_id=AGENT, limit="30.000001").json()
    assert changed["budget_id"] == budget["budget_id"]
    assert (changed["limit"], changed["action"], changed["warn_percents"]) == ("30.000001", "note", [10, 90])
    assert listed(people.viewer) == [changed]
    tokens = set_budget(people.admin, unit="tokens", limit="1000000").json()
    assert (tokens["agent_id"], tokens["unit"]) == (None, "tokens")
    path = f"/v1/budgets/{budget['budget_id']}"
    assert people.admin.send("DELETE", path).status_code == 204
    assert people.admin.send("DELETE", path).status_code == 404
    assert listed(people.viewer) == [tokens]
    assert len(people.audited("budget.set")) == 3
    assert [entry["target"] for entry in people.audited("budget.remove")] == [budget["budget_id"]]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"limit": "0"}, "body.limit"),
        ({"limit": "NaN"}, "body.limit"),
        ({"limit": "0.0000001"}, "body.limit"),
        ({"limit": "1.5", "unit": "tokens"}, "body.limit"),
        ({"window": "week"}, "body.window"),
        ({"warn_percents": [80, 50]}, "body.warn_percents"),
        ({"grace_percent": 101}, "body.grace_percent"),
        ({"agent_id": "No Such"}, "body.agent_id"),
        ({"session_prefix": "a\x85b"}, "body.session_prefix"),
        ({"what": 1}, "body.what"),
    ],
)
def test_a_budget_that_cannot_be_is_refused_by_name(people: People, changes: dict[str, Any], field: str) -> None:
    answer = set_budget(people.admin, **changes)
    assert answer.status_code == 422
    assert [it["field"] for it in answer.json()["errors"]] == [field]
    assert listed(people.viewer) == []


def test_nobody_sees_or_removes_another_tenants_budget(people: People) -> None:
    budget = set_budget(people.admin).json()
    assert listed(people.stranger) == []
    assert people.stranger.send("DELETE", f"/v1/budgets/{budget['budget_id']}").status_code == 404
    for client in (people.viewer, people.operator):
        assert set_budget(client).status_code == 403
        assert client.send("DELETE", f"/v1/budgets/{budget['budget_id']}").status_code == 403
    assert listed(people.viewer) == [budget]


def test_the_keeper_acts_on_a_budget_of_the_api(people: People, doors: Doors, ingest_key: str) -> None:
    # What was spent yesterday is not spent today.
    wait_out_midnight(120)
    set_budget(people.admin, agent_id=AGENT, limit="0.000001")
    lines = hook_lines("multi-tool")
    shift_ms = int(time.time() * 1000) - lines[-1]["tsMs"]
    lines = [{**line, "tsMs": line["tsMs"] + shift_ms} for line in lines]
    answer = doors.send(ingest_key, wire_batch(lines, spool_id_of(people.tenant_id)))
    assert answer.status_code == 202, answer.text
    (budget,) = wait_until(lambda: listed(people.viewer), lambda found: found[0]["state"] == "alert", "it is spent")
    assert (float(budget["spent"]) > 0, budget["left"]) == (True, "0")

    def guard() -> dict[str, Any]:
        found: dict[str, Any] = people.viewer.get(f"/v1/agents/{AGENT}/guard").json()
        return found

    told = wait_until(guard, lambda found: found["state"] == "abort", "the agent is told")
    assert [it["budget_id"] for it in told["budgets"]] == [budget["budget_id"]]
    assert {(it["said_by"], it["ordered_by"]) for it in told["verdicts"]} == {("budget", None)}
    verdicts = people.viewer.get("/v1/verdicts", agent_id=AGENT).json()["items"]
    assert told["verdicts"][0]["verdict_id"] in {it["verdict_id"] for it in verdicts}

    # Somebody releases it; then the budget goes, and with it what it said.
    released = people.operator.send("POST", f"/v1/agents/{AGENT}/release", {"reason": "it is fine"})
    assert released.status_code == 200, released.text
    wait_until(guard, lambda found: found["state"] == "free", "it may go on")
    wait_until(lambda: listed(people.viewer)[0]["released"], lambda found: found == [AGENT], "the keeper knows")
    assert people.admin.send("DELETE", f"/v1/budgets/{budget['budget_id']}").status_code == 204


def test_an_agent_and_a_run_are_halted_and_released(
    people: People, doors: Doors, ingest_key: str, stack: StackSettings
) -> None:
    def at_gateway() -> list[tuple[str, str, str]]:
        url = f"{stack.gateway_url}/v1/guard"
        answer = doors.client.get(url, headers={"Authorization": f"Bearer {ingest_key}"})
        return [(it["scope"], it["scope_id"], it["action"]) for it in answer.json()["verdicts"]]

    def verdicts(path: str = "/v1/verdicts") -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = people.viewer.get(path).json()["items"]
        return items

    body = {"reason": "it deletes things", "hours": 1.5}
    halted = people.operator.send("POST", f"/v1/agents/{AGENT}/halt", body)
    assert halted.status_code == 200, halted.text
    verdict = halted.json()["verdict"]
    assert (verdict["scope"], verdict["scope_id"], verdict["action"]) == ("agent", AGENT, "abort")
    assert (verdict["said_by"], verdict["reason"]) == ("person", body["reason"])
    # A viewer may know who did it, without the audit log.
    by = f"key:{people.operator.key.split('_')[2]}"
    assert (verdict["ordered_by"], halted.json()["ordered_by"]) == (by, by)
    wait_until(at_gateway, lambda found: ("agent", AGENT, "abort") in found, "the gateway has it")
    wait_until(
        lambda: people.viewer.get(f"/v1/agents/{AGENT}/guard").json(),
        lambda guard: (guard["state"], [it["ordered_by"] for it in guard["verdicts"]]) == ("abort", [by]),
        "the API shows it, and by whom",
    )
    assert [it["verdict_id"] for it in wait_until(verdicts, bool, "it is listed")] == [verdict["verdict_id"]]

    of_run = people.operator.send("POST", f"/v1/agents/{AGENT}/runs/r1/halt", {"reason": "this one too"})
    assert (of_run.json()["verdict"]["scope"], of_run.json()["verdict"]["scope_id"]) == ("run", "r1")
    wait_until(at_gateway, lambda found: ("run", "r1", "abort") in found, "the gateway has the run")
    people.operator.send("POST", f"/v1/agents/{AGENT}/runs/r1/release", {"reason": "it is fine"})
    wait_until(at_gateway, lambda found: ("run", "r1", "abort") not in found, "the run may go on")
    assert ("agent", AGENT, "abort") in at_gateway()
    people.operator.send("POST", f"/v1/agents/{AGENT}/release", {"reason": "all is fine"})
    wait_until(at_gateway, lambda found: ("agent", AGENT, "abort") not in found, "the agent may go on")

    found = wait_until(verdicts, lambda items: len(items) == 4, "all four are listed")
    assert [it["action"] for it in found] == ["release", "release", "abort", "abort"]
    assert [it["ordered_by"] for it in found] == [by] * 4
    pages, cursor = [], ""
    while cursor is not None:
        page = people.viewer.get("/v1/verdicts", limit=1, **({"cursor": cursor} if cursor else {})).json()
        pages += page["items"]
        cursor = page["next_cursor"]
    assert pages == found
    assert [entry["details"]["reason"] for entry in people.audited("agent.halt")] == ["this one too", body["reason"]]
    assert len(people.audited("agent.release")) == 2


def test_who_may_not_halt_and_whom(people: People, ingest_key: str) -> None:
    body = {"reason": "no"}
    for path in ("halt", "release", "runs/r1/halt", "runs/r1/release"):
        assert people.viewer.send("POST", f"/v1/agents/{AGENT}/{path}", body).status_code == 403
        assert people.stranger.send("POST", f"/v1/agents/{AGENT}/{path}", body).status_code == 404
        assert people.operator.send("POST", f"/v1/agents/nobody/{path}", body).status_code == 404
        assert people.operator.send("POST", f"/v1/agents/{AGENT}/{path}", {}).status_code == 422
    answer = people.operator.send("POST", f"/v1/agents/{AGENT}/halt", {**body, "hours": 1_000})
    assert [it["field"] for it in answer.json()["errors"]] == ["body.hours"]
    assert people.stranger.get(f"/v1/agents/{AGENT}/guard").status_code == 404
    assert people.stranger.get("/v1/verdicts").json()["items"] == []
    assert people.viewer.get(f"/v1/agents/{AGENT}/guard").json()["state"] == "free"


def test_limits_of_an_agent_are_shown(people: People, ingest_key: str, clawtrace: Callable[..., Any]) -> None:
    named = ("--tenant", people.tenant_id, "--agent", AGENT)
    done = clawtrace("guard", "set", *named, "--run-usd", "0.50", "--action", "ask")
    assert done.returncode == 0, done.stderr
    policy = people.viewer.get(f"/v1/agents/{AGENT}/guard").json()["policy"]
    assert (policy["run_limit_usd"], policy["session_limit_usd"], policy["action"]) == ("0.5", None, "ask")
