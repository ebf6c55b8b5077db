"""What the routes of guard policies take and answer.

Upstream: producers.admin.
Downstream: OpenAPI, the web UI, clients.
Guarantee: amounts are decimal text in dollars; what cannot be is refused by name.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.common import Answer, Usd
from producers.admin import StoredPolicy
from producers.contracts.guard import LIMIT_DECIMALS, MAX_LIMIT_USD, GuardPosture, LimitAction

AGENT_ID: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
LimitUsd = Annotated[Decimal, Field(gt=0, lt=MAX_LIMIT_USD, decimal_places=LIMIT_DECIMALS, examples=["0.50"])]


class GuardPolicyItem(Answer):
    """What one agent may spend, and what happens then."""

    posture: GuardPosture = Field(description="What holds while the server is away: the last word, open or closed.")
    action: LimitAction = Field(description="What happens at a limit.")
    run_limit_usd: Usd = Field(description="For a run with all its sub-agents; null: no limit.")
    session_limit_usd: Usd = Field(description="For all runs of a session; null: no limit.")
    agent_day_limit_usd: Usd = Field(description="For the agent, per day (UTC); null: no limit.")

    @classmethod
    def of(cls, stored: StoredPolicy) -> Self:
        """Make it from what is stored."""
        whose = {name: getattr(stored, name) for name in ("agent_id", "updated_at") if name in cls.model_fields}
        names = [name for name in cls.model_fields if name not in whose]
        return cls(**whose, **{name: getattr(stored.policy, name) for name in names})


class GuardPolicyEntry(GuardPolicyItem):
    """The policy of one agent."""

    agent_id: str = Field(description="The OpenClaw install.")
    updated_at: datetime = Field(description="When it was set (UTC).")


class GuardPolicyList(Answer):
    """Every policy of the tenant."""

    items: list[GuardPolicyEntry] = Field(description="Policies in the order of the agents' names.")


class GuardPolicyRequest(BaseModel):
    """What is to change of an agent's policy; what is not named stays as it is."""

    model_config = ConfigDict(extra="forbid")

    posture: GuardPosture = Field(
        "last",
        description="While the server is away: last (what holds goes on holding), open or closed; at first last.",
    )
    action: LimitAction = Field("abort", description="What happens at a limit; at first abort.")
    run_limit_usd: LimitUsd | None = Field(None, description="For a run with all its sub-agents; null: no limit.")
    session_limit_usd: LimitUsd | None = Field(None, description="For all runs of a session; null: no limit.")
    agent_day_limit_usd: LimitUsd | None = Field(None, description="For the agent, per day (UTC); null: no limit.")
