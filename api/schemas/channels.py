"""What the routes of channels take and answer.

Upstream: stream_jobs.admin, which checks a channel by its kind.
Downstream: OpenAPI, the web UI, clients.
Guarantee: secrets go in and never come out; of an address that may hold a token only the host is shown.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from api.schemas.common import Answer
from stream_jobs.contracts.alert import AlertRule, AlertSeverity, AlertState
from stream_jobs.contracts.channel import ALL_STATES, MAX_RENOTIFY_MINUTES, ChannelKind

# Longer than any that is taken; the kind's own bounds say more.
_MAX_TEXT = 4_096
Text = Annotated[str, Field(max_length=_MAX_TEXT)]
Secret = Annotated[SecretStr, Field(max_length=_MAX_TEXT)]


class ChannelFilterFields(BaseModel):
    """Of what a channel tells; empty lists are no condition."""

    model_config = ConfigDict(extra="forbid")

    min_severity: AlertSeverity = Field("info", description="Least severity that is told.")
    rules: list[AlertRule] = Field(default=[], max_length=50, description="Only these rules.")
    agents: list[Annotated[str, Field(max_length=64)]] = Field(
        default=[], max_length=100, description="Only these OpenClaw installs."
    )
    states: list[AlertState] = Field(
        default=list(ALL_STATES), min_length=1, max_length=4, description="Only these states."
    )


class ChannelItem(Answer):
    """One channel, without its secrets."""

    name: str = Field(description="Its name, once in a tenant.")
    kind: ChannelKind = Field(description="Which protocol it speaks.")
    target: dict[str, Any] = Field(
        description="Where it leads, as anybody of the tenant may read it: no secrets, of an address its host alone."
    )
    filters: ChannelFilterFields = Field(description="Of what it tells.")
    renotify_minutes: int = Field(description="Told again this often while an alert lasts; 0: never.")
    num_open: int = Field(description="Alerts that are open in it.")
    num_waiting: int = Field(description="Messages that wait to be delivered.")
    num_dead: int = Field(description="Messages that were given up.")
    created_at: datetime = Field(description="When it was made (UTC).")


class ChannelList(Answer):
    """Every channel of the tenant."""

    items: list[ChannelItem] = Field(description="Channels in the order of their names.")


class ChannelTargetRequest(BaseModel):
    """Where a channel leads. Each kind has its own fields; what it does not have is refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    kind: ChannelKind = Field(description="webhook, slack, email, pagerduty, discord, telegram or alertmanager.")
    url: Secret | None = Field(None, description="All but email: the address. It may hold a token, so it is a secret.")
    secret: Secret | None = Field(None, description="webhook: key of the signature, base64.")
    host: Text | None = Field(None, description="email: mail server.")
    port: int | None = Field(None, ge=1, le=65535, description="email: its port; at first 587.")
    security: Literal["starttls", "tls", "none"] | None = Field(None, description="email: at first starttls.")
    sender: Text | None = Field(None, description="email: From.")
    to: list[Text] | None = Field(None, max_length=100, description="email: To.")
    username: Text | None = Field(None, description="email, alertmanager: login.")
    password: Secret | None = Field(None, description="email, alertmanager: its password.")
    routing_key: Secret | None = Field(None, description="pagerduty: integration key of the service.")
    bot_token: Secret | None = Field(None, description="telegram: token of the bot.")
    chat_id: Text | None = Field(None, description="telegram: number of the chat, or @name.")
    resend_seconds: int | None = Field(None, description="alertmanager: how often a lasting alert is sent again.")


class ChannelFields(BaseModel):
    """What a channel is, but for its name."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    target: ChannelTargetRequest = Field(description="Where it leads.")
    filters: ChannelFilterFields = Field(default_factory=ChannelFilterFields, description="Of what it tells.")
    renotify_minutes: int = Field(
        0, ge=0, le=MAX_RENOTIFY_MINUTES, description="Tell again this often while an alert lasts; 0: never."
    )


class ChannelRequest(ChannelFields):
    """A channel to make."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", description="Its name, once in a tenant.")


class ChannelTestAnswer(Answer):
    """What came of a test message."""

    is_sent: bool = Field(description="Whether the receiver took it.")
    reason: str = Field(description="Why not, in plain words; empty when it was taken.")
    can_pass: bool = Field(description="Whether trying again may help.")
