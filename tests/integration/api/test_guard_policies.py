"""What agents may spend, set over the API: the gateway tells it to the agent, and nobody else's is touched."""

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner, Result

from infra.runtime.access_keys import create_key, read_pepper
from infra.runtime.database import make_engine
from infra.runtime.settings import StackSettings
from producers.cli import guard_app
from producers.contracts.guard import GuardPolicy
from tests.integration.api.conftest import Client, People
from tests.integration.doors import Doors, wait_until

AGENT = "laptop"
PATH = f"/v1/guard/policies/{AGENT}"


def put(client: Client, path: str = PATH, **changes: Any) -> httpx2.Response:
    return client.send("PUT", path, changes)


def listed(client: Client, **parameters: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/v1/guard/policies", **parameters).json()["items"]
    return items


def test_a_policy_is_set_changed_and_taken_away(people: People) -> None:
    made = put(people.admin, run_limit_usd="0.50", posture="closed")
    assert made.status_code == 200, made.text
    entry = made.json()
    assert (entry["agent_id"], entry["run_limit_usd"], entry["posture"], entry["action"]) == (
        AGENT, "0.5", "closed", "abort"
    )  # fmt: skip
    changed = put(people.admin, agent_day_limit_usd=3, action="ask").json()
    assert (changed["run_limit_usd"], changed["agent_day_limit_usd"]) == ("0.5", "3")
    assert (changed["posture"], changed["action"]) == ("closed", "ask")
    assert changed["updated_at"] > entry["updated_at"]
    put(people.admin, "/v1/guard/policies/another", session_limit_usd="0.000001")
    assert [it["agent_id"] for it in listed(people.viewer)] == ["another", AGENT]
    assert listed(people.viewer, agent_id=AGENT) == [changed]
    without = put(people.admin, run_limit_usd=None).json()
    assert (without["run_limit_usd"], without["agent_day_limit_usd"]) == (None, "3")

    assert people.admin.send("DELETE", PATH).status_code == 204
    assert people.admin.send("DELETE", PATH).status_code == 404
    assert listed(people.viewer, agent_id=AGENT) == []
    # What it was does not come back.
    assert put(people.admin, session_limit_usd="1").json()["posture"] == "last"
    entries = [it for it in people.audited("guard_policy.set") if it["target"] == AGENT]
    assert [it["details"] for it in entries[::-1]] == [
        {"run_limit_usd": "0.5", "posture": "closed"},
        {"agent_day_limit_usd": "3", "action": "ask"},
        {"run_limit_usd": None},
        {"session_limit_usd": "1"},
    ]
    assert [it["target"] for it in people.audited("guard_policy.remove")] == [AGENT]


def test_the_agent_is_told_of_the_change_and_of_the_removal(people: People, doors: Doors, stack: StackSettings) -> None:
    engine, pepper = make_engine(stack), read_pepper(stack.key_pepper_file)
    key = create_key(engine, pepper, tenant_id=people.tenant_id, agent_id=AGENT, scope="ingest").key

    def told() -> GuardPolicy | None:
        answer = doors.client.get(f"{stack.gateway_url}/v1/guard", headers={"Authorization": f"Bearer {key}"})
        if answer.status_code != 200:
            return None
        policy = answer.json()["policy"]
        limits = {name: it and Decimal(it) for name, it in policy.items() if name.endswith("_usd")}
        return GuardPolicy(**{**policy, **limits})

    wait_until(told, lambda found: found == GuardPolicy(), "it is told that there are no limits")
    put(people.admin, run_limit_usd="0.25", action="block")
    wanted = GuardPolicy(run_limit_usd=Decimal("0.25"), action="block")
    wait_until(told, lambda found: found == wanted, "it is told of the limit", 30)
    assert people.viewer.get(f"/v1/agents/{AGENT}/guard").json()["policy"]["run_limit_usd"] == "0.25"
    people.admin.send("DELETE", PATH)
    wait_until(told, lambda found: found == GuardPolicy(), "it is told that the limit is gone", 30)
    assert people.viewer.get(f"/v1/agents/{AGENT}/guard").json()["policy"] is None


def test_two_who_change_different_limits_at_once_do_not_undo_each_other(people: People) -> None:
    names = ("run_limit_usd", "session_limit_usd", "agent_day_limit_usd")
    with ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(lambda name: put(people.admin, **{name: "2"}), names))
    assert [it.status_code for it in answers] == [200, 200, 200]
    (entry,) = listed(people.viewer)
    assert [entry[name] for name in names] == ["2", "2", "2"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"run_limit_usd": "0"}, "body.run_limit_usd"),
        ({"session_limit_usd": "NaN"}, "body.session_limit_usd"),
        ({"agent_day_limit_usd": "0.0000001"}, "body.agent_day_limit_usd"),
        ({"run_limit_usd": "1000000000"}, "body.run_limit_usd"),
        ({"run_limit_usd": "much"}, "body.run_limit_usd"),
        ({"posture": "ajar"}, "body.posture"),
        ({"action": None}, "body.action"),
        ({"what": 1}, "body.what"),
    ],
)
def test_what_cannot_be_is_refused_by_name(people: People, changes: dict[str, Any], field: str) -> None:
    answer = put(people.admin, **changes)
    assert answer.status_code == 422
    assert [it["field"] for it in answer.json()["errors"]] == [field]
    assert listed(people.viewer) == []


def test_an_agent_that_cannot_be_is_refused(people: People) -> None:
    answer = put(people.admin, "/v1/guard/policies/No%20Such", run_limit_usd="1")
    assert [it["field"] for it in answer.json()["errors"]] == ["path.agent_id"]


def test_another_tenants_policy_is_neither_seen_nor_touched(people: People) -> None:
    entry = put(people.admin, run_limit_usd="1").json()
    assert listed(people.stranger) == []
    assert people.stranger.send("DELETE", PATH).status_code == 404
    assert put(people.stranger, run_limit_usd="900").json()["agent_id"] == AGENT
    assert listed(people.viewer) == [entry]
    for client in (people.viewer, people.operator):
        assert put(client, run_limit_usd="2").status_code == 403
        assert client.send("DELETE", PATH).status_code == 403


def test_the_command_line_and_the_api_say_the_same(
    people: People, stack: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAWTRACE_HOME", str(stack.home))
    monkeypatch.setenv("CLAWTRACE_PORT_BASE", str(stack.port_base))
    named = ("--tenant", people.tenant_id, "--agent", AGENT)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(guard_app, [*arguments, *named])

    put(people.admin, run_limit_usd="1")
    assert run("set", "--day-usd", "4").exit_code == 0
    (entry,) = listed(people.viewer)
    assert (entry["run_limit_usd"], entry["agent_day_limit_usd"]) == ("1", "4")
    (shown,) = json.loads(run("show", "--json").stdout)
    assert (shown["tenant_id"], shown["agent_id"]) == (people.tenant_id, AGENT)
    assert run("remove").exit_code == 0
    assert listed(people.viewer) == []
    again = run("remove")
    assert (again.exit_code, "has no policy" in again.stderr) == (1, True)
