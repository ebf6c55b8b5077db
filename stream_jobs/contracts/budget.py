"""The budget: what a tenant, an agent or a part of one may spend in a window, and what happens then.

Upstream: people, through ``clawtrace budget`` and the API.
Downstream: ``stream_jobs.core.budgets``.
Guarantee: a budget that cannot be is refused with the reason; its id follows from what it is about, so setting it
again changes it.
"""

import hashlib
from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

BudgetWindow = Literal["1h", "5h", "day", "month"]
BudgetUnit = Literal["usd", "tokens"]
BudgetAction = Literal["none", "note", "ask", "block", "abort"]

# A micro-dollar; finer limits mean nothing.
LIMIT_DECIMALS: Final = 6
MAX_LIMIT: Final = Decimal(10**12)
MAX_GRACE_PERCENT: Final = 100


class InvalidBudget(ValueError):
    """A budget that cannot be; the text says what can, ``field`` which part of it is meant."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """One budget; a part of the scope that is None is no condition."""

    budget_id: Annotated[str, Meta(description="Follows from tenant, scope, window and unit (12 hex digits).")]
    tenant_id: Annotated[str, Meta(description="Who pays.")]
    agent_id: Annotated[str | None, Meta(description="One OpenClaw install; none: all of the tenant together.")] = None
    openclaw_agent_id: Annotated[str | None, Meta(description="One agent inside the install.")] = None
    session_prefix: Annotated[str | None, Meta(description="Sessions whose key begins so.")] = None
    window: Annotated[
        BudgetWindow, Meta(description="day and month begin at midnight UTC; 1h and 5h look back from now.")
    ]
    unit: Annotated[BudgetUnit, Meta(description="Dollars, or tokens of all four buckets.")]
    limit: Annotated[Decimal, Meta(description="Dollars or tokens in one window.")]
    warn_percents: Annotated[list[int], Meta(description="Percents of the limit that warn, rising.")] = msgspec.field(
        default_factory=lambda: [50, 80]
    )
    action: Annotated[BudgetAction, Meta(description="What agents are told at the limit.")] = "abort"
    grace_percent: Annotated[int, Meta(description="Percent above the limit that may be spent before the action.")] = 0

    @property
    def cap(self) -> Decimal:
        """Where the action comes: the limit and its grace."""
        return self.limit * (100 + self.grace_percent) / 100

    @property
    def is_part_of_install(self) -> bool:
        """Whether it covers less than whole installs, so that agents are told session by session."""
        return self.openclaw_agent_id is not None or self.session_prefix is not None

    @property
    def scope_text(self) -> str:
        """What it is about, for people."""
        whose = f"agent {self.agent_id}" if self.agent_id else "all agents"
        inside = f", {self.openclaw_agent_id} inside" if self.openclaw_agent_id else ""
        sessions = f", sessions {self.session_prefix}*" if self.session_prefix else ""
        return whose + inside + sessions


def budget_id_of(
    tenant_id: str,
    agent_id: str | None,
    openclaw_agent_id: str | None,
    session_prefix: str | None,
    window: BudgetWindow,
    unit: BudgetUnit,
) -> str:
    """Make the id of a budget: 12 hex digits."""
    parts = (tenant_id, agent_id or "", openclaw_agent_id or "", session_prefix or "", window, unit)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:12]


def check_budget(budget: Budget) -> None:
    """Refuse a budget whose numbers cannot be.

    Raises:
        InvalidBudget: the text names the part.
    """
    limit = budget.limit
    exponent = limit.normalize().as_tuple().exponent if limit.is_finite() else None
    if not isinstance(exponent, int) or not 0 < limit < MAX_LIMIT or exponent < -LIMIT_DECIMALS:
        raise InvalidBudget(f"limit {limit}: use an amount above 0, with at most {LIMIT_DECIMALS} decimals", "limit")
    if budget.unit == "tokens" and limit != limit.to_integral_value():
        raise InvalidBudget(f"limit {limit}: tokens are whole numbers", "limit")
    percents = budget.warn_percents
    if percents != sorted(set(percents)) or any(not 0 < percent < 100 for percent in percents):
        raise InvalidBudget(
            f"warnings at {percents}: use rising percents between 1 and 99, for instance 50,80", "warn_percents"
        )
    if not 0 <= budget.grace_percent <= MAX_GRACE_PERCENT:
        raise InvalidBudget(
            f"grace {budget.grace_percent}: use a percent from 0 to {MAX_GRACE_PERCENT}", "grace_percent"
        )
    for name, field in (("OpenClaw agent", "openclaw_agent_id"), ("session prefix", "session_prefix")):
        text = getattr(budget, field)
        if text is not None and (not text or len(text) > 256 or not text.isprintable()):
            raise InvalidBudget(f"{name} {text!r}: use 1 to 256 printable characters", field)
