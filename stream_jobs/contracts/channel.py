"""The channel: where a tenant is told of alerts, of which, and how often.

Upstream: people, through ``clawtrace channels`` and the API.
Downstream: ``stream_jobs.notify``.
Guarantee: a channel that cannot be is refused with the name of the field; what is secret in it (addresses that carry
a token, passwords, keys) is never part of its text.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError
from pydantic import model_validator as _model_validator

from stream_jobs.contracts.alert import AlertRule, AlertSeverity, AlertState

ChannelKind = Literal["webhook", "slack", "email", "pagerduty", "discord", "telegram", "alertmanager"]

MAX_URL_CHARS: Final = 2_048
MAX_RECIPIENTS: Final = 20
MAX_RENOTIFY_MINUTES: Final = 10_080
# Standard Webhooks: 24 to 64 bytes.
WEBHOOK_SECRET_BYTES: Final = range(24, 65)
WEBHOOK_SECRET_PREFIX: Final = "whsec_"
SEVERITY_RANK: Final[dict[AlertSeverity, int]] = {"info": 0, "warning": 1, "critical": 2}
ALL_STATES: Final[tuple[AlertState, ...]] = ("ok", "warn", "alert", "no_data")

_HOST = re.compile(r"(?!-)[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\]")
_ADDRESS = re.compile(r"[^@\s<>,;:\"\\()\[\]\x00-\x1f\x7f]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_BOT_TOKEN = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{20,80}")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


class InvalidChannel(ValueError):
    """A channel that cannot be; the text names the field and says what can."""


def _check_url(url: str) -> str:
    if len(url) > MAX_URL_CHARS or not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise ValueError(f"use an address of at most {MAX_URL_CHARS} printable characters, without blanks")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("this is no address; write for instance https://example.com/hook") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("this is no address; write for instance https://example.com/hook")
    if parts.username is not None or parts.password is not None:
        raise ValueError("leave user and password out of the address")
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    if not _HOST.fullmatch(host.removesuffix(":")):
        raise ValueError("its host has characters that no host name has")
    if parts.fragment:
        raise ValueError("leave out what follows the #")
    return url


def _check_secret_url(url: SecretStr) -> SecretStr:
    _check_url(url.get_secret_value())
    return url


def _check_webhook_secret(secret: SecretStr) -> SecretStr:
    if len(webhook_secret_bytes(secret.get_secret_value())) not in WEBHOOK_SECRET_BYTES:
        raise ValueError(
            "use 24 to 64 bytes as base64, with or without whsec_ before it; openssl rand -base64 32 makes one"
        )
    return secret


def _check_host(host: str) -> str:
    if not _HOST.fullmatch(host):
        raise ValueError("this is no host name")
    return host


def _check_address(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"{address!r} is no mail address; write for instance oncall@example.com")
    return address


def _check_printable(secret: SecretStr) -> SecretStr:
    if not _PRINTABLE.fullmatch(secret.get_secret_value()):
        raise ValueError("use printable characters without blanks")
    return secret


def _check_bot_token(token: SecretStr) -> SecretStr:
    if not _BOT_TOKEN.fullmatch(token.get_secret_value()):
        raise ValueError("this is no token of a bot; BotFather gives one like 123456:ABC…")
    return token


def webhook_secret_bytes(secret: str) -> bytes:
    """Return the bytes of a Standard Webhooks secret; empty when it is none."""
    try:
        return base64.b64decode(secret.removeprefix(WEBHOOK_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return b""


SecretUrl = Annotated[SecretStr, AfterValidator(_check_secret_url)]
Token = Annotated[SecretStr, Field(min_length=1, max_length=256), AfterValidator(_check_printable)]
MailAddress = Annotated[str, AfterValidator(_check_address)]


class _Target(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class WebhookTarget(_Target):
    """Any HTTP server; signed by Standard Webhooks, with the body that Alertmanager sends (version 4)."""

    kind: Literal["webhook"]
    url: Annotated[SecretUrl, Field(description="Where to POST.")]
    secret: Annotated[
        SecretStr, AfterValidator(_check_webhook_secret), Field(description="Key of the signature, base64.")
    ]


class SlackTarget(_Target):
    """A Slack incoming webhook."""

    kind: Literal["slack"]
    url: Annotated[SecretUrl, Field(description="Address of the incoming webhook.")]


class EmailTarget(_Target):
    """A mail server that takes our mail."""

    kind: Literal["email"]
    host: Annotated[str, AfterValidator(_check_host), Field(description="Mail server.")]
    port: Annotated[int, Field(ge=1, le=65535, description="Its port.")] = 587
    security: Annotated[Literal["starttls", "tls", "none"], Field(description="How the connection is encrypted.")] = (
        "starttls"
    )
    username: Annotated[str, Field(max_length=256, description="Login; empty: none.")] = ""
    password: Annotated[SecretStr, Field(max_length=1024, description="Password of the login.")] = SecretStr("")
    sender: Annotated[MailAddress, Field(description="From.")]
    to: Annotated[tuple[MailAddress, ...], Field(min_length=1, max_length=MAX_RECIPIENTS, description="To.")]

    @_model_validator(mode="after")
    def _check_login(self) -> "EmailTarget":
        if self.username and self.security == "none":
            raise ValueError("a password is not sent without encryption: use security starttls or tls")
        if bool(self.username) != bool(self.password.get_secret_value()):
            raise ValueError("username and password belong together")
        return self


class PagerDutyTarget(_Target):
    """A PagerDuty service, by Events API v2."""

    kind: Literal["pagerduty"]
    routing_key: Annotated[Token, Field(description="Integration key of the service.")]
    url: Annotated[str, AfterValidator(_check_url), Field(description="Address of the Events API.")] = (
        "https://events.pagerduty.com/v2/enqueue"
    )


class DiscordTarget(_Target):
    """A Discord webhook."""

    kind: Literal["discord"]
    url: Annotated[SecretUrl, Field(description="Address of the webhook.")]


class TelegramTarget(_Target):
    """A Telegram chat that a bot writes to."""

    kind: Literal["telegram"]
    bot_token: Annotated[SecretStr, AfterValidator(_check_bot_token), Field(description="Token of the bot.")]
    chat_id: Annotated[
        str, Field(pattern=r"^(-?[0-9]{1,20}|@[A-Za-z0-9_]{4,64})$", description="Number of the chat, or @name.")
    ]
    url: Annotated[str, AfterValidator(_check_url), Field(description="Address of the Bot API.")] = (
        "https://api.telegram.org"
    )


class AlertmanagerTarget(_Target):
    """A Prometheus Alertmanager; alerts are sent again while they last."""

    kind: Literal["alertmanager"]
    url: Annotated[SecretUrl, Field(description="Its base address, without /api/v2.")]
    username: Annotated[str, Field(max_length=256, pattern=r"^[^:\x00-\x1f]*$", description="Basic login.")] = ""
    password: Annotated[SecretStr, Field(max_length=1024, description="Password of the login.")] = SecretStr("")
    resend_seconds: Annotated[int, Field(ge=30, le=180, description="How often a lasting alert is sent again.")] = 60


Target = Annotated[
    WebhookTarget | SlackTarget | EmailTarget | PagerDutyTarget | DiscordTarget | TelegramTarget | AlertmanagerTarget,
    Field(discriminator="kind"),
]


class ChannelFilters(_Target):
    """Of what a channel tells; empty lists are no condition."""

    min_severity: Annotated[AlertSeverity, Field(description="Least severity that is told.")] = "info"
    rules: Annotated[tuple[AlertRule, ...], Field(description="Only these rules.")] = ()
    agents: Annotated[tuple[str, ...], Field(max_length=100, description="Only these OpenClaw installs.")] = ()
    states: Annotated[tuple[AlertState, ...], Field(min_length=1, description="Only these states.")] = ALL_STATES

    @_model_validator(mode="after")
    def _check_states(self) -> "ChannelFilters":
        if set(self.states) == {"ok"}:
            raise ValueError("states: a recovery is told only to whom the alert was told; name another state too")
        return self


class Channel(_Target):
    """One channel of one tenant."""

    tenant_id: Annotated[str, Field(pattern=r"^[a-z0-9]{6,32}$", description="Whose alerts.")]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", description="Its name, once in a tenant.")]
    target: Target
    filters: ChannelFilters = ChannelFilters()
    renotify_minutes: Annotated[
        int, Field(ge=0, le=MAX_RENOTIFY_MINUTES, description="Told again this often while it lasts; 0: never.")
    ] = 0

    @property
    def kind(self) -> ChannelKind:
        """Which protocol it speaks."""
        return self.target.kind

    @property
    def repeat_seconds(self) -> int:
        """Seconds between two tellings of an alert that lasts; 0: told once."""
        if isinstance(self.target, AlertmanagerTarget):
            return self.target.resend_seconds
        return self.renotify_minutes * 60

    @property
    def is_grouped(self) -> bool:
        """Whether one message may hold several alerts: PagerDuty takes one, Alertmanager groups by itself."""
        return self.target.kind not in ("pagerduty", "alertmanager")


_target_adapter: Final[TypeAdapter[Target]] = TypeAdapter(Target)


def parse_channel(values: Mapping[str, Any]) -> Channel:
    """Make a channel of plain values.

    Raises:
        InvalidChannel: one line per field that cannot be; no value of a secret is in it.
    """
    try:
        return Channel.model_validate(values)
    except ValidationError as error:
        raise InvalidChannel("\n".join(_said(error))) from None


def parse_target(values: Mapping[str, Any]) -> Target:
    """Make a target of what ``reveal`` gave.

    Raises:
        InvalidChannel: it was written by another version.
    """
    try:
        return _target_adapter.validate_python(values)
    except ValidationError as error:
        raise InvalidChannel("\n".join(_said(error))) from None


def reveal(target: Target) -> dict[str, Any]:
    """Return all of a target as plain values, secrets included: for nothing but to be encrypted."""
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in ((name, getattr(target, name)) for name in type(target).model_fields)
    }


def shown(target: Target) -> dict[str, Any]:
    """Return of a target what anybody may read: secrets left out, of an address its host alone."""
    found: dict[str, Any] = {}
    for name in type(target).model_fields:
        value = getattr(target, name)
        if name == "url":
            parts = urlsplit(value.get_secret_value() if isinstance(value, SecretStr) else value)
            found[name] = f"{parts.scheme}://{parts.netloc}/…"
        elif not isinstance(value, SecretStr):
            found[name] = list(value) if isinstance(value, tuple) else value
    return found


def _said(error: ValidationError) -> list[str]:
    lines = []
    for one in error.errors(include_url=False, include_input=False, include_context=False):
        # The kind stands between target and field in what a union says.
        path = [str(part) for part in one["loc"] if part not in ("target", "filters")]
        if len(path) > 1 and path[0] in (
            "webhook",
            "slack",
            "email",
            "pagerduty",
            "discord",
            "telegram",
            "alertmanager",
        ):
            path = path[1:]
        text = one["msg"].removeprefix("Value error, ")
        known = one["type"]
        if known == "missing":
            text = "needed"
        elif known == "extra_forbidden":
            text = "this kind of channel does not have it"
        elif known in ("union_tag_invalid", "union_tag_not_found"):
            path, text = ["kind"], "use webhook, slack, email, pagerduty, discord, telegram or alertmanager"
        lines.append(f"{'.'.join(path) or 'channel'}: {text}")
    return lines
