"""Rule ``unpriced_model``: a model was paid for whose price nobody knows.

Upstream: facts ``call_usage``.
Downstream: alerts.
Guarantee: one alert for each provider and model of an agent; ok again with the first call that has a price.
"""

from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.state import CallState
from stream_jobs.core.workspace import Workspace

MAX_RAISED = 64


class UnpricedModelSettings(RuleSettings):
    """Which models may cost nothing."""

    free_providers: Annotated[
        tuple[str, ...], Field(description="Providers that run on your own machines: no price is missed there.")
    ] = ("ollama", "lmstudio", "vllm", "sglang", "llama.cpp")


class UnpricedModels(msgspec.Struct, array_like=True):
    """Models whose alert is raised: provider, a slash, model."""

    models: list[str] = []


class UnpricedModel:
    """Tokens without a price."""

    name: ClassVar[AlertRule] = "unpriced_model"
    settings_type: ClassVar[type[RuleSettings]] = UnpricedModelSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"call_usage"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """See whether a call's tokens have a price."""
        settings = ws.settings(self.name, UnpricedModelSettings)
        call = ws.find_node(fact.ref)
        if not settings.enabled or not isinstance(call, CallState) or not call.model or call.usage is None:
            return
        model = f"{call.provider}/{call.model}"
        memory = ws.memory(self.name, UnpricedModels)
        is_unpriced = call.cost_usd is None and call.usage.total_tokens > 0
        is_raised = model in memory.models
        if is_unpriced == is_raised or (is_unpriced and call.provider.lower() in settings.free_providers):
            return
        others = [it for it in memory.models if it != model]
        memory.models = [*others, model][-MAX_RAISED:] if is_unpriced else others
        ws.change_memory(self.name)
        fix = f"clawtrace prices set {call.provider} {call.model}"
        set_alert(
            ws,
            settings,
            self.name,
            scope="agent",
            scope_id=ws.agent_id,
            about=model,
            state="alert" if is_unpriced else "ok",
            message=f"No price is known for {model}: its calls count as nothing in every sum and limit. "
            f"Say its price with '{fix} …'."
            if is_unpriced
            else f"{model} has a price now.",
            at_us=fact.at_us,
            labels={"model": model, "run_id": call.run_id, "session_key": call.session_key},
            evidence={
                "provider": call.provider,
                "model": call.model,
                "input_tokens": call.usage.input_tokens,
                "cache_read_tokens": call.usage.cache_read_tokens,
                "cache_write_tokens": call.usage.cache_write_tokens,
                "output_tokens": call.usage.output_tokens,
                "price_id": call.price_id,
                "fix": fix if is_unpriced else "",
            },
            trace_id=call.trace_id,
            span_id=call.span_id,
        )
