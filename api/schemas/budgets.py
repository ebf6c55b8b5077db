"""What the routes of budgets and of the guard take and answer.

Upstream: stream_jobs.admin; the view of verdicts; api/schemas/policies.py.
Downstream: OpenAPI, the web UI, clients.
Guarantee: amounts are decimal text, in dollars or in tokens as ``unit`` says; what cannot be is refused by name.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.common import Answer
from api.schemas.policies import AGENT_ID, GuardPolicyItem
from producers.contracts.guard import GuardAction, GuardScope
from stream_jobs.contracts.budget import (
    LIMIT_DECIMALS,
    MAX_GRACE_PERCENT,
    MAX_LIMIT,
    BudgetAction,
    BudgetUnit,
    BudgetWindow,
)

MAX_HALT_HOURS = 168
AgentName = Annotated[str, Field(pattern=AGENT_ID)]
_PRINTABLE = r"^[^\x00-\x1f]+$"


class BudgetItem(Answer):
    """One budget as it stands now."""

    budget_id: str = Field(description="Follows from scope, window and unit (12 hex digits).")
    agent_id: str | None = Field(description="The OpenClaw install; null: all of the tenant together.")
    openclaw_agent_id: str | None = Field(description="One agent inside the install.")
    session_prefix: str | None = Field(description="Sessions whose key begins so.")
    window: BudgetWindow = Field(description="day and month begin at midnight UTC; 1h and 5h look back from now.")
    window_end: datetime = Field(description="When the window ends, or what was spent first leaves it (UTC).")
    unit: BudgetUnit = Field(description="usd or tokens (of all four buckets).")
    limit: str = Field(description="What may be spent in one window.", examples=["20"])
    spent: str = Field(description="What was spent in this window.", examples=["3.75"])
    left: str = Field(description="What is left; 0 when nothing is.", examples=["16.25"])
    percent: str = Field(description="What was spent, in percent of the limit.", examples=["18.8"])
    state: Literal["ok", "warn", "alert"] = Field(description="warn from the lowest warning on, alert at the limit.")
    warn_percents: list[int] = Field(description="Percents of the limit that warn, rising.")
    action: BudgetAction = Field(description="What agents are told at the limit.")
    grace_percent: int = Field(description="Percent above the limit that may be spent before the action.")
    leased: str = Field(description="What agents hold in leases and have not settled yet.")
    stopped: list[str] = Field(description="Agents (and their sessions) that it has stopped now.")
    released: list[str] = Field(description="Those that somebody released, and that it lets alone for now.")


class BudgetList(Answer):
    """Every budget of the tenant."""

    items: list[BudgetItem] = Field(description="Budgets in the order of their ids.")


class BudgetRequest(BaseModel):
    """A budget to make, or to change: that of the same scope, window and unit."""

    model_config = ConfigDict(extra="forbid")

    agent_id: AgentName | None = Field(None, description="One OpenClaw install; without it all of the tenant together.")
    openclaw_agent_id: str | None = Field(
        None, min_length=1, max_length=256, pattern=_PRINTABLE, description="One agent inside the install."
    )
    session_prefix: str | None = Field(
        None, min_length=1, max_length=256, pattern=_PRINTABLE, description="Only sessions whose key begins so."
    )
    window: BudgetWindow = Field(description="1h, 5h, day or month.")
    unit: BudgetUnit = Field(description="usd or tokens.")
    limit: Decimal = Field(
        gt=0,
        lt=MAX_LIMIT,
        decimal_places=LIMIT_DECIMALS,
        description="What may be spent in one window; decimal text is exact.",
        examples=["20"],
    )
    warn_percents: list[Annotated[int, Field(gt=0, lt=100)]] | None = Field(
        None, max_length=20, description="Percents that warn, rising; at first 50 and 80."
    )
    action: BudgetAction | None = Field(None, description="What agents are told at the limit; at first abort.")
    grace_percent: int | None = Field(
        None, ge=0, le=MAX_GRACE_PERCENT, description="Percent above the limit before the action; at first 0."
    )


class VerdictItem(Answer):
    """One word to an agent to slow down, ask, stop or go on."""

    verdict_id: str = Field(description="Names it; said again with another end it keeps its id.")
    agent_id: str = Field(description="The OpenClaw install that it was told to.")
    scope: GuardScope = Field(description="What it covers: run, session, agent or tenant.")
    scope_id: str = Field(description="Run id, session key, agent id or tenant id.")
    action: GuardAction = Field(description="note, block, ask, abort; release ends earlier ones.")
    reason: str = Field(description="Plain sentence that the user may be shown.")
    alert_id: str | None = Field(description="The alert that led to it.")
    said_by: Literal["person", "budget", "rule"] = Field(description="Who decided it.")
    ordered_by: str | None = Field(
        description="Which person: name and id, user@host at the command line, or key:…; null for budgets and rules."
    )
    issued_at: datetime = Field(description="When it was decided (UTC).")
    expires_at: datetime = Field(description="When it lapses by itself (UTC).")


class VerdictPage(Answer):
    """One page of verdicts, newest first."""

    items: list[VerdictItem] = Field(description="Verdicts of this page.")
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")


class GuardStateItem(Answer):
    """What the guard of an agent is told."""

    agent_id: str = Field(description="The OpenClaw install.")
    state: Literal["free", "note", "block", "ask", "abort"] = Field(
        description="The hardest word in force for the whole agent; free when there is none."
    )
    policy: GuardPolicyItem | None = Field(description="Limits of its own; null when nobody set any.")
    verdicts: list[VerdictItem] = Field(description="Words in force, newest first, those about single runs too.")
    budgets: list[BudgetItem] = Field(description="Budgets that its spending counts under.")


class OrderRequest(BaseModel):
    """Why somebody stops an agent or a run."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(
        min_length=1, max_length=500, pattern=_PRINTABLE, description="Plain sentence that the user may be shown."
    )


class HaltRequest(OrderRequest):
    """Why somebody stops an agent or a run, and for how long at most."""

    hours: float = Field(
        MAX_HALT_HOURS, ge=0.01, le=MAX_HALT_HOURS, description="When it lapses by itself; until then or a release."
    )


class OrderAnswer(Answer):
    """An order that is on its way to the agent: the broker has it."""

    verdict: VerdictItem = Field(description="What the agent is told.")
    ordered_by: str = Field(description="Who, as the audit log says it.")
