"""Signing in with a key, sessions and their end, over real Postgres; what is refused is in the audit log."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from infra.runtime.database import make_engine
from infra.runtime.settings import StackSettings
from tests.integration.api.conftest import Client, new_tenant_id
from tests.integration.doors import wait_until

UI = {"x-clawtrace-ui": "1"}


@pytest.fixture
def tenant_id() -> str:
    return new_tenant_id()


@pytest.fixture
def browser(api: httpx2.Client) -> Any:
    """A client with cookies of its own and without a key."""
    with httpx2.Client(base_url=api.base_url, timeout=60, trust_env=False) as client:
        yield client


def sign_in(browser: httpx2.Client, key: str) -> httpx2.Response:
    return browser.post("/v1/session", json={"key": key})


def audit_of(client: Client) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/v1/audit", limit=200).json()["items"]
    return items


def test_a_key_is_turned_into_a_session(
    browser: httpx2.Client, tenant_id: str, read_key: Callable[[str, str], str], stack: StackSettings
) -> None:
    key = read_key(tenant_id, "operate")
    made = sign_in(browser, key)
    assert made.status_code == 201
    cookie = made.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    token = browser.cookies["clawtrace_session"]
    assert token not in made.text
    assert key not in made.text
    who = browser.get("/v1/session").json()
    assert (who["tenant_id"], who["role"]) == (tenant_id, "operator")
    assert who["expires_at"] is not None
    # Other routes take it too.
    assert browser.get("/v1/me").json()["tenant_id"] == tenant_id
    with make_engine(stack).connect() as connection:
        stored = connection.execute(sa.text("SELECT * FROM control.sessions WHERE tenant_id = :t"), {"t": tenant_id})
        row = stored.one()._mapping
    assert token.encode() not in bytes(row["hash"])
    assert token not in str(row)


def test_behind_https_the_cookie_is_for_https_only(
    browser: httpx2.Client, tenant_id: str, read_key: Callable[[str, str], str]
) -> None:
    made = browser.post(
        "/v1/session", json={"key": read_key(tenant_id, "read")}, headers={"x-forwarded-proto": "https"}
    )
    assert "secure" in made.headers["set-cookie"].lower()


def test_a_cookie_changes_nothing_without_the_header_of_the_ui(
    browser: httpx2.Client, tenant_id: str, read_key: Callable[[str, str], str]
) -> None:
    sign_in(browser, read_key(tenant_id, "admin"))
    refused = browser.post("/v1/keys", json={"scope": "read"})
    assert refused.status_code == 403
    assert refused.json()["type"].endswith("missing-header")
    assert browser.delete("/v1/session").status_code == 403
    assert browser.post("/v1/keys", json={"scope": "read"}, headers=UI).status_code == 201


def test_signing_out_ends_the_session(
    browser: httpx2.Client, api: httpx2.Client, tenant_id: str, read_key: Callable[[str, str], str]
) -> None:
    sign_in(browser, read_key(tenant_id, "read"))
    stolen = {"clawtrace_session": browser.cookies["clawtrace_session"]}
    assert browser.get("/v1/session").status_code == 200
    assert browser.delete("/v1/session", headers=UI).status_code == 204
    assert "clawtrace_session" not in browser.cookies
    assert browser.get("/v1/session").status_code == 401
    with httpx2.Client(base_url=api.base_url, cookies=stolen, timeout=60, trust_env=False) as thief:
        assert thief.get("/v1/session").status_code == 401
    actions = [entry["action"] for entry in audit_of(Client(api, read_key(tenant_id, "admin")))]
    assert actions.count("session.start") == actions.count("session.end") == 1


def test_a_session_ends_with_its_key(
    browser: httpx2.Client, api: httpx2.Client, tenant_id: str, read_key: Callable[[str, str], str]
) -> None:
    admin = Client(api, read_key(tenant_id, "admin"))
    key = read_key(tenant_id, "read")
    sign_in(browser, key)
    assert browser.get("/v1/session").status_code == 200
    key_id = key.split("_")[2]
    headers = {"Authorization": f"Bearer {admin.key}"}
    assert api.delete(f"/v1/keys/{key_id}", headers=headers).status_code == 204
    wait_until(lambda: browser.get("/v1/session").status_code, lambda status: status == 401, "the session ends")


@pytest.mark.parametrize("key", ["", "ct_read_nothing", "x" * 300])
def test_no_key_no_session(browser: httpx2.Client, key: str) -> None:
    assert sign_in(browser, key).status_code in (401, 422)
    assert "clawtrace_session" not in browser.cookies
    assert browser.get("/v1/session", headers={"cookie": f"clawtrace_session={key}"}).status_code == 401


def test_refusals_are_written_down(
    browser: httpx2.Client, api: httpx2.Client, tenant_id: str, read_key: Callable[[str, str], str]
) -> None:
    """Fault F18: keys of the wrong scope, revoked keys, roles that are too low."""
    admin = Client(api, read_key(tenant_id, "admin"))
    sender, reader, gone = (Client(api, read_key(tenant_id, scope)) for scope in ("ingest", "read", "read"))
    assert sender.get("/v1/traces").status_code == 403
    assert sign_in(browser, sender.key).status_code == 403
    assert reader.get("/v1/keys").status_code == 403
    gone_id = gone.key.split("_")[2]
    api.delete(f"/v1/keys/{gone_id}", headers={"Authorization": f"Bearer {admin.key}"})
    wait_until(lambda: gone.get("/v1/me").status_code, lambda status: status == 401, "the key ends")
    for _ in range(3):
        assert reader.get("/v1/keys").status_code == 403

    def refused() -> set[tuple[str, str, int]]:
        return {
            (entry["actor"], entry["target"], entry["details"]["status"])
            for entry in audit_of(admin)
            if entry["action"] == "access.refused"
        }

    wanted = {
        (f"key:{sender.key.split('_')[2]}", "GET /v1/traces", 403),
        (f"key:{sender.key.split('_')[2]}", "POST /v1/session", 403),
        (f"key:{reader.key.split('_')[2]}", "GET /v1/keys", 403),
        (f"key:{gone_id}", "GET /v1/me", 401),
    }
    wait_until(refused, lambda found: found >= wanted, "refusals in the audit log")
    repeated = [entry for entry in audit_of(admin) if entry["target"] == "GET /v1/keys"]
    assert len(repeated) == 1, "one a minute is enough"
