"""Each kind of channel against a server that speaks its protocol."""

import base64
import hashlib
import hmac
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from stream_jobs.contracts.alert import AlertState
from stream_jobs.contracts.channel import Target, webhook_secret_bytes
from stream_jobs.core.notify.addresses import parse_networks
from stream_jobs.core.notify.message import Message
from stream_jobs.core.notify.webhook import sign
from stream_jobs.notify.deliver import Deliverer, Outcome
from stream_jobs.notify.outbound import Guard
from tests.unit.stream_jobs.notify.making import BASE_URL, WEBHOOK_SECRET, alert, message, target, told
from tests.unit.stream_jobs.notify.servers import (
    Alertmanager,
    Discord,
    HttpServer,
    PagerDuty,
    Slack,
    Taken,
    Telegram,
    http_server,
)

# What an agent may bring into a message: markup of every protocol, mentions, line breaks, far too much of all.
HOSTILE = "<!channel> @everyone <b>x</b> [a](http://evil) `*_~|` \r\nInjected: yes\x00 & <@123> </code>" * 400


def deliver(to: Target, what: Message) -> Outcome:
    return Deliverer.behind(Guard(parse_networks("127.0.0.1/32"))).deliver(to, what)


def hostile_message() -> Message:
    """Forty alerts with as much hostile text as there can be."""
    labels = {f"label{number}": HOSTILE for number in range(30)} | {"run_id": "r1"}
    states: tuple[AlertState, ...] = ("ok", "warn", "alert", "no_data")
    return message(
        *(told(alert(n, states[n % 4], message=HOSTILE, labels=labels, agent_id=HOSTILE[:300])) for n in range(40))
    )


def verify(taken: Taken, secret: str, now_s: float) -> None:
    """Check a signature as the Standard Webhooks text says a receiver does; written from that text alone."""
    message_id, timestamp = taken.headers["webhook-id"], taken.headers["webhook-timestamp"]
    assert abs(now_s - int(timestamp)) < 300
    key = base64.b64decode(secret.split("_", 1)[1])
    wanted = hmac.new(key, f"{message_id}.{timestamp}.{taken.body.decode()}".encode(), hashlib.sha256).digest()
    versions = [part.split(",", 1) for part in taken.headers["webhook-signature"].split(" ")]
    assert any(v == "v1" and hmac.compare_digest(base64.b64decode(given), wanted) for v, given in versions)


def test_webhook() -> None:
    with http_server() as server:
        to = target("webhook", url=f"{server.url}/hook?x=1", secret=WEBHOOK_SECRET)
        what = message(told(alert(1)), told(alert(2, "ok")), message_id="msg_2KWPBgLlAfxdpx2AI54pPJ85f4W")
        assert deliver(to, what).is_sent
        assert deliver(to, what).is_sent
        first, second = server.taken
        verify(first, WEBHOOK_SECRET, time.time())
        with pytest.raises(AssertionError):
            verify(first, "whsec_" + base64.b64encode(b"x" * 24).decode(), time.time())
        assert first.path == "/hook?x=1"
        assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
        body = first.json()
        assert {"version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels",
                "commonAnnotations", "externalURL", "alerts"} == set(body)  # fmt: skip
        assert (body["version"], body["status"], body["receiver"]) == ("4", "firing", "oncall")
        firing, resolved = body["alerts"]
        assert (firing["status"], firing["endsAt"]) == ("firing", "0001-01-01T00:00:00Z")
        assert (resolved["status"], resolved["startsAt"]) == ("resolved", "2026-11-23T05:42:20.484Z")
        assert datetime.fromisoformat(resolved["endsAt"]) >= datetime.fromisoformat(resolved["startsAt"])
        assert firing["labels"]["alertname"] == "run_cost"
        assert firing["annotations"]["evidence_cost_usd"] == "0.06"
        assert firing["fingerprint"] == alert(1).alert_id
        assert firing["generatorURL"] == (f"{BASE_URL}/traces/bef2bd3ea2e7cce000b1495c74e2a107?span=1f76a81aea48b4fd")
        assert body["commonLabels"]["run_id"] == "r1"
        assert "alert_id" not in body["commonLabels"]


def test_the_signature_is_that_of_the_published_example() -> None:
    secret = webhook_secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("kind", "server_type", "values"),
    [
        ("slack", Slack, {}),
        ("discord", Discord, {}),
        ("telegram", Telegram, {"bot_token": Telegram.token, "chat_id": "-100123"}),
        ("alertmanager", Alertmanager, {}),
    ],
)
def test_hostile_and_far_too_long_text_is_taken(kind: str, server_type: type[Any], values: dict[str, str]) -> None:
    with http_server(server_type()) as server:
        to = target(kind, url=server.url, **values)
        outcome = deliver(to, hostile_message())
        assert outcome.is_sent, outcome.reason
        assert len(server.taken) == 1


def test_slack() -> None:
    with http_server(Slack()) as server:
        to = target("slack", url=server.url)
        assert deliver(to, message(told(alert(1, message="<!channel> & <http://evil|x>")))).is_sent
        header, section, context, _ = server.taken[0].json()["blocks"]
        assert header["text"]["text"] == "🚨 [ALERT] run_cost on laptop"
        assert "&lt;!channel&gt; &amp; &lt;http://evil|x&gt;" in section["text"]["text"]
        assert section["accessory"]["url"].startswith(f"{BASE_URL}/traces/bef2")
        assert "cost_usd: 0.06" in context["elements"][0]["text"]
        assert deliver(to, message(*(told(alert(n)) for n in range(3)))).is_sent
        assert server.taken[1].json()["text"] == "[ALERT] run_cost on laptop and 2 more"


def test_discord() -> None:
    with http_server(Discord()) as server:
        to = target("discord", url=server.url)
        assert deliver(to, message(told(alert(1, "ok", message="@everyone **x**"), told_as="change"))).is_sent
        body = server.taken[0].json()
        assert body["allowed_mentions"] == {"parse": []}
        assert body["content"].startswith("✅")
        assert body["embeds"][0]["description"] == r"\@everyone \*\*x\*\*"
        assert body["embeds"][0]["url"].startswith(f"{BASE_URL}/traces/")


def test_telegram() -> None:
    with http_server(Telegram()) as server:
        to = target("telegram", url=server.url, bot_token=Telegram.token, chat_id="@oncall")
        assert deliver(to, message(told(alert(1, message="a < b & c"), told_as="repeat"))).is_sent
        body = server.taken[0].json()
        assert body["chat_id"] == "@oncall"
        assert "Still so: a &lt; b &amp; c" in body["text"]
        wrong = target("telegram", url=server.url, bot_token="9" + Telegram.token, chat_id="@oncall")
        outcome = deliver(wrong, message())
        assert (outcome.is_sent, outcome.is_passing) == (False, False)
        assert Telegram.token not in outcome.reason


def test_pagerduty_opens_acknowledges_and_resolves_one_incident() -> None:
    pagerduty = PagerDuty()
    with http_server(pagerduty) as server:
        to = target("pagerduty", url=f"{server.url}/v2/enqueue", routing_key=PagerDuty.key)
        incident = alert(1).alert_id
        for one, wanted in (
            (told(alert(1, "warn", severity="warning")), "triggered"),
            (told(alert(1, "alert", message=HOSTILE)), "triggered"),
            (told(alert(1), told_as="repeat"), "triggered"),
            (told(alert(1), told_as="ack"), "acknowledged"),
            (told(alert(1, "ok")), "resolved"),
        ):
            assert deliver(to, message(one)).is_sent
            assert pagerduty.incidents == {incident: wanted}
        assert pagerduty.num_opened == 1
        assert server.taken[0].json()["links"][0]["href"].startswith(f"{BASE_URL}/traces/")
        other = target("pagerduty", url=server.url, routing_key="another")
        assert deliver(other, message()).reason == "answered with status 400"


def test_alertmanager_ends_what_it_began_whatever_else_has_changed() -> None:
    alertmanager = Alertmanager()
    with http_server(alertmanager) as server:
        to = target("alertmanager", url=f"{server.url}/", username="claw", password="pass:word")
        began = told(alert(1, labels={"run_id": "r1"}))
        assert deliver(to, message(began)).is_sent
        login = base64.b64decode(server.taken[0].headers["authorization"].removeprefix("Basic "))
        assert login == b"claw:pass:word"
        now = datetime.now(UTC)
        (active,) = alertmanager.active(now)
        assert active["alert_id"] == alert(1).alert_id
        (ends,) = alertmanager.ends.values()
        assert 200 < (ends - now).total_seconds() <= 240, "ends by itself when it is no longer sent"
        # Another run and a lower severity at its end: it must be the same alert there.
        over = told(alert(1, "ok", severity="info", labels={"run_id": "r2"}, rev=9), severity="critical")
        assert deliver(to, message(over)).is_sent
        assert alertmanager.active(now) == []
        assert len(alertmanager.ends) == 1


def test_what_comes_of_an_answer() -> None:
    def outcome_of(status: int, server: HttpServer) -> Outcome:
        server.answers = lambda _: (status, b"very-secret")
        return deliver(target("slack", url=f"{server.url}/very-secret"), message())

    with http_server() as server:
        for status, is_sent, is_passing in (
            (200, True, False), (204, True, False), (302, False, False), (400, False, False), (404, False, False),
            (429, False, True), (500, False, True), (503, False, True),
        ):  # fmt: skip
            outcome = outcome_of(status, server)
            assert (outcome.is_sent, outcome.is_passing) == (is_sent, is_passing), status
            assert "very-secret" not in outcome.reason
    outcome = deliver(target("slack", url=f"{server.url}/very-secret"), message())
    assert (outcome.is_sent, outcome.is_passing) == (False, True)
    assert "very-secret" not in outcome.reason
    refused = deliver(target("slack", url="http://10.0.0.1/very-secret"), message())
    assert (refused.is_sent, refused.is_passing) == (False, False)
    assert "very-secret" not in refused.reason
