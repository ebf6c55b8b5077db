"""Alerts and their states: raised once, told again only when something about them changes.

Upstream: rules.
Downstream: ``ws.alerts`` and ``ws.verdicts``, which are sent.
Guarantee: an alert's id follows from tenant, agent, rule, scope and threshold alone; its state is remembered, so a
replay, a restart or the same finding again says nothing new.
"""

import hashlib
from collections.abc import Mapping

import msgspec

from producers.contracts.guard import GuardScope, Verdict
from stream_jobs.contracts.alert import Alert, AlertRule, AlertSeverity, AlertState
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.workspace import Workspace


class AlertMemory(msgspec.Struct, array_like=True):
    """The state an alert was last sent with, and how often it has fired."""

    state: AlertState = "ok"
    severity: str = ""
    num_fired: int = 0


def alert_id_of(tenant_id: str, agent_id: str, rule: AlertRule, scope_id: str, threshold: str = "") -> str:
    """Make the id of an alert: 32 hex digits."""
    scope = f"{tenant_id}|{agent_id}|{rule}|{scope_id}|{threshold}"
    return hashlib.sha256(scope.encode()).hexdigest()[:32]


def set_alert(
    ws: Workspace,
    settings: RuleSettings,
    rule: AlertRule,
    *,
    scope: GuardScope,
    scope_id: str,
    state: AlertState,
    message: str,
    at_us: int,
    about: str = "",
    threshold: str = "",
    severity: AlertSeverity | None = None,
    labels: Mapping[str, str] | None = None,
    evidence: Mapping[str, object] | None = None,
    trace_id: str = "",
    span_id: str = "",
) -> bool:
    """Bring an alert to a state; returns whether that is news.

    Args:
        scope: what a verdict would cover: run, session or agent.
        scope_id: run id, session key or agent id.
        about: what else tells this alert from others of the rule in the same scope, for instance a tool's name.
        threshold: what it fired at, when a rule has several.
        severity: other than the rule's own.
        labels: what it is about; empty ones are left out.
        evidence: the numbers that prove it; told as text.
    """
    alert_id = alert_id_of(ws.tenant_id, ws.agent_id, rule, f"{scope}|{scope_id}|{about}", threshold)
    name = f"alert|{alert_id}"
    memory = ws.memory(name, AlertMemory)
    severity = severity or settings.severity
    if memory.state == state and (state == "ok" or memory.severity == severity):
        return False
    memory.num_fired += state == "alert" and memory.state != "alert"
    memory.state, memory.severity = state, severity
    ws.change_memory(name)
    alert = Alert(
        tenant_id=ws.tenant_id,
        agent_id=ws.agent_id,
        alert_id=alert_id,
        rule=rule,
        severity=severity,
        state=state,
        message=message,
        labels={key: value for key, value in (labels or {}).items() if value},
        evidence={key: str(value) for key, value in (evidence or {}).items()},
        trace_id=trace_id or None,
        span_id=span_id or None,
        at_us=at_us,
        rev=ws.rev,
    )
    ws.tell(alert)
    if state == "alert" and settings.action != "none":
        verdict = Verdict(
            # A verdict ends by itself; an alert that recovers and fires again is another verdict.
            verdict_id=hashlib.sha256(f"{alert_id}|{memory.num_fired}".encode()).hexdigest()[:32],
            scope=scope,
            scope_id=scope_id,
            action=settings.action,
            reason=message,
            alert_id=alert_id,
            expires_at_us=at_us + settings.hold_s * 1_000_000,
        )
        ws.verdicts[verdict.verdict_id] = verdict
    return True
