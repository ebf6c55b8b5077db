"""What a channel can be, and that its secrets stay in it."""

from typing import Any

import pytest

from stream_jobs.contracts.channel import InvalidChannel, parse_channel, parse_target, reveal, shown
from tests.unit.stream_jobs.notify.making import TENANT, WEBHOOK_SECRET

TOKEN = "123456:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghi"
TARGETS: dict[str, dict[str, Any]] = {
    "webhook": {"url": "https://example.com/very-secret?very=secret", "secret": WEBHOOK_SECRET},
    "slack": {"url": "https://hooks.slack.com/services/T0/B0/very-secret"},
    "email": {
        "host": "smtp.example.com",
        "username": "claw",
        "password": "very-secret",
        "sender": "claw@example.com",
        "to": ["ann@example.com"],
    },
    "pagerduty": {"routing_key": "very-secret"},
    "discord": {"url": "https://discord.com/api/webhooks/1/very-secret"},
    "telegram": {"bot_token": TOKEN, "chat_id": "-100123"},
    "alertmanager": {"url": "http://10.0.0.1:9093/", "username": "claw", "password": "very-secret"},
}


def values(kind: str, **changes: Any) -> dict[str, Any]:
    return {"tenant_id": TENANT, "name": "oncall", "target": {"kind": kind, **TARGETS[kind], **changes}}


@pytest.mark.parametrize("kind", TARGETS)
def test_nothing_secret_is_shown_and_what_is_revealed_comes_back(kind: str) -> None:
    channel = parse_channel(values(kind))
    said = f"{channel} {channel!r} {shown(channel.target)}"
    for secret in ("very-secret", WEBHOOK_SECRET, TOKEN, "very="):
        assert secret not in said
    assert parse_target(reveal(channel.target)) == channel.target
    assert channel.kind == shown(channel.target)["kind"] == kind


@pytest.mark.parametrize("kind", TARGETS)
def test_errors_name_the_field_and_hold_no_secret(kind: str) -> None:
    for name, value in TARGETS[kind].items():
        broken = {name: [f"{value}\x00very-secret"] if isinstance(value, list) else f"\x00{value}\x00" * 999}
        with pytest.raises(InvalidChannel) as error:
            parse_channel(values(kind, **broken))
        assert str(error.value).startswith(name)
        # A mail address is no secret, and is told.
        assert isinstance(value, list) or "very-secret" not in str(error.value)
        with pytest.raises(InvalidChannel) as error:
            parse_channel(values(kind, **{name: None}))
        assert name in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "example.com", "//example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/",
        "https://", "https:///x", "https://user@example.com/", "https://user:pass@example.com/",
        "https://example.com@10.0.0.1/", "https://exa mple.com/", "https://example.com/a b", "https://example.com\\@a/",
        "https://example.com:0/", "https://example.com:99999/", "https://example.com:x/", "https://example.com/#a",
        "https://exämple.com/", "https://example.com/\r\nX-A: b", "https://example.com/" + "a" * 3000,
        "https://[::1/", "https://exam_ple.com%00/", "https://example.com%2f@a/",
    ],
)  # fmt: skip
def test_addresses_that_cannot_be(url: str) -> None:
    with pytest.raises(InvalidChannel, match="url: "):
        parse_channel(values("slack", url=url))


def test_what_belongs_together() -> None:
    with pytest.raises(InvalidChannel, match="without encryption"):
        parse_channel(values("email", security="none"))
    with pytest.raises(InvalidChannel, match="belong together"):
        parse_channel(values("email", password=""))
    with pytest.raises(InvalidChannel, match="this kind of channel does not have it"):
        parse_channel(values("slack", routing_key="x"))
    with pytest.raises(InvalidChannel, match="states: "):
        parse_channel(values("slack") | {"filters": {"states": ["ok"]}})
    with pytest.raises(InvalidChannel, match="kind: use webhook, slack"):
        parse_channel({"tenant_id": TENANT, "name": "oncall", "target": {"kind": "fax"}})
    with pytest.raises(InvalidChannel, match="kind: use webhook, slack"):
        parse_channel({"tenant_id": TENANT, "name": "oncall", "target": {}})


def test_how_often_and_in_how_many_messages() -> None:
    slack = parse_channel(values("slack") | {"renotify_minutes": 5})
    assert (slack.repeat_seconds, slack.is_grouped) == (300, True)
    alertmanager = parse_channel(values("alertmanager") | {"renotify_minutes": 5})
    assert (alertmanager.repeat_seconds, alertmanager.is_grouped) == (60, False)
    assert not parse_channel(values("pagerduty")).is_grouped
    assert parse_channel(values("discord")).repeat_seconds == 0
