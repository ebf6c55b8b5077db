"""Budgets and spends for tests, a budget with its state, and a guard as agents have it."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from producers.contracts.guard import Allowance, Verdict
from stream_jobs.contracts.budget import Budget, budget_id_of
from stream_jobs.contracts.spend import Spend
from stream_jobs.core.budgets.settlement import Charge, Told, charge_of, settle
from stream_jobs.core.budgets.state import BudgetState, decode_state, encode_state
from stream_jobs.core.budgets.windows import MINUTE_US

TENANT = "acme01"
# 2026-03-04T05:00:00Z
NOW_US = 1_772_600_400_000_000
S_US = 1_000_000


def budget(limit: str = "10", **more: Any) -> Budget:
    """A budget of a day in dollars for all agents of the tenant, unless told otherwise."""
    values: dict[str, Any] = {"agent_id": None, "openclaw_agent_id": None, "session_prefix": None}
    values |= {"window": "day", "unit": "usd"} | more
    scope = [values[name] for name in ("agent_id", "openclaw_agent_id", "session_prefix", "window", "unit")]
    return Budget(budget_id=budget_id_of(TENANT, *scope), tenant_id=TENANT, limit=Decimal(limit), **values)


def spend(usd: str = "1", at_us: int = NOW_US, **more: Any) -> Spend:
    """One model call of the agent main."""
    values: dict[str, Any] = {"session_key": "agent:main:main", "openclaw_agent_id": "main", "num_tokens": 1_000}
    values |= {"run_id": "r1", "span_id": "s1", "trace_id": "t1"} | more
    return Spend(cost_usd=Decimal(usd), at_us=at_us, **values)


@dataclass
class Kept:
    """A budget with its state, stored and read back at every step, as the keeper does."""

    budget: Budget
    text: str = ""
    rev: int = 0
    told: list[Told] = field(default_factory=list)

    @property
    def state(self) -> BudgetState:
        return decode_state(self.text)

    def settle(self, *charges: tuple[str, Spend], now_us: int = NOW_US, agents: tuple[str, ...] = ()) -> Told:
        """Settle spends of agents."""
        state = self.state
        self.rev += 1
        taken: list[Charge] = [charge_of(agent_id, it, now_us) for agent_id, it in charges]
        told = settle(self.budget, state, taken, now_us, self.rev, agents=agents)
        self.text = encode_state(state)
        self.told.append(told)
        return told


def verdicts(told: Told) -> list[tuple[str, Verdict]]:
    """Verdicts with the agents they are for."""
    return [(agent_id, body) for agent_id, body in told.messages if isinstance(body, Verdict)]


def allowances(told: Told) -> list[tuple[str, Allowance]]:
    """Allowances with the agents they are for."""
    return [(agent_id, body) for agent_id, body in told.messages if isinstance(body, Allowance)]


@dataclass
class Guard:
    """The guard of one install, as the plugin counts: living allowances of a group are added up."""

    granted: dict[str, Allowance] = field(default_factory=dict)
    drawn: dict[str, Decimal] = field(default_factory=dict)
    halted_by: dict[str, Verdict] = field(default_factory=dict)

    def hear(self, body: Verdict | Allowance, now_us: int) -> None:
        """Take a message as the gateway passes it on: what has lapsed is gone."""
        if isinstance(body, Verdict):
            self.halted_by.pop(body.verdict_id, None)
            if body.expires_at_us > now_us:
                self.halted_by[body.verdict_id] = body
        else:
            self.granted.pop(body.allowance_id, None)
            if body.expires_at_us > now_us:
                self.granted[body.allowance_id] = body

    def living(self, now_us: int) -> list[Allowance]:
        return sorted(
            (it for it in self.granted.values() if it.expires_at_us > now_us), key=lambda it: it.expires_at_us
        )

    def is_closed(self, now_us: int) -> bool:
        """Whether a run is stopped or may not begin."""
        living = self.living(now_us)
        drawn = sum((self.drawn.get(it.allowance_id, Decimal(0)) for it in living), Decimal(0))
        is_empty = bool(living) and drawn >= sum(it.granted_usd for it in living)
        return is_empty or any(it.expires_at_us > now_us for it in self.halted_by.values())

    def draw(self, cost: Decimal, now_us: int) -> bool:
        """Book a call; False when no allowance covered it."""
        living = self.living(now_us)
        for it in living:
            drawn = self.drawn.get(it.allowance_id, Decimal(0))
            part = cost if it is living[-1] else min(cost, max(it.granted_usd - drawn, Decimal(0)))
            self.drawn[it.allowance_id] = drawn + part
            cost -= part
        return bool(living)


__all__ = ["MINUTE_US", "NOW_US", "S_US", "TENANT", "Guard", "Kept", "allowances", "budget", "spend", "verdicts"]
