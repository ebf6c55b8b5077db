"""Roles, keys, members, marks on alerts and the audit log, over real Postgres and Trino."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from infra.runtime.settings import StackSettings
from tests.integration.api.conftest import BASE_AT, Client, People, change_silver, insert_rows, new_tenant_id
from tests.integration.doors import wait_until


@dataclass(frozen=True)
class Roles:
    """One tenant's clients by role, and an admin of another tenant."""

    tenant_id: str
    viewer: Client
    operator: Client
    admin: Client
    stranger: Client


def send(client: Client, method: str, path: str, body: Any = None) -> httpx2.Response:
    """Send JSON with the client's key."""
    return client.http.request(method, path, json=body, headers={"Authorization": f"Bearer {client.key}"})


@pytest.fixture(scope="module")
def roles(
    stack: StackSettings, written_rules: None, api: httpx2.Client, read_key: Callable[[str, str], str]
) -> Iterator[Roles]:
    tenant_id = new_tenant_id()
    alert = {"tenant_id": tenant_id, "agent_id": "agent", "rule": "run_cost", "severity": "critical", "state": "alert"}
    times = [BASE_AT + timedelta(minutes=number) for number in range(3)]
    insert_rows(stack, "alerts", [{**alert, "alert_id": f"a{number}", "at": at} for number, at in enumerate(times)])
    keys = [Client(api, read_key(tenant_id, scope)) for scope in ("read", "operate", "admin")]
    yield Roles(tenant_id, *keys, Client(api, read_key(new_tenant_id(), "admin")))
    change_silver(stack, f"DELETE FROM silver.alerts WHERE tenant_id = '{tenant_id}'")


@pytest.mark.parametrize(
    ("method", "path", "body", "least"),
    [
        ("GET", "/v1/me", None, 0),
        ("GET", "/v1/tenants", None, 0),
        ("PUT", "/v1/alerts/a0/ack", {}, 1),
        ("DELETE", "/v1/alerts/a0/ack", None, 1),
        ("PUT", "/v1/alerts/a0/snooze", {"minutes": 5}, 1),
        ("DELETE", "/v1/alerts/a0/snooze", None, 1),
        ("GET", "/v1/keys", None, 2),
        ("POST", "/v1/keys", {"scope": "read"}, 2),
        ("GET", "/v1/members", None, 2),
        ("PUT", "/v1/members/a@b.example", {"role": "viewer"}, 2),
        ("GET", "/v1/audit", None, 2),
    ],
)
def test_each_role_may_do_what_it_may(roles: Roles, method: str, path: str, body: Any, least: int) -> None:
    for level, client in enumerate((roles.viewer, roles.operator, roles.admin)):
        answer = send(client, method, path, body)
        good = 201 if method == "POST" else 200
        assert answer.status_code == (good if level >= least else 403), answer.text
        if level < least:
            assert answer.headers["content-type"] == "application/problem+json"


def test_me(roles: Roles) -> None:
    me = send(roles.operator, "GET", "/v1/me").json()
    assert (me["tenant_id"], me["role"]) == (roles.tenant_id, "operator")
    assert me["actor"].startswith("key:")


def test_a_key_works_until_it_is_revoked(roles: Roles, api: httpx2.Client) -> None:
    made = send(roles.admin, "POST", "/v1/keys", {"scope": "operate", "agent_id": "web"}).json()
    fresh = Client(api, made["key"])
    assert send(fresh, "GET", "/v1/me").json()["role"] == "operator"
    listed = next(
        item for item in send(roles.admin, "GET", "/v1/keys").json()["items"] if item["key_id"] == made["key_id"]
    )
    assert (listed["scope"], listed["agent_id"], listed["revoked_at"]) == ("operate", "web", None)
    assert made["key"] not in send(roles.admin, "GET", "/v1/keys").text
    assert send(roles.stranger, "DELETE", f"/v1/keys/{made['key_id']}").status_code == 404
    assert send(fresh, "GET", "/v1/me").status_code == 200
    for _ in range(2):
        assert send(roles.admin, "DELETE", f"/v1/keys/{made['key_id']}").status_code == 204
    wait_until(lambda: send(fresh, "GET", "/v1/me").status_code, lambda status: status == 401, "key ends")
    actions = [(entry["action"], entry["target"]) for entry in send(roles.admin, "GET", "/v1/audit").json()["items"]]
    assert actions.count(("key.revoke", made["key_id"])) == 1
    assert ("key.create", made["key_id"]) in actions


def test_a_key_that_cannot_be_is_a_422(roles: Roles) -> None:
    for body in ({"scope": "ingest"}, {"scope": "root"}, {"scope": "read", "agent_id": "A B"}, {}):
        assert send(roles.admin, "POST", "/v1/keys", body).status_code == 422


def test_members_come_and_go(roles: Roles) -> None:
    made = send(roles.admin, "PUT", "/v1/members/Ada@Example.org", {"role": "viewer"}).json()
    assert (made["member_id"], made["role"]) == ("ada@example.org", "viewer")
    assert send(roles.admin, "PUT", "/v1/members/ada@example.org", {"role": "admin"}).json()["role"] == "admin"
    assert send(roles.admin, "PUT", "/v1/members/ada@example.org", {"role": "king"}).status_code == 422
    members = {item["member_id"]: item["role"] for item in send(roles.admin, "GET", "/v1/members").json()["items"]}
    assert members["ada@example.org"] == "admin"
    assert send(roles.stranger, "GET", "/v1/members").json()["items"] == []
    assert send(roles.stranger, "DELETE", "/v1/members/ada@example.org").status_code == 404
    assert send(roles.admin, "DELETE", "/v1/members/ada@example.org").status_code == 204
    assert send(roles.admin, "DELETE", "/v1/members/ada@example.org").status_code == 404


def test_a_tenant_is_named_by_its_own_admin(roles: Roles) -> None:
    path = f"/v1/tenants/{roles.tenant_id}"
    assert send(roles.stranger, "PUT", path, {"name": "Mine"}).status_code == 404
    assert send(roles.operator, "PUT", path, {"name": "Mine"}).status_code == 403
    assert send(roles.admin, "PUT", path, {"name": "Lab"}).json()["name"] == "Lab"
    assert send(roles.viewer, "GET", "/v1/tenants").json()["items"] == [
        {"tenant_id": roles.tenant_id, "name": "Lab", "role": "viewer"}
    ]


def _open(client: Client) -> list[str]:
    return [item["alert_id"] for item in client.get("/v1/alerts", open=True).json()["items"]]


def test_an_ack_holds_until_the_alert_changes(roles: Roles, stack: StackSettings) -> None:
    acked = send(roles.operator, "PUT", "/v1/alerts/a1/ack", {"note": "on it"}).json()
    assert (acked["is_acked"], acked["ack_note"]) == (True, "on it")
    assert _open(roles.viewer) == ["a2", "a0"]
    listed = {item["alert_id"]: item for item in roles.viewer.get("/v1/alerts").json()["items"]}
    assert [listed[name]["is_acked"] for name in ("a0", "a1", "a2")] == [False, True, False]
    assert listed["a1"]["acked_by"].startswith("key:")
    again = {"tenant_id": roles.tenant_id, "agent_id": "agent", "rule": "run_cost", "severity": "critical"}
    later = BASE_AT + timedelta(days=3650)
    insert_rows(stack, "alerts", [{**again, "state": "warn", "alert_id": "a1", "at": later, "rev": 5}])
    assert _open(roles.viewer) == ["a1", "a2", "a0"]
    send(roles.operator, "PUT", "/v1/alerts/a1/ack", {})
    assert _open(roles.viewer) == ["a2", "a0"]
    send(roles.operator, "DELETE", "/v1/alerts/a1/ack")
    assert _open(roles.viewer) == ["a1", "a2", "a0"]


def test_a_snooze_keeps_an_alert_out_of_the_open_ones(roles: Roles) -> None:
    snoozed = send(roles.operator, "PUT", "/v1/alerts/a2/snooze", {"minutes": 60}).json()
    assert snoozed["snoozed_until"] is not None
    assert "a2" not in _open(roles.viewer)
    assert send(roles.operator, "DELETE", "/v1/alerts/a2/snooze").json()["snoozed_until"] is None
    assert "a2" in _open(roles.viewer)
    assert send(roles.operator, "PUT", "/v1/alerts/a2/snooze", {"minutes": 0}).status_code == 422


def test_alerts_of_others_cannot_be_marked(roles: Roles) -> None:
    for path in ("/v1/alerts/a0/ack", "/v1/alerts/nothing/ack"):
        client = roles.stranger if "a0" in path else roles.admin
        assert send(client, "PUT", path, {}).status_code == 404


def test_alerts_are_narrowed_on_every_page(roles: Roles) -> None:
    assert roles.viewer.get("/v1/alerts", severity="info").json()["items"] == []
    first = roles.viewer.get("/v1/alerts", limit=1, rule="run_cost", severity="critical").json()
    second = roles.viewer.get("/v1/alerts", limit=2, cursor=first["next_cursor"]).json()
    assert len(first["items"] + second["items"]) == 3
    assert second["next_cursor"] is None


def test_the_audit_log_comes_in_pages(people: People) -> None:
    # People of the test's own: refusals of others are written down a moment later, between two pages.
    for number in range(5):
        assert send(people.admin, "PUT", f"/v1/members/a{number}@b.example", {"role": "viewer"}).status_code == 200
    whole = send(people.admin, "GET", "/v1/audit?limit=200").json()["items"]
    assert len(whole) == 5
    first = send(people.admin, "GET", "/v1/audit?limit=3").json()
    second = send(people.admin, "GET", f"/v1/audit?limit=200&cursor={first['next_cursor']}").json()
    assert first["items"] + second["items"] == whole
    assert send(people.stranger, "GET", "/v1/audit").json()["items"] == []
