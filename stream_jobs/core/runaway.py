"""Rules against runaway cost: when the money a run has spent reaches its limit.

Upstream: the totals of a run, after each model call.
Downstream: alerts.
Guarantee: pure; a rule fires once per run, under an id that follows from rule, run and threshold alone.
"""

import hashlib
import tomllib
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from producers.contracts.usage import TokenUsage
from stream_jobs.contracts.alert import Alert
from stream_jobs.core.cost import Usd

DEFAULT_RUN_COST_LIMIT_USD = Decimal("5.00")


class RunCostRule(BaseModel):
    """A limit on what one run may spend in its own model calls."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit_usd: Annotated[Usd, Field(gt=0)] = DEFAULT_RUN_COST_LIMIT_USD


class RuleOverride(BaseModel):
    """Other limits for one tenant, or for one agent of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant_id: str
    agent_id: str | None = None
    run_cost: RunCostRule = RunCostRule()


class _RuleFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    run_cost: RunCostRule = RunCostRule()
    override: list[RuleOverride] = []


class RuleBook:
    """The limits that hold for each tenant and agent; an agent's beat its tenant's beat the general ones."""

    def __init__(self, run_cost: RunCostRule | None = None, overrides: list[RuleOverride] | None = None) -> None:
        self._run_cost = run_cost or RunCostRule()
        self._overrides = {(it.tenant_id, it.agent_id): it for it in overrides or []}

    @classmethod
    def from_toml(cls, text: str) -> "RuleBook":
        """Read rules: ``[run_cost] limit_usd``, and ``[[override]]`` tables with tenant_id and agent_id.

        Raises:
            ValueError: not TOML, or not such tables; the text names the field.
        """
        rules = _RuleFile.model_validate(tomllib.loads(text))
        return cls(rules.run_cost, rules.override)

    def run_cost_limit_usd(self, tenant_id: str, agent_id: str) -> Decimal:
        """Return what one run of this agent may spend."""
        for scope in ((tenant_id, agent_id), (tenant_id, None)):
            if scope in self._overrides:
                return self._overrides[scope].run_cost.limit_usd
        return self._run_cost.limit_usd


def alert_run_cost(
    *,
    tenant_id: str,
    agent_id: str,
    trace_id: str,
    run_id: str,
    span_id: str,
    session_key: str,
    model: str,
    cost_usd: Decimal,
    limit_usd: Decimal,
    num_model_calls: int,
    usage: TokenUsage,
    at_us: int,
    rev: int,
) -> Alert:
    """Make the alert of a run that has reached its limit with the model call ``span_id``."""
    scope = f"{tenant_id}|{agent_id}|run_cost|{trace_id}|{run_id}|{limit_usd}"
    labels = {"run_id": run_id, "session_key": session_key, "model": model}
    return Alert(
        tenant_id=tenant_id,
        agent_id=agent_id,
        alert_id=hashlib.sha256(scope.encode()).hexdigest()[:32],
        rule="run_cost",
        severity="critical",
        state="alert",
        message=f"A run has spent {cost_usd:f} USD in {num_model_calls} model calls; its limit is {limit_usd:f}.",
        labels={name: value for name, value in labels.items() if value},
        evidence={
            "cost_usd": f"{cost_usd:f}",
            "limit_usd": f"{limit_usd:f}",
            "num_model_calls": str(num_model_calls),
            "input_tokens": str(usage.input_tokens),
            "cache_read_tokens": str(usage.cache_read_tokens),
            "cache_write_tokens": str(usage.cache_write_tokens),
            "output_tokens": str(usage.output_tokens),
        },
        trace_id=trace_id,
        span_id=span_id,
        at_us=at_us,
        rev=rev,
    )
