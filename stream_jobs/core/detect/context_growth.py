"""Rule ``context_growth``: each call of a session sends more history than the last, and the history is the bill.

Upstream: facts ``call_usage``, once for each call.
Downstream: alerts.
Guarantee: calls are followed within a session, over its runs; a prompt that becomes shorter by a fifth (compaction,
reset) begins anew and ends the alert. The host's own upkeep is left out: it sends another history.

What was sent before is the prompt up to the length of the last call's; as much of it as was read from the cache is
priced as that, so that a long session with a working cache stays cheap and silent.
"""

from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from producers.contracts.usage import TokenUsage
from stream_jobs.contracts.alert import AlertRule
from stream_jobs.core.amounts import usd_text
from stream_jobs.core.cost import Usd
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.state import CallState, RunState
from stream_jobs.core.workspace import Workspace

_KEPT = 0.8
_ZERO = Decimal(0)


class ContextGrowthSettings(RuleSettings):
    """When growth is a fault."""

    min_calls: Annotated[int, Field(ge=2, description="Calls that each sent more than the last.")] = 12
    factor: Annotated[float, Field(gt=1, description="Times by which the prompt has grown.")] = 5.0
    min_usd: Annotated[Usd, Field(gt=0, description="Dollars paid for history that had been sent before.")] = Decimal(5)
    min_share: Annotated[float, Field(ge=0, le=1, description="Share of the bill that this is, at least.")] = 0.5
    min_uncached_tokens: Annotated[
        int, Field(gt=0, description="The same in tokens not read from the cache, where no price is known.")
    ] = 2_000_000


class Growth(msgspec.Struct, array_like=True):
    """A session since its prompt was last cut."""

    first_tokens: int = 0
    last_tokens: int = 0
    num_calls: int = 0
    num_grown: int = 0
    prompt_tokens: int = 0
    resent_tokens: int = 0
    uncached_tokens: int = 0
    bill_usd: Decimal = _ZERO
    resent_usd: Decimal = _ZERO
    is_raised: bool = False


class ContextGrowth:
    """A session pays for its history again and again."""

    name: ClassVar[AlertRule] = "context_growth"
    settings_type: ClassVar[type[RuleSettings]] = ContextGrowthSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"call_usage"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Compare a call's prompt with the one before."""
        settings = ws.settings(self.name, ContextGrowthSettings)
        call = ws.find_node(fact.ref)
        run = ws.find_run(call.run_id) if isinstance(call, CallState) else None
        if not settings.enabled or not isinstance(call, CallState) or run is None or run.is_side_run:
            return
        usage = call.usage
        # A difference that is the whole is the first word on a call; a correction is not another call.
        if usage is None or fact.usage != usage or not usage.prompt_tokens or not call.session_key:
            return
        name = f"{self.name}|{call.session_key}"
        growth = ws.memory(name, Growth)
        if usage.prompt_tokens < _KEPT * growth.last_tokens:
            if growth.is_raised:
                self._recover(ws, settings, fact, call, growth)
            _begin(growth)
        _follow(ws, growth, call, usage)
        ws.change_memory(name)
        if not growth.is_raised and _is_fault(settings, growth, is_unpriced=call.cost_usd is None):
            growth.is_raised = True
            self._raise(ws, settings, fact, run, call, growth)

    def _raise(
        self,
        ws: Workspace,
        settings: ContextGrowthSettings,
        fact: Fact,
        run: RunState,
        call: CallState,
        growth: Growth,
    ) -> None:
        token_share = growth.resent_tokens / growth.prompt_tokens
        usd_share = growth.resent_usd / growth.bill_usd if growth.bill_usd else _ZERO
        paid = f"{usd_text(growth.resent_usd)} of {usd_text(growth.bill_usd)}"
        if not growth.bill_usd:
            paid = f"{growth.resent_tokens} of {growth.prompt_tokens} tokens"
        set_alert(
            ws,
            settings,
            self.name,
            scope="session",
            scope_id=call.session_key,
            state="alert",
            message=f"The prompt has grown from {growth.first_tokens} to {growth.last_tokens} tokens in "
            f"{growth.num_calls} calls; {paid} paid for history that had been sent before.",
            at_us=fact.at_us,
            labels={"session_key": call.session_key, "run_id": run.run_id, "model": f"{call.provider}/{call.model}"},
            evidence={
                "first_prompt_tokens": growth.first_tokens,
                "last_prompt_tokens": growth.last_tokens,
                "num_calls": growth.num_calls,
                "num_calls_grown": growth.num_grown,
                "resent_tokens": growth.resent_tokens,
                "resent_token_share": f"{token_share:.3f}",
                "resent_uncached_tokens": growth.uncached_tokens,
                "resent_usd": f"{growth.resent_usd:f}",
                "bill_usd": f"{growth.bill_usd:f}",
                "resent_usd_share": f"{usd_share:.3f}",
            },
            trace_id=call.trace_id,
            span_id=call.span_id,
        )

    def _recover(
        self, ws: Workspace, settings: ContextGrowthSettings, fact: Fact, call: CallState, growth: Growth
    ) -> None:
        set_alert(
            ws,
            settings,
            self.name,
            scope="session",
            scope_id=call.session_key,
            state="ok",
            message=f"The history was cut: the prompt went from {growth.last_tokens} tokens to "
            f"{call.usage.prompt_tokens if call.usage else 0}.",
            at_us=fact.at_us,
            labels={"session_key": call.session_key, "run_id": call.run_id},
            evidence={"resent_usd": f"{growth.resent_usd:f}", "bill_usd": f"{growth.bill_usd:f}"},
            trace_id=call.trace_id,
            span_id=call.span_id,
        )


def _begin(growth: Growth) -> None:
    growth.first_tokens = growth.last_tokens = growth.num_calls = growth.num_grown = 0
    growth.prompt_tokens = growth.resent_tokens = growth.uncached_tokens = 0
    growth.bill_usd = growth.resent_usd = _ZERO
    growth.is_raised = False


def _follow(ws: Workspace, growth: Growth, call: CallState, usage: TokenUsage) -> None:
    resent = min(usage.prompt_tokens, growth.last_tokens)
    cached = min(usage.cache_read_tokens, resent)
    fresh = min(usage.input_tokens, resent - cached)
    price = ws.pricer.find_price(ws.tenant_id, call.provider, call.model, call.started_at_us)
    if price is not None:
        again = TokenUsage(input_tokens=fresh, cache_read_tokens=cached, cache_write_tokens=resent - cached - fresh)
        growth.resent_usd += price.cost_usd(again)
        growth.bill_usd += call.cost_usd or _ZERO
    growth.prompt_tokens += usage.prompt_tokens
    growth.resent_tokens += resent
    growth.uncached_tokens += resent - cached
    growth.num_calls += 1
    growth.num_grown += growth.num_calls > 1 and usage.prompt_tokens > growth.last_tokens
    growth.first_tokens = growth.first_tokens or usage.prompt_tokens
    growth.last_tokens = usage.prompt_tokens


def _is_fault(settings: ContextGrowthSettings, growth: Growth, *, is_unpriced: bool) -> bool:
    if growth.num_grown < settings.min_calls or growth.num_grown < _KEPT * (growth.num_calls - 1):
        return False
    if growth.last_tokens < settings.factor * growth.first_tokens:
        return False
    if growth.resent_usd >= settings.min_usd:
        return growth.resent_usd >= growth.bill_usd * Decimal(str(settings.min_share))
    return is_unpriced and growth.uncached_tokens >= settings.min_uncached_tokens
