"""Channels over the API: all seven kinds, secrets that never come out, a test message that is really sent."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from infra.runtime.database import make_engine
from infra.runtime.settings import StackSettings
from tests.integration.api.conftest import Client, People, api_settings, people_of, served
from tests.unit.stream_jobs.notify.making import WEBHOOK_SECRET
from tests.unit.stream_jobs.notify.servers import http_server, patient_senders

SECRET = "s3cret-that-nobody-may-see"
BOT_TOKEN = f"123456:{SECRET}aaaaaaaa"
TARGETS: dict[str, dict[str, Any]] = {
    "webhook": {"url": f"https://example.com/hook/{SECRET}", "secret": WEBHOOK_SECRET},
    "slack": {"url": f"https://example.com/services/{SECRET}"},
    "email": {
        "host": "example.com", "sender": "from@example.com", "to": ["to@example.com"], "username": "u",
        "password": SECRET,
    },
    "pagerduty": {"routing_key": SECRET, "url": "https://example.com/v2/enqueue"},
    "discord": {"url": f"https://example.com/api/webhooks/{SECRET}"},
    "telegram": {"bot_token": BOT_TOKEN, "chat_id": "-100", "url": "https://example.com"},
    "alertmanager": {"url": "https://example.com/am", "username": "u", "password": SECRET},
}  # fmt: skip
SECRETS = (SECRET, WEBHOOK_SECRET, BOT_TOKEN)
# What stands for addresses that no tenant may reach.
FORBIDDEN = (
    "http://127.0.0.1/x",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/x",
    "http://10.0.0.1/x",
    "http://0x7f.1/x",
    "http://localhost:4601/v1/keys",
)


@pytest.fixture(scope="module")
def open_api(
    stack: StackSettings, written_rules: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx2.Client]:
    """An API whose operator allows one network: that of the test's own receivers."""
    with ExitStack() as running:
        # Read at the start; other APIs of this session must not see it.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CLAWTRACE_NOTIFY_ALLOWED_NETWORKS", "127.0.0.2/32,93.184.0.0/16")
            patch.setenv("CLAWTRACE_NOTIFY_KEY_FILE", str(tmp_path_factory.mktemp("notify") / "key"))
            with patient_senders():
                client = running.enter_context(served(api_settings(stack)))
        yield client


@pytest.fixture
def crew(open_api: httpx2.Client, read_key: Callable[[str, str], str]) -> People:
    return people_of(open_api, read_key)


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let example.com have an address without a network."""
    import socket

    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        return real("93.184.216.34" if host == "example.com" else host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def add(client: Client, name: str, kind: str, **target: Any) -> httpx2.Response:
    return client.send("POST", "/v1/channels", {"name": name, "target": {"kind": kind, **target}})


def listed(client: Client) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/v1/channels").json()["items"]
    return items


def test_every_kind_is_made_and_no_secret_comes_out(crew: People, resolved: None, stack: StackSettings) -> None:
    answers = []
    for kind, target in TARGETS.items():
        made = add(crew.admin, f"my-{kind}", kind, **target)
        assert made.status_code == 201, made.text
        answers.append(made.text)
        # Again, without secrets and with the same place: they stay as they are.
        same = {
            name: value for name, value in target.items() if name in ("host", "sender", "to", "username", "chat_id")
        }
        changed = crew.admin.send(
            "PUT",
            f"/v1/channels/my-{kind}",
            {"target": {"kind": kind, **same}, "filters": {"min_severity": "critical"}},
        )
        assert changed.status_code == 200, changed.text
        assert changed.json()["filters"]["min_severity"] == "critical"
        answers.append(changed.text)
    answers += [crew.viewer.get("/v1/channels").text, crew.admin.get("/v1/audit", limit=200).text]
    assert [it["kind"] for it in listed(crew.viewer)] == sorted(TARGETS)
    with make_engine(stack).connect() as connection:
        rows = connection.execute(sa.text("SELECT * FROM control.channels WHERE tenant_id = :t"), {"t": crew.tenant_id})
        answers.append(repr([tuple(row) for row in rows]))
    for secret in SECRETS:
        assert not any(secret in answer for answer in answers)
    assert len(crew.audited("channel.add")) == len(crew.audited("channel.change")) == 7


def test_a_test_message_is_sent_and_its_outcome_told(crew: People) -> None:
    with http_server(address="127.0.0.2") as server:
        made = add(crew.admin, "hook", "webhook", url=f"{server.url}/hook", secret=WEBHOOK_SECRET)
        assert made.status_code == 201, made.text
        tried = crew.operator.send("POST", "/v1/channels/hook/test")
        assert tried.json() == {"is_sent": True, "reason": "", "can_pass": False}
        (taken,) = server.taken
        assert taken.path == "/hook"
        assert "test" in json.dumps(taken.json()).lower()
        assert "webhook-signature" in {name.lower() for name in taken.headers}
    tried = crew.operator.send("POST", "/v1/channels/hook/test")
    assert (tried.json()["is_sent"], tried.json()["can_pass"]) == (False, True)
    assert "did not answer" in tried.json()["reason"]
    assert [entry["details"]["is_sent"] for entry in crew.audited("channel.test")] == [False, True]


def test_a_stored_secret_never_goes_to_a_new_address(crew: People) -> None:
    with http_server(address="127.0.0.2") as first, http_server(address="127.0.0.2") as second:
        given = {"url": first.url, "username": "u", "password": SECRET}
        assert add(crew.admin, "am", "alertmanager", **given).status_code == 201
        body = {"target": {"kind": "alertmanager", "url": second.url, "username": "u"}}
        assert crew.admin.send("PUT", "/v1/channels/am", body).status_code == 200
        assert crew.operator.send("POST", "/v1/channels/am/test").json()["is_sent"]
        assert second.taken
        for taken in second.taken:
            assert SECRET not in repr(taken)
            assert "dTpz" not in taken.headers.get("authorization", taken.headers.get("Authorization", ""))


@pytest.mark.parametrize("url", FORBIDDEN)
def test_addresses_inside_are_refused(people: People, url: str) -> None:
    answer = add(people.admin, "hook", "webhook", url=url, secret=WEBHOOK_SECRET)
    assert answer.status_code == 422
    assert [it["field"] for it in answer.json()["errors"]] == ["body.target.url"]
    assert listed(people.viewer) == []


def test_a_channel_cannot_be_moved_inside(crew: People) -> None:
    with http_server(address="127.0.0.2") as server:
        add(crew.admin, "hook", "slack", url=server.url)
        for url in FORBIDDEN:
            answer = crew.admin.send("PUT", "/v1/channels/hook", {"target": {"kind": "slack", "url": url}})
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body.target.url"), url
        assert crew.operator.send("POST", "/v1/channels/hook/test").json()["is_sent"]


def test_redirects_to_the_inside_are_not_followed(crew: People) -> None:
    with (
        http_server(address="127.0.0.2") as inside,
        http_server(lambda _: (302, b""), address="127.0.0.2", headers={"Location": inside.url}) as server,
    ):
        add(crew.admin, "hook", "slack", url=server.url)
        tried = crew.operator.send("POST", "/v1/channels/hook/test").json()
        assert (tried["is_sent"], "redirect" in tried["reason"]) == (False, True)
        assert inside.taken == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "A b", "target": {"kind": "slack", "url": "https://example.com"}}, "body.name"),
        ({"name": "x", "target": {"kind": "fax"}}, "body.target.kind"),
        ({"name": "x", "target": {"kind": "slack"}}, "body.target.url"),
        ({"name": "x", "target": {"kind": "slack", "url": "ftp://example.com"}}, "body.target.url"),
        ({"name": "x", "target": {"kind": "slack", "url": "https://example.com", "host": "h"}}, "body.target.host"),
        (
            {"name": "x", "target": {"kind": "webhook", "url": "https://example.com", "secret": SECRET}},
            "body.target.secret",
        ),
        ({"name": "x", "target": {"kind": "telegram", "bot_token": SECRET, "chat_id": "1"}}, "body.target.bot_token"),
        (
            {
                "name": "x",
                "target": {
                    "kind": "email",
                    "host": "example.com",
                    "sender": "a@example.com",
                    "to": ["b@example.com"],
                    "username": "u",
                },
            },
            "body.target",
        ),
        (
            {"name": "x", "target": {"kind": "slack", "url": "https://example.com"}, "filters": {"rules": ["nothing"]}},
            "body.filters.rules.0",
        ),
        (
            {"name": "x", "target": {"kind": "slack", "url": "https://example.com"}, "filters": {"states": ["ok"]}},
            "body.filters.states",
        ),
    ],
)  # fmt: skip
def test_a_channel_that_cannot_be_is_refused_by_name(people: People, body: dict[str, Any], field: str) -> None:
    answer = people.admin.send("POST", "/v1/channels", body)
    assert answer.status_code == 422
    assert [it["field"] for it in answer.json()["errors"]] == [field]
    assert SECRET not in answer.text
    assert listed(people.viewer) == []


def test_who_may_not_and_what_is_not_there(crew: People) -> None:
    with http_server(address="127.0.0.2") as server:
        add(crew.admin, "hook", "slack", url=server.url)
        target = {"target": {"kind": "slack", "url": server.url}}
        for client in (crew.viewer, crew.operator):
            assert add(client, "mine", "slack", url=server.url).status_code == 403
            assert client.send("PUT", "/v1/channels/hook", target).status_code == 403
            assert client.send("DELETE", "/v1/channels/hook").status_code == 403
        assert crew.viewer.send("POST", "/v1/channels/hook/test").status_code == 403
        assert listed(crew.stranger) == []
        assert crew.stranger.send("PUT", "/v1/channels/hook", target).status_code == 404
        assert crew.stranger.send("POST", "/v1/channels/hook/test").status_code == 404
        assert crew.stranger.send("DELETE", "/v1/channels/hook").status_code == 404
        assert server.taken == []
        again = add(crew.admin, "hook", "slack", url=server.url)
        assert [it["field"] for it in again.json()["errors"]] == ["body.name"]
    assert crew.admin.send("DELETE", "/v1/channels/hook").status_code == 204
    assert crew.admin.send("DELETE", "/v1/channels/hook").status_code == 404
    assert listed(crew.viewer) == []
