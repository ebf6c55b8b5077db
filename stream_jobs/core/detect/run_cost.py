"""Rule ``run_cost``: a run has spent what one run may spend in its own model calls.

Upstream: facts ``call_usage``.
Downstream: alerts.
Guarantee: fires once per run and limit.
"""

from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import Field

from stream_jobs.contracts.alert import AlertRule, AlertSeverity
from stream_jobs.core.amounts import usd_text
from stream_jobs.core.cost import Usd
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.state import CallState
from stream_jobs.core.workspace import Workspace


class RunCostSettings(RuleSettings):
    """Limit of one run."""

    severity: AlertSeverity = "critical"
    limit_usd: Annotated[Usd, Field(gt=0, description="Dollars one run may spend in its own calls.")] = Decimal("5.00")


class RunCost:
    """A run has reached its limit."""

    name: ClassVar[AlertRule] = "run_cost"
    settings_type: ClassVar[type[RuleSettings]] = RunCostSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"call_usage"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Compare the run's total with its limit."""
        call = ws.find_node(fact.ref)
        run = ws.find_run(call.run_id) if isinstance(call, CallState) else None
        if not isinstance(call, CallState) or run is None or not run.trace_id:
            return
        settings = ws.settings(self.name, RunCostSettings)
        if not settings.enabled or run.cost_usd < settings.limit_usd:
            return
        set_alert(
            ws,
            settings,
            self.name,
            scope="run",
            scope_id=run.run_id,
            state="alert",
            threshold=str(settings.limit_usd),
            message=f"A run has spent {usd_text(run.cost_usd)} in {run.num_calls} model calls; "
            f"its limit is {usd_text(settings.limit_usd)}.",
            at_us=fact.at_us,
            labels={"run_id": run.run_id, "session_key": run.session_key, "model": f"{call.provider}/{call.model}"},
            evidence={
                "cost_usd": f"{run.cost_usd:f}",
                "limit_usd": f"{settings.limit_usd:f}",
                "num_model_calls": run.num_calls,
                "input_tokens": run.usage.input_tokens,
                "cache_read_tokens": run.usage.cache_read_tokens,
                "cache_write_tokens": run.usage.cache_write_tokens,
                "output_tokens": run.usage.output_tokens,
            },
            trace_id=run.trace_id,
            span_id=call.span_id,
        )
