"""Rule ``cost_rate``: an agent spends far faster than it ever does.

Upstream: facts ``call_usage``, ``tick``.
Downstream: alerts.
Guarantee: an agent is compared with itself alone, and only once it has been at work in enough hours. Time is that of
the events, so a spool that is sent late makes no rate.

Method: the dollars of a sliding window, kept by the minute, against the 90 % quantile of past windows in which
anything was spent at all. Idle hours do not count: else the first hour of each day were an alarm. One runaway
hardly moves that quantile, so what is unusual need not be kept out of the learning.
"""

from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule, AlertSeverity, AlertState
from stream_jobs.core.cost import Usd
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.baseline import QuantileSketch
from stream_jobs.core.detect.rule import happened_at_us
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.state import NO_TOKENS, CallState
from stream_jobs.core.workspace import Workspace

_MINUTE_US = 60_000_000
# Of an agent that never rests, two weeks of ten minutes each; then the past counts half.
MAX_WINDOWS = 2_016
_MICRO = Decimal("0.000001")
_ZERO = Decimal(0)


class CostRateSettings(RuleSettings):
    """How much faster than usual."""

    severity: AlertSeverity = "critical"
    factor: Annotated[float, Field(gt=1, description="Times the usual of the agent's busy windows.")] = 8.0
    min_usd: Annotated[Usd, Field(gt=0, description="Dollars in a window below which nothing is said.")] = Decimal(2)
    window_minutes: Annotated[int, Field(ge=1, le=60, description="Minutes that are summed.")] = 10
    min_history_hours: Annotated[
        int, Field(ge=1, description="Hours in which the agent has spent something before the rule speaks.")
    ] = 12


class RateMemory(msgspec.Struct, array_like=True):
    """The last minutes, and what is usual."""

    minutes: list[tuple[int, Decimal]] = []
    window: int = -1
    window_usd: Decimal = _ZERO
    window_minutes: int = 0
    usual: QuantileSketch = msgspec.field(default_factory=QuantileSketch)
    last_hour: int = -1
    num_hours: int = 0
    is_raised: bool = False


class CostRate:
    """The agent spends far faster than usual."""

    name: ClassVar[AlertRule] = "cost_rate"
    settings_type: ClassVar[type[RuleSettings]] = CostRateSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"call_usage", "tick"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Add what a call has cost, or see whether it has become quiet."""
        settings = ws.settings(self.name, CostRateSettings)
        if not settings.enabled:
            return
        memory = ws.memory(self.name, RateMemory)
        if fact.kind == "tick":
            if memory.is_raised:
                self._judge(ws, settings, memory, fact, fact.at_us // _MINUTE_US)
            return
        # Dollars without tokens are a new price for an old call, no spending.
        if fact.usd <= 0 or fact.usage == NO_TOKENS:
            return
        minute = happened_at_us(ws, fact) // _MINUTE_US
        _learn(memory, settings, minute, fact.usd)
        _add(memory, settings, minute, fact.usd)
        ws.change_memory(self.name)
        self._judge(ws, settings, memory, fact, memory.minutes[-1][0])

    def _judge(
        self, ws: Workspace, settings: CostRateSettings, memory: RateMemory, fact: Fact, now_minute: int
    ) -> None:
        if memory.num_hours < settings.min_history_hours:
            return
        spent = sum((usd for minute, usd in memory.minutes if minute > now_minute - settings.window_minutes), _ZERO)
        usual = Decimal(memory.usual.quantile(0.9)).quantize(_MICRO)
        limit = max(settings.min_usd, usual * Decimal(str(settings.factor)))
        state: AlertState = "ok"
        # Once raised it holds until the rate has halved, so that it does not flicker at the limit.
        if spent >= (limit / 2 if memory.is_raised else limit):
            state = "alert"
        memory.is_raised = state == "alert"
        call = ws.find_node(fact.ref) if fact.kind == "call_usage" else None
        run = ws.find_run(call.run_id) if isinstance(call, CallState) else None
        times = f"{spent / usual:.1f}" if usual else ""
        compared = f"{times} times what is usual for it" if times else "and nothing is usual for it"
        if set_alert(
            ws,
            settings,
            self.name,
            scope="agent",
            scope_id=ws.agent_id,
            state=state,
            message=f"An agent has spent {spent:f} USD in {settings.window_minutes} minutes, {compared}.",
            at_us=fact.at_us,
            labels={
                "run_id": run.run_id if run is not None else "",
                "session_key": run.session_key if run is not None else "",
            },
            evidence={
                "spent_usd": f"{spent:f}",
                "window_minutes": settings.window_minutes,
                "usd_per_minute": f"{(spent / settings.window_minutes).quantize(_MICRO):f}",
                "usual_usd_per_window": f"{usual:f}",
                "times_usual": times,
                "limit_usd": f"{limit:f}",
                "history_hours": memory.num_hours,
                "history_windows": round(memory.usual.total),
            },
            trace_id=call.trace_id if isinstance(call, CallState) else "",
            span_id=call.span_id if isinstance(call, CallState) else "",
        ):
            ws.change_memory(self.name)


def _learn(memory: RateMemory, settings: CostRateSettings, minute: int, usd: Decimal) -> None:
    """Learn the window that is over, and begin the next."""
    if memory.window_minutes != settings.window_minutes:
        # Windows of another length tell nothing about these.
        memory.usual, memory.window, memory.num_hours = QuantileSketch(), -1, 0
        memory.window_minutes = settings.window_minutes
    window = minute // settings.window_minutes
    if window > memory.window:
        if memory.window_usd > 0 and memory.window >= 0:
            memory.usual.add(float(memory.window_usd), max_total=MAX_WINDOWS)
            hour = memory.window * settings.window_minutes // 60
            memory.num_hours += hour != memory.last_hour
            memory.last_hour = hour
        memory.window, memory.window_usd = window, _ZERO
    if window == memory.window:
        memory.window_usd += usd


def _add(memory: RateMemory, settings: CostRateSettings, minute: int, usd: Decimal) -> None:
    sums = dict(memory.minutes)
    sums[minute] = sums.get(minute, _ZERO) + usd
    newest = max(sums)
    memory.minutes = sorted((it, sums[it]) for it in sums if it > newest - settings.window_minutes)
