"""What people do to budgets: set, list, remove.

Upstream: ``clawtrace budget``; the API, through ``stream_jobs.admin``.
Downstream: Postgres; the keeper acts on it within a second.
Guarantee: what cannot be is refused with the reason before anything is written; a budget that is new begins with what
its window has already seen; a budget that is changed keeps what was spent.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine

from infra.runtime.access_keys import AGENT_ID, TENANT_ID
from infra.runtime.database import transaction
from stream_jobs.budgets import ledger
from stream_jobs.budgets.keeper import outbox_rows
from stream_jobs.budgets.ledger import StoredBudget
from stream_jobs.contracts.budget import (
    Budget,
    BudgetAction,
    BudgetUnit,
    BudgetWindow,
    InvalidBudget,
    budget_id_of,
    check_budget,
)
from stream_jobs.core.budgets.settlement import retire
from stream_jobs.core.budgets.state import ZERO, BudgetState
from stream_jobs.core.budgets.windows import bucket_of, first_bucket, window_end

_COLUMNS: Final = ("budget", "tenant", "scope", "window", "limit", "spent", "left", "%", "state", "action", "until")


@dataclass(frozen=True, slots=True)
class Standing:
    """A budget as it stands now."""

    stored: StoredBudget
    now_us: int

    @property
    def spent(self) -> Decimal:
        """Dollars or tokens that count now."""
        first = first_bucket(self.stored.budget.window, self.now_us)
        return sum((amount for start, amount in self.stored.state.buckets.items() if start >= first), ZERO)

    @property
    def percent(self) -> Decimal:
        """What was spent, in percent of the limit."""
        return self.spent * 100 / self.stored.budget.limit

    @property
    def level(self) -> str:
        """ok, warn or alert."""
        lowest = min(self.stored.budget.warn_percents, default=100)
        return "alert" if self.percent >= 100 else "warn" if self.percent >= lowest else "ok"

    def as_builtins(self) -> dict[str, Any]:
        """All there is to know, for programs; amounts as decimal text."""
        budget, state = self.stored.budget, self.stored.state
        return {
            **msgspec.to_builtins(budget),
            "limit": _plain(budget.limit),
            "spent": _plain(self.spent),
            "left": _plain(max(budget.limit - self.spent, ZERO)),
            "percent": f"{self.percent:.1f}",
            "state": self.level,
            "leased": _plain(state.outstanding()),
            "stopped": sorted(
                key for key, it in state.holders.items() if it.verdict and it.verdict.expires_at_us > self.now_us
            ),
            "released": sorted(key for key, it in state.holders.items() if it.released_until_us > self.now_us),
            "window_end": _iso(window_end(budget.window, self.now_us)),
        }


def set_budget(
    engine: Engine,
    *,
    tenant_id: str,
    agent_id: str | None,
    openclaw_agent_id: str | None,
    session_prefix: str | None,
    window: BudgetWindow,
    usd: str | None,
    tokens: str | None,
    warn: str | None,
    action: BudgetAction | None,
    grace_percent: int | None,
    also: Callable[[Connection], None] | None = None,
) -> Standing:
    """Make a budget, or change what is named of the one with this scope, window and unit.

    ``also`` is done in the same transaction.

    Raises:
        InvalidBudget: the text says what can be.
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    if not TENANT_ID.fullmatch(tenant_id):
        raise InvalidBudget(f"tenant {tenant_id!r}: use 6 to 32 small letters and digits")
    if agent_id is not None and not AGENT_ID.fullmatch(agent_id):
        raise InvalidBudget(f"agent {agent_id!r}: use the name that its key was made with", "agent_id")
    if (usd is None) == (tokens is None):
        raise InvalidBudget("name one limit: --usd or --tokens")
    unit: BudgetUnit = "usd" if usd is not None else "tokens"
    limit = _amount(usd if usd is not None else tokens or "")
    changes: dict[str, Any] = {"limit": limit}
    if warn is not None:
        changes["warn_percents"] = _percents(warn)
    changes |= {k: v for k, v in (("action", action), ("grace_percent", grace_percent)) if v is not None}
    made = Budget(
        budget_id=budget_id_of(tenant_id, agent_id, openclaw_agent_id, session_prefix, window, unit),
        tenant_id=tenant_id,
        agent_id=agent_id,
        openclaw_agent_id=openclaw_agent_id,
        session_prefix=session_prefix,
        window=window,
        unit=unit,
        **changes,
    )
    check_budget(made)
    now_us = _now_us()
    with transaction(engine) as connection:
        ledger.lock(connection)
        found = ledger.read_budgets(connection, budget_id=made.budget_id)
        if found:
            budget, state = msgspec.structs.replace(found[0].budget, **changes), found[0].state
            check_budget(budget)
        else:
            budget, state = made, BudgetState()
            # What a session has spent is nowhere to be found: such a budget begins at nothing.
            if session_prefix is None:
                for bucket_us, cost_usd, num_tokens in ledger.spends_since(
                    connection, budget, first_bucket(window, now_us)
                ):
                    start = bucket_of(window, bucket_us)
                    amount = cost_usd if unit == "usd" else Decimal(num_tokens)
                    state.buckets[start] = state.buckets.get(start, ZERO) + amount
        ledger.write_budget(connection, budget, state)
        if also is not None:
            also(connection)
    return Standing(StoredBudget(budget, state), now_us)


def list_budgets(engine: Engine, tenant_id: str | None = None) -> list[Standing]:
    """Return all budgets, or those of a tenant, as they stand.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    now_us = _now_us()
    with transaction(engine) as connection:
        stored = ledger.read_budgets(
            connection, tenants=(tenant_id,) if tenant_id else (), everything=tenant_id is None
        )
    return [Standing(it, now_us) for it in stored]


def remove_budget(
    engine: Engine,
    budget_id: str,
    tenant_id: str | None = None,
    also: Callable[[Connection], None] | None = None,
) -> Budget:
    """Remove a budget; what it has told agents is taken back within a second.

    ``also`` is done in the same transaction.

    Raises:
        InvalidBudget: there is none of this id, or it is not of the tenant that is named.
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    now_us = _now_us()
    with transaction(engine) as connection:
        rev, last_audit_id = ledger.lock(connection)
        found = ledger.read_budgets(connection, budget_id=budget_id)
        if not found or tenant_id not in (None, found[0].budget.tenant_id):
            raise InvalidBudget(f"there is no budget {budget_id}; clawtrace budget list shows them")
        rows = outbox_rows([(found[0], retire(found[0].budget, found[0].state, now_us, rev + 1))], now_us, rev + 1)
        ledger.put(connection, rows)
        ledger.advance(connection, rev + 1, last_audit_id)
        ledger.delete_budget(connection, budget_id)
        if also is not None:
            also(connection)
    return found[0].budget


def say_budgets(standings: Sequence[Standing], *, as_json: bool) -> str:
    """Write budgets as one JSON document, or as a table for people."""
    if as_json:
        return json.dumps([it.as_builtins() for it in standings])
    if not standings:
        return "there is no budget; clawtrace budget set makes one"
    rows = [_COLUMNS, *(_row(it) for it in standings)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def _row(it: Standing) -> tuple[str, ...]:
    budget, shown = it.stored.budget, it.as_builtins()
    unit = "USD" if budget.unit == "usd" else "tokens"
    amounts = (f"{shown['limit']} {unit}", shown["spent"], shown["left"], shown["percent"])
    head = (budget.budget_id, budget.tenant_id, budget.scope_text, budget.window)
    return (*head, *amounts, it.level, budget.action, shown["window_end"])


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text.strip().removeprefix("$").replace("_", ""))
    except InvalidOperation:
        raise InvalidBudget(f"{text!r} is no amount; write for instance 20 or 0.50") from None


def _percents(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InvalidBudget(f"warnings at {text!r}: use percents with commas, for instance 50,80") from None


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _iso(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="seconds")


def _now_us() -> int:
    return time.time_ns() // 1000
