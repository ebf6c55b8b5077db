"""Rule ``cost_forecast``: a running run will probably cost far more than its like.

Upstream: facts ``call_usage``, ``run_ended``, ``run_reopened``.
Downstream: alerts.
Guarantee: silent until enough runs of the agent have ended well; learns of the last 200 of each kind and of the last
200 of all kinds, no more. The method stands in ``forecast``.
"""

import re
from decimal import Decimal
from statistics import median
from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule
from stream_jobs.core.amounts import usd_text
from stream_jobs.core.cost import Usd
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.forecast import CHECKPOINTS, FinishedRun, forecast
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.state import CallState, RunState
from stream_jobs.core.workspace import Workspace

MAX_RUNS = 200
_ALL = "all"
_MICROS = 1_000_000
# What makes a session key unlike any other: a UUID, a long number, a long hexadecimal id.
_RANDOM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\d{6,}|[0-9a-f]{16,}")


class CostForecastSettings(RuleSettings):
    """How dear a run may become."""

    limit_usd: Annotated[
        Usd, Field(gt=0, description="Dollars a run may be forecast to cost, however cheap its like are.")
    ] = Decimal("5.00")
    factor: Annotated[float, Field(gt=1, description="Times the median of its like that a run may cost.")] = 5.0
    min_usd: Annotated[Usd, Field(gt=0, description="Dollars spent before a run is looked at.")] = Decimal("0.50")
    min_runs: Annotated[
        int, Field(ge=5, le=MAX_RUNS, description="Finished runs, of its kind or else of the agent, that it takes.")
    ] = 10


class RunCosts(msgspec.Struct, array_like=True):
    """How the cost of one run grew, and the places it holds among the finished ones (-1: none)."""

    costs: list[int] = []
    kind_slot: int = -1
    all_slot: int = -1


class History(msgspec.Struct, array_like=True):
    """How many runs have ever finished; number n lies at place n modulo MAX_RUNS."""

    num_finished: int = 0


class CostForecast:
    """A run will probably cost far more than its like."""

    name: ClassVar[AlertRule] = "cost_forecast"
    settings_type: ClassVar[type[RuleSettings]] = CostForecastSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"call_usage", "run_ended", "run_reopened"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Follow the cost of a run; learn it when it has ended."""
        settings = ws.settings(self.name, CostForecastSettings)
        node = ws.find_node(fact.ref)
        run = ws.find_run(node.run_id) if isinstance(node, CallState) else node
        if not settings.enabled or not isinstance(run, RunState) or not run.num_priced:
            return
        costs = self._follow(ws, run)
        if run.status != "running":
            self._learn(ws, run, costs)
        elif fact.kind == "run_reopened":
            self._unlearn(ws, run, costs)
        elif isinstance(node, CallState) and run.cost_usd >= settings.min_usd:
            self._judge(ws, settings, fact, run, node)

    def _follow(self, ws: Workspace, run: RunState) -> RunCosts:
        name = f"cost_forecast|run|{run.run_id}"
        costs = ws.memory(name, RunCosts)
        while len(costs.costs) < len(CHECKPOINTS) and CHECKPOINTS[len(costs.costs)] <= run.num_priced:
            costs.costs.append(_micros(run.cost_usd))
            ws.change_memory(name)
        return costs

    def _learn(self, ws: Workspace, run: RunState, costs: RunCosts) -> None:
        # A run that was stopped or failed does not show what its like cost when they are let go on.
        if run.status != "ok":
            return
        finished = FinishedRun(run.run_id, run.num_priced, _micros(run.cost_usd), list(costs.costs))
        slots = (costs.kind_slot, costs.all_slot)
        costs.kind_slot = _store(ws, kind_of(run), costs.kind_slot, finished)
        costs.all_slot = _store(ws, _ALL, costs.all_slot, finished)
        if slots != (costs.kind_slot, costs.all_slot):
            ws.change_memory(f"cost_forecast|run|{run.run_id}")

    def _unlearn(self, ws: Workspace, run: RunState, costs: RunCosts) -> None:
        for history, slot in ((kind_of(run), costs.kind_slot), (_ALL, costs.all_slot)):
            if slot >= 0 and ws.memory(_slot_name(history, slot), FinishedRun).run_id == run.run_id:
                _store(ws, history, slot, FinishedRun(run.run_id))

    def _judge(self, ws: Workspace, settings: CostForecastSettings, fact: Fact, run: RunState, call: CallState) -> None:
        kind = kind_of(run)
        runs = _read(ws, kind)
        if len(runs) < settings.min_runs:
            kind, runs = "", _read(ws, _ALL)
        if len(runs) < settings.min_runs:
            return
        median_usd = _usd(median(it.final for it in runs))
        limit = max(settings.limit_usd, median_usd * Decimal(str(settings.factor)))
        found = forecast(runs, run.num_priced, float(run.cost_usd) * _MICROS)
        p50, p90 = _usd(found.p50), _usd(found.p90)
        if p50 <= limit:
            return
        set_alert(
            ws,
            settings,
            self.name,
            scope="run",
            scope_id=run.run_id,
            state="alert",
            message=f"A run will probably cost {usd_text(p50)}, and in one case of ten more than {usd_text(p90)}; "
            f"it has spent {usd_text(run.cost_usd)} in {run.num_calls} model calls, and half of its like ended below "
            f"{usd_text(median_usd)}.",
            at_us=fact.at_us,
            labels={"run_id": run.run_id, "session_key": run.session_key, "model": f"{call.provider}/{call.model}"},
            evidence={
                "p50_usd": f"{p50:.6f}",
                "p90_usd": f"{p90:.6f}",
                "limit_usd": f"{limit:f}",
                "cost_usd": f"{run.cost_usd:f}",
                "num_model_calls": run.num_calls,
                "median_usd": f"{median_usd:.6f}",
                "num_runs": len(runs),
                "num_runs_as_long": found.num_analogs,
                "kind": kind,
            },
            trace_id=run.trace_id,
            span_id=call.span_id,
        )


def kind_of(run: RunState) -> str:
    """Say which runs are like this one: same trigger, same session but for its random part, same errand."""
    errand = run.run_id.partition(":")[0] if ":" in run.run_id else ""
    return f"{run.trigger}|{_RANDOM.sub('*', run.session_key)}|{_RANDOM.sub('*', errand)}"


def _slot_name(history: str, slot: int) -> str:
    return f"cost_forecast|{history}|{slot}"


def _store(ws: Workspace, history: str, slot: int, run: FinishedRun) -> int:
    """Put a finished run into its place, or into the next one; returns the place."""
    if slot < 0 or ws.memory(_slot_name(history, slot), FinishedRun).run_id != run.run_id:
        head = f"cost_forecast|{history}"
        memory = ws.memory(head, History)
        slot = memory.num_finished % MAX_RUNS
        memory.num_finished += 1
        ws.change_memory(head)
    place = ws.memory(_slot_name(history, slot), FinishedRun)
    place.run_id, place.num_calls, place.final, place.costs = run.run_id, run.num_calls, run.final, run.costs
    ws.change_memory(_slot_name(history, slot))
    return slot


def _read(ws: Workspace, history: str) -> list[FinishedRun]:
    num = min(ws.memory(f"cost_forecast|{history}", History).num_finished, MAX_RUNS)
    runs = (ws.memory(_slot_name(history, slot), FinishedRun) for slot in range(num))
    return [run for run in runs if run.num_calls]


def _micros(usd: Decimal) -> int:
    return round(usd * _MICROS)


def _usd(micros: float) -> Decimal:
    return Decimal(round(micros)) / _MICROS
