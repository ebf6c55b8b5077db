"""Rule ``cost_rate``: an agent spends far faster than it ever does.

Upstream: facts ``call_usage``, ``tick``.
Downstream: alerts.
Guarantee: an agent is compared with itself alone, and only once it has been at work in enough hours. Time is that of
the events, so a spool that is sent late makes no rate.

Method: the dollars of two sliding windows, some minutes and an hour, kept by the minute, each against the 90 %
quantile of past windows of its length in which anything was spent at all. The short one tells soon, the hour tells of
an agent whose ordinary work is a burst now and then. Idle windows do not count: else the first hour of each day were
an alarm. One runaway hardly moves that quantile, so what is unusual need not be kept out of the learning.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, ClassVar, NamedTuple

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule, AlertSeverity, AlertState
from stream_jobs.core.amounts import usd_text
from stream_jobs.core.cost import Usd
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.baseline import QuantileSketch
from stream_jobs.core.detect.rule import happened_at_us
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.state import NO_TOKENS, CallState
from stream_jobs.core.workspace import Workspace

_MINUTE_US = 60_000_000
_LONG_MINUTES = 60
# Of an agent that never rests, two weeks of ten minutes each; then the past counts half.
MAX_WINDOWS = 2_016
_MICRO = Decimal("0.000001")
_HALF = Decimal("0.5")
_ZERO = Decimal(0)


class CostRateSettings(RuleSettings):
    """How much faster than usual."""

    severity: AlertSeverity = "critical"
    factor: Annotated[float, Field(gt=1, description="Times the usual of the agent's busy windows.")] = 8.0
    min_usd: Annotated[Usd, Field(gt=0, description="Dollars in a window below which nothing is said.")] = Decimal(2)
    window_minutes: Annotated[
        int, Field(ge=1, le=59, description="Minutes of the short window; the long one is an hour.")
    ] = 10
    min_history_hours: Annotated[
        int, Field(ge=1, description="Hours in which the agent has spent something before the rule speaks.")
    ] = 12


class Window(msgspec.Struct, array_like=True):
    """The window of a length that is being learned, and what is usual for that length."""

    minutes: int
    number: int = -1
    usd: Decimal = _ZERO
    usual: QuantileSketch = msgspec.field(default_factory=QuantileSketch)


class RateMemory(msgspec.Struct, array_like=True):
    """The last minutes, and what is usual."""

    minutes: list[tuple[int, Decimal]] = []
    windows: list[Window] = []
    last_hour: int = -1
    num_hours: int = 0
    is_raised: bool = False


class Judgement(NamedTuple):
    """A window's sum against its limit; the greatest share is the worst."""

    share: Decimal
    minutes: int
    spent: Decimal
    usual: Decimal
    limit: Decimal
    num_windows: int


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
        _add(memory, minute, fact.usd)
        ws.change_memory(self.name)
        self._judge(ws, settings, memory, fact, memory.minutes[-1][0])

    def _judge(
        self, ws: Workspace, settings: CostRateSettings, memory: RateMemory, fact: Fact, now_minute: int
    ) -> None:
        if memory.num_hours < settings.min_history_hours:
            return
        worst = max(_judgements(memory, settings, now_minute))
        # Once raised it holds until the rate has halved, so that it does not flicker at the limit.
        state: AlertState = "alert" if worst.share >= (_HALF if memory.is_raised else 1) else "ok"
        is_raised = state == "alert"
        if is_raised == memory.is_raised:
            return
        memory.is_raised = is_raised
        ws.change_memory(self.name)
        call = ws.find_node(fact.ref) if fact.kind == "call_usage" else None
        call = call if isinstance(call, CallState) else None
        times = f"{worst.spent / worst.usual:.1f}" if worst.usual else ""
        set_alert(
            ws,
            settings,
            self.name,
            scope="agent",
            scope_id=ws.agent_id,
            state=state,
            message=f"An agent has spent {usd_text(worst.spent)} in {worst.minutes} minutes, {times or 'many'} times "
            "what is usual when it is busy.",
            at_us=fact.at_us,
            labels={
                "run_id": call.run_id if call is not None else "",
                "session_key": call.session_key if call is not None else "",
            },
            evidence={
                "spent_usd": f"{worst.spent:f}",
                "window_minutes": worst.minutes,
                "usd_per_minute": f"{(worst.spent / worst.minutes).quantize(_MICRO):f}",
                "usual_usd": f"{worst.usual:f}",
                "times_usual": times,
                "limit_usd": f"{worst.limit:f}",
                "history_hours": memory.num_hours,
                "history_windows": worst.num_windows,
            },
            trace_id=call.trace_id if call is not None else "",
            span_id=call.span_id if call is not None else "",
        )


def _judgements(memory: RateMemory, settings: CostRateSettings, now_minute: int) -> Iterator[Judgement]:
    for window in memory.windows:
        spent = sum((usd for minute, usd in memory.minutes if minute > now_minute - window.minutes), _ZERO)
        usual = Decimal(window.usual.quantile(0.9)).quantize(_MICRO)
        limit = max(settings.min_usd, usual * Decimal(str(settings.factor)))
        yield Judgement(spent / limit, window.minutes, spent, usual, limit, round(window.usual.total))


def _learn(memory: RateMemory, settings: CostRateSettings, minute: int, usd: Decimal) -> None:
    """Learn the windows that are over, and begin the next."""
    hour = minute // _LONG_MINUTES
    if hour > memory.last_hour:
        memory.num_hours += memory.last_hour >= 0
        memory.last_hour = hour
    lengths = [settings.window_minutes, _LONG_MINUTES]
    if [it.minutes for it in memory.windows] != lengths:
        # What was learned of windows of another length tells nothing about these.
        memory.windows = [Window(it) for it in lengths]
    for window in memory.windows:
        number = minute // window.minutes
        if number > window.number:
            if window.usd > 0:
                window.usual.add(float(window.usd), max_total=MAX_WINDOWS)
            window.number, window.usd = number, _ZERO
        if number == window.number:
            window.usd += usd


def _add(memory: RateMemory, minute: int, usd: Decimal) -> None:
    sums = dict(memory.minutes)
    sums[minute] = sums.get(minute, _ZERO) + usd
    newest = max(sums)
    memory.minutes = sorted((it, sums[it]) for it in sums if it > newest - _LONG_MINUTES)
