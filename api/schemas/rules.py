"""What the routes of alert rules take and answer.

Upstream: stream_jobs.admin, which knows the rules and their settings.
Downstream: OpenAPI, the web UI, clients.
Guarantee: a setting says what it is by default, what holds, and which layer decided it.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.common import Answer
from stream_jobs.contracts.alert import AlertRule, AlertState

SettingLayer = Literal["default", "install", "tenant", "agent"]


class RuleSetting(Answer):
    """One setting of a rule."""

    name: str = Field(description="Its name, such as limit_usd.")
    description: str = Field(description="What it means, with its unit.")
    default: Any = Field(description="What it is when nobody sets it; money is decimal text.")
    value: Any = Field(description="What holds for the tenant, or for the agent that was asked for.")
    set_by: SettingLayer = Field(
        description="Which layer decided the value: built in, the install's file, the tenant, the agent."
    )
    value_schema: dict[str, Any] = Field(description="JSON schema of the value: type, bounds, choices.")


class RuleOverride(Answer):
    """What was set for the tenant, or for one of its agents."""

    agent_id: str | None = Field(description="The OpenClaw install; null: all of the tenant.")
    settings: dict[str, Any] = Field(description="The settings that are named; the others stay as they are.")
    is_from_file: bool = Field(description="True: written in the install's file, and only its operator changes it.")
    updated_at: datetime | None = Field(description="When it was set here (UTC); null for one of the file.")
    updated_by: str | None = Field(description="Who set it here; null for one of the file.")


class RuleItem(Answer):
    """One alert rule."""

    rule: AlertRule = Field(description="Name of the rule, as in alerts.")
    meaning: str = Field(description="What it looks for, in one sentence.")
    states: list[AlertState] = Field(description="The states that its alerts can have.")
    recovery: str = Field(description="When an alert of it is ok again.")
    remedy: str = Field(description="What to do about an alert of it.")
    settings: list[RuleSetting] = Field(description="Every setting with its default and what holds.")
    overrides: list[RuleOverride] = Field(description="What the tenant has set, its own first, then agent by agent.")


class RuleList(Answer):
    """Every alert rule."""

    agent_id: str | None = Field(description="The agent whose values are shown; null: those of the tenant.")
    items: list[RuleItem] = Field(description="The rules, in the order in which they are looked at.")


class RuleOverrideRequest(BaseModel):
    """Settings for the tenant, or for one of its agents."""

    model_config = ConfigDict(extra="forbid")

    agent_id: str | None = Field(
        None, pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="The OpenClaw install; without it all of the tenant."
    )
    settings: dict[str, Any] = Field(
        min_length=1,
        max_length=50,
        description="Settings by name, in place of those set before; what is not named is as in the layer above.",
        examples=[{"limit_usd": "2.50", "action": "abort"}],
    )
