"""Alerts, messages and channels for the tests of the notifier."""

from typing import Any

from stream_jobs.contracts.alert import Alert, AlertSeverity, AlertState
from stream_jobs.contracts.channel import Target, parse_target
from stream_jobs.core.notify.message import Message, Told, ToldAs

TENANT = "notifytest"
AT_US = 1_795_412_540_484_000
BASE_URL = "http://clawtrace.test:4601"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="


def alert(
    number: int = 1,
    state: AlertState = "alert",
    *,
    severity: AlertSeverity = "critical",
    rev: int = 1,
    message: str = "A run has spent $0.06; its limit is $0.05.",
    labels: dict[str, str] | None = None,
    agent_id: str = "laptop",
) -> Alert:
    """One alert of a run."""
    return Alert(
        tenant_id=TENANT,
        agent_id=agent_id,
        alert_id=f"{number:032x}",
        rule="run_cost",
        severity=severity,
        state=state,
        message=message,
        labels={"run_id": "r1", "session_key": "agent:main:main"} if labels is None else labels,
        evidence={"cost_usd": "0.06", "limit_usd": "0.05"},
        trace_id="bef2bd3ea2e7cce000b1495c74e2a107",
        span_id="1f76a81aea48b4fd",
        at_us=AT_US + rev * 1_000_000,
        rev=rev,
    )


def told(one: Alert, *, told_as: ToldAs = "change", severity: AlertSeverity | None = None) -> Told:
    """An alert as a channel is told."""
    return Told(alert=one, severity=severity or one.severity, started_at_us=AT_US, told_as=told_as)


def message(*tellings: Told, message_id: str = "msg_1") -> Message:
    """A message of some alerts."""
    return Message(
        message_id=message_id,
        tenant_id=TENANT,
        channel_name="oncall",
        group_key="laptop/r1",
        made_at_us=AT_US,
        base_url=BASE_URL,
        told=tellings or (told(alert()),),
    )


def target(kind: str, **values: Any) -> Target:
    """A target of plain values."""
    return parse_target({"kind": kind, **values})
