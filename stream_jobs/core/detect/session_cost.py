"""Rule ``session_cost``: a session, with the sub-agents it started, has spent what a session may spend in a day.

Upstream: facts ``call_usage``, ``tick``.
Downstream: alerts.
Guarantee: a sub-agent's call counts for the session in which its trace began; each difference in cost counts once.
An hour's sums are kept, so the window moves on by whole hours. Until the first run of the trace's own session is
seen, a sub-agent counts for itself.
"""

from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule, AlertSeverity, AlertState
from stream_jobs.core.amounts import usd_text
from stream_jobs.core.cost import Usd
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.rule import happened_at_us
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.state import NO_TOKENS, CallState, RunState
from stream_jobs.core.workspace import Workspace

_HOUR_US = 3_600_000_000
# Sessions with a raised alert that are looked at again as time passes.
MAX_RAISED = 64


class SessionCostSettings(RuleSettings):
    """Limit of one session."""

    severity: AlertSeverity = "critical"
    limit_usd: Annotated[
        Usd, Field(gt=0, description="Dollars a session with its sub-agents may spend within the window.")
    ] = Decimal("20.00")
    warn_share: Annotated[float, Field(gt=0, le=1, description="Share of the limit at which it warns.")] = 0.8
    window_h: Annotated[int, Field(ge=1, le=168, description="Hours that are summed.")] = 24


class HourSum(msgspec.Struct, array_like=True):
    """What a session spent in an hour."""

    hour: int
    usd: Decimal = Decimal(0)
    num_calls: int = 0


class SessionSpend(msgspec.Struct, array_like=True):
    """The last hours of a session, ascending."""

    hours: list[HourSum] = []


class SessionOfTrace(msgspec.Struct, array_like=True):
    """The session in which a trace began."""

    session_key: str = ""


class RaisedSessions(msgspec.Struct, array_like=True):
    """Sessions whose alert is not ok."""

    session_keys: list[str] = []


class SessionCost:
    """A session has reached its limit."""

    name: ClassVar[AlertRule] = "session_cost"
    settings_type: ClassVar[type[RuleSettings]] = SessionCostSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"call_usage", "tick"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Add what a call has cost, or let old hours go."""
        settings = ws.settings(self.name, SessionCostSettings)
        if not settings.enabled:
            return
        if fact.kind == "tick":
            for session_key in list(ws.memory(self.name, RaisedSessions).session_keys):
                self._judge(ws, settings, session_key, fact, None)
            return
        call = ws.find_node(fact.ref)
        run = ws.find_run(call.run_id) if isinstance(call, CallState) else None
        if not isinstance(call, CallState) or run is None:
            return
        session_key = self._session_of(ws, run)
        if session_key and fact.usd:
            self._add(ws, settings, session_key, fact, call)
            self._judge(ws, settings, session_key, fact, call)

    def _session_of(self, ws: Workspace, run: RunState) -> str:
        if not run.trace_id:
            return run.session_key
        name = f"{self.name}|trace|{run.trace_id}"
        found = ws.memory(name, SessionOfTrace)
        if not found.session_key and run.session_key and not _is_helper_session(run.session_key):
            found.session_key = run.session_key
            ws.change_memory(name)
        return found.session_key or run.session_key

    def _add(self, ws: Workspace, settings: SessionCostSettings, session_key: str, fact: Fact, call: CallState) -> None:
        name = _name_of(session_key)
        spend = ws.memory(name, SessionSpend)
        # By the call's own start: a new price for an old call belongs to the old hour.
        number = min(call.started_at_us, happened_at_us(ws, fact)) // _HOUR_US
        found = next((it for it in spend.hours if it.hour == number), None) or HourSum(number)
        found.usd += fact.usd
        found.num_calls += fact.usage != NO_TOKENS
        others = [it for it in spend.hours if it.hour != number]
        newest = max(it.hour for it in (*others, found))
        spend.hours = sorted(
            (it for it in (*others, found) if it.hour > newest - settings.window_h), key=lambda it: it.hour
        )
        ws.change_memory(name)

    def _judge(
        self, ws: Workspace, settings: SessionCostSettings, session_key: str, fact: Fact, call: CallState | None
    ) -> None:
        hours = ws.memory(_name_of(session_key), SessionSpend).hours
        now = max([happened_at_us(ws, fact) // _HOUR_US, *(it.hour for it in hours)])
        counted = [it for it in hours if it.hour > now - settings.window_h]
        usd = sum((it.usd for it in counted), Decimal(0))
        state: AlertState = "ok"
        if usd >= settings.limit_usd:
            state = "alert"
        elif usd >= settings.limit_usd * Decimal(str(settings.warn_share)):
            state = "warn"
        if state == "ok" and session_key not in ws.memory(self.name, RaisedSessions).session_keys:
            return
        is_news = set_alert(
            ws,
            settings,
            self.name,
            scope="session",
            scope_id=session_key,
            state=state,
            severity="warning" if state == "warn" else None,
            message=f"A session with its sub-agents has spent {usd_text(usd)} within {settings.window_h} hours; "
            f"its limit is {usd_text(settings.limit_usd)}.",
            at_us=fact.at_us,
            labels={"session_key": session_key, "run_id": call.run_id if call is not None else ""},
            evidence={
                "cost_usd": f"{usd:f}",
                "limit_usd": f"{settings.limit_usd:f}",
                "window_h": settings.window_h,
                "num_model_calls": sum(it.num_calls for it in counted),
            },
            trace_id=call.trace_id if call is not None else "",
            span_id=call.span_id if call is not None else "",
        )
        if is_news:
            raised = ws.memory(self.name, RaisedSessions)
            others = [it for it in raised.session_keys if it != session_key]
            raised.session_keys = others if state == "ok" else [*others, session_key][-MAX_RAISED:]
            ws.change_memory(self.name)


def _name_of(session_key: str) -> str:
    return f"session_cost|session|{session_key}"


def _is_helper_session(session_key: str) -> bool:
    return ":subagent:" in session_key or ":internal-session-effects:" in session_key
