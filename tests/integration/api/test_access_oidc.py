"""Login through an OpenID provider that really speaks the protocol, and what must not get in."""

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from infra.runtime.settings import StackSettings
from tests.integration.api.conftest import Client, api_settings, new_tenant_id, served
from tests.integration.api.live_topics import watching
from tests.integration.doors import DEADLINE_S, wait_until
from tests.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcTestProvider, oidc_provider, sign_with

PUBLIC_URL = "http://clawtrace.example"


@dataclass(frozen=True)
class Setup:
    """An API with a provider, and one tenant with its admin."""

    api: httpx2.Client
    provider: OidcTestProvider
    tenant_id: str
    admin: Client

    def invite(self, member_id: str, role: str) -> None:
        headers = {"Authorization": f"Bearer {self.admin.key}"}
        assert self.api.put(f"/v1/members/{member_id}", json={"role": role}, headers=headers).status_code == 200

    def remove(self, member_id: str) -> None:
        headers = {"Authorization": f"Bearer {self.admin.key}"}
        assert self.api.delete(f"/v1/members/{member_id}", headers=headers).status_code == 204


@pytest.fixture
def setup(stack: StackSettings, read_key: Callable[[str, str], str]) -> Iterator[Setup]:
    with oidc_provider() as provider:
        settings = api_settings(
            stack,
            api_public_url=PUBLIC_URL,
            oidc_issuer=provider.issuer,
            oidc_client_id=CLIENT_ID,
            oidc_client_secret=SecretStr(CLIENT_SECRET),
        )
        with served(settings) as api:
            tenant_id = new_tenant_id()
            made = Setup(api, provider, tenant_id, Client(api, read_key(tenant_id, "admin")))
            yield made
            # The next test invites the same person.
            for member in made.admin.get("/v1/members").json()["items"]:
                made.remove(member["member_id"])


@pytest.fixture
def browser(setup: Setup) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=setup.api.base_url, timeout=60, trust_env=False) as client:
        yield client


def ask(browser: httpx2.Client, **parameters: str) -> str:
    """Begin a login at the API, go to the provider, and return the query with which the browser comes back."""
    begun = browser.get("/v1/session/oidc/login", params=parameters)
    assert begun.status_code == 303, begun.text
    with httpx2.Client(timeout=60, trust_env=False) as elsewhere:
        back = elsewhere.get(begun.headers["location"])
    assert back.status_code == 302
    location = back.headers["location"]
    assert location.startswith(f"{PUBLIC_URL}/v1/session/oidc/callback?")
    return urlsplit(location).query


def come_back(browser: httpx2.Client, query: str) -> httpx2.Response:
    return browser.get(f"/v1/session/oidc/callback?{query}")


# A person who is a member of several tenants gets into the oldest: one of these tests must not meet another run's.
_RUN = secrets.token_hex(4)
ADA_MAIL, ADA_ID = f"ada-{_RUN}@example.org", f"ada-{_RUN}"
ADA = {"sub": ADA_ID, "email": ADA_MAIL.title(), "email_verified": True, "name": "Ada L."}


def test_an_invited_person_gets_in(setup: Setup, browser: httpx2.Client) -> None:
    assert browser.get("/v1/session/methods").json()["oidc"] is True
    setup.invite(ADA_MAIL, "operator")
    setup.provider.person = ADA
    done = come_back(browser, ask(browser, next="/traces?x=1"))
    assert (done.status_code, done.headers["location"]) == (303, "/traces?x=1")
    assert "clawtrace_login" not in browser.cookies
    who = browser.get("/v1/session").json()
    assert (who["tenant_id"], who["role"], who["name"]) == (setup.tenant_id, "operator", "Ada L.")
    entries = setup.admin.get("/v1/audit").json()["items"]
    assert ("session.start", ADA_MAIL) in {(entry["action"], entry["actor"]) for entry in entries}
    # An order of hers bears her name, for everybody.
    setup.admin.send("POST", "/v1/keys", {"scope": "ingest", "agent_id": "mac"})
    ui = {"x-clawtrace-ui": "1"}
    ordered = browser.post("/v1/agents/mac/halt", json={"reason": "it loops"}, headers=ui).json()
    assert (ordered["ordered_by"], ordered["verdict"]["ordered_by"]) == (ADA_MAIL, f"Ada L. ({ADA_MAIL})")
    # A role that was lowered counts at once, one that was raised at the next login.
    setup.invite(ADA_MAIL, "viewer")
    wait_until(lambda: browser.get("/v1/session").json()["role"], lambda role: role == "viewer", "role")
    setup.invite(ADA_MAIL, "admin")
    wait_until(lambda: browser.get("/v1/session").json()["role"], lambda role: role == "operator", "role")


def test_a_person_may_be_invited_by_subject(setup: Setup, browser: httpx2.Client) -> None:
    setup.invite(ADA_ID, "viewer")
    setup.provider.person = {"sub": ADA_ID}
    assert come_back(browser, ask(browser)).status_code == 303
    assert browser.get("/v1/session").json()["name"] == ADA_ID


@pytest.mark.parametrize(
    "person",
    [
        {"sub": "stranger", "email": "bob@example.org", "email_verified": True},
        {"sub": "x", "email": ADA_MAIL, "email_verified": False},
        {"sub": "x", "email": ADA_MAIL},
        {"sub": ADA_MAIL},
        {"sub": "ADA-1"},
    ],
)
def test_who_was_not_invited_stays_out(setup: Setup, browser: httpx2.Client, person: dict[str, Any]) -> None:
    setup.invite(ADA_MAIL, "viewer")
    setup.invite(ADA_ID, "viewer")
    setup.provider.person = person
    assert come_back(browser, ask(browser)).status_code == 403
    assert browser.get("/v1/session").status_code == 401


def test_another_tenants_invitation_does_not_open_this_one(setup: Setup, browser: httpx2.Client) -> None:
    setup.invite(ADA_MAIL, "viewer")
    setup.provider.person = ADA
    assert come_back(browser, ask(browser, tenant_id=new_tenant_id())).status_code == 403
    assert come_back(browser, ask(browser, tenant_id=setup.tenant_id)).status_code == 303


def _unsigned(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


BENT: dict[str, dict[str, Any]] = {
    "nonce": {"change_claims": lambda claims: {**claims, "nonce": "another"}},
    "no nonce": {"change_claims": lambda claims: {k: v for k, v in claims.items() if k != "nonce"}},
    "audience": {"change_claims": lambda claims: {**claims, "aud": "somebody-else"}},
    "two audiences": {"change_claims": lambda claims: {**claims, "aud": [CLIENT_ID, "somebody-else"]}},
    "other party": {"change_claims": lambda claims: {**claims, "azp": "somebody-else"}},
    "issuer": {"change_claims": lambda claims: {**claims, "iss": "https://elsewhere.example"}},
    "expired": {"change_claims": lambda claims: {**claims, "exp": int(time.time()) - 3_600}},
    "no end": {"change_claims": lambda claims: {k: v for k, v in claims.items() if k != "exp"}},
    "no subject": {"change_claims": lambda claims: {k: v for k, v in claims.items() if k != "sub"}},
    "unsigned": {"sign": _unsigned},
    "secret as key": {
        "sign": lambda claims: jwt.encode(claims, CLIENT_SECRET.ljust(32, "x"), "HS256", headers={"kid": "one"})
    },
    "foreign key": {"sign": sign_with(rsa.generate_private_key(65537, 2048), "one")},
    "unknown key": {"sign": sign_with(rsa.generate_private_key(65537, 2048), "two")},
}


@pytest.mark.parametrize("bent", BENT)
def test_a_token_that_does_not_count_lets_nobody_in(setup: Setup, browser: httpx2.Client, bent: str) -> None:
    setup.invite(ADA_MAIL, "admin")
    setup.provider.person = ADA
    query = ask(browser)
    for name, value in BENT[bent].items():
        setattr(setup.provider, name, value)
    refused = come_back(browser, query)
    assert refused.status_code == 401, refused.text
    assert setup.provider.num_tokens == 1
    assert browser.get("/v1/session").status_code == 401


def test_only_the_browser_that_asked_gets_the_answer(setup: Setup, browser: httpx2.Client) -> None:
    setup.invite(ADA_MAIL, "viewer")
    setup.provider.person = ADA
    query = ask(browser)
    with httpx2.Client(base_url=setup.api.base_url, timeout=60, trust_env=False) as victim:
        assert come_back(victim, query).status_code == 401
        ask(victim)
        assert come_back(victim, query).status_code == 401
    assert setup.provider.num_tokens == 0
    assert come_back(browser, query).status_code == 303
    assert come_back(browser, query).status_code == 401


def test_an_answer_of_another_provider_is_refused(setup: Setup, browser: httpx2.Client) -> None:
    query = ask(browser)
    code, state = (parse_qs(query)[name][0] for name in ("code", "state"))
    for rest in ("", "&iss=https%3A%2F%2Felsewhere.example"):
        assert come_back(browser, f"code={code}&state={state}{rest}").status_code == 401
    assert come_back(browser, "error=access_denied").status_code == 401
    assert setup.provider.num_tokens == 0


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/\t/x"])
def test_nobody_is_sent_elsewhere_afterwards(browser: httpx2.Client, path: str) -> None:
    assert browser.get("/v1/session/oidc/login", params={"next": path}).status_code == 422


def test_a_new_key_of_the_provider_is_found(setup: Setup, browser: httpx2.Client) -> None:
    setup.invite(ADA_MAIL, "viewer")
    setup.provider.person = ADA
    setup.provider.key, setup.provider.key_id = rsa.generate_private_key(65537, 2048), "new"
    assert come_back(browser, ask(browser)).status_code == 303


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://elsewhere.example"},
        {"token_endpoint": "http://elsewhere.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": None},
    ],
)
def test_a_provider_that_answers_wrongly_is_not_used(
    setup: Setup, browser: httpx2.Client, metadata: dict[str, Any]
) -> None:
    setup.provider.metadata = metadata
    assert browser.get("/v1/session/oidc/login").status_code == 503


def test_a_member_who_is_removed_loses_session_and_stream(setup: Setup, browser: httpx2.Client) -> None:
    setup.invite(ADA_MAIL, "viewer")
    setup.provider.person = ADA
    come_back(browser, ask(browser))
    cookie = f"clawtrace_session={browser.cookies['clawtrace_session']}"
    with httpx2.Client(base_url=setup.api.base_url, headers={"cookie": cookie}, timeout=60, trust_env=False) as client:

        def status() -> int:
            with client.stream("GET", "/v1/live") as response:
                return response.status_code

        wait_until(status, lambda found: found == 200, "the live window is there")
    with watching(setup.api.base_url, {"cookie": cookie}) as watcher:
        setup.remove(ADA_MAIL)
        began_s = time.monotonic()
        # What is promised is in tests/unit/api/test_promises.py; the rest is for a busy machine.
        assert watcher.is_over.wait(DEADLINE_S), "the stream goes on"
        print(f"member removed -> stream over: {time.monotonic() - began_s:.1f} s")
    assert browser.get("/v1/session").status_code == 401


def test_without_a_provider_there_is_no_such_login(api: httpx2.Client) -> None:
    assert api.get("/v1/session/methods").json() == {"key": True, "oidc": False, "oidc_login_path": None}
    assert api.get("/v1/session/oidc/login").status_code == 404
