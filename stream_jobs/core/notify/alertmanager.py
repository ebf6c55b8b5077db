"""A push to Alertmanager: POST /api/v2/alerts.

Upstream: messages.
Downstream: an Alertmanager, which deduplicates, groups, silences and tells.
Guarantee: the labels of an alert do not change while it lasts, apart from its severity, so that its end ends it; an
alert that is no longer sent ends by itself after four times the interval of sending.
"""

import base64
from typing import Any, Final

from stream_jobs.contracts.channel import AlertmanagerTarget
from stream_jobs.core.notify.message import Message, Request, Told, iso, json_request

# As Prometheus does: some pushes may be lost before an alert ends.
NUM_INTERVALS_VALID: Final = 4


def alertmanager_request(target: AlertmanagerTarget, message: Message, now_us: int) -> Request:
    """Make the request; ``now_us`` is the time of this try."""
    url = target.url.get_secret_value().rstrip("/") + "/api/v2/alerts"
    headers = {}
    if target.username:
        login = f"{target.username}:{target.password.get_secret_value()}".encode()
        headers["authorization"] = "Basic " + base64.b64encode(login).decode()
    valid_until_us = now_us + NUM_INTERVALS_VALID * target.resend_seconds * 1_000_000
    return json_request(url, [_alert(message, it, valid_until_us) for it in message.told], headers)


def _alert(message: Message, it: Told, valid_until_us: int) -> dict[str, Any]:
    alert = it.alert
    evidence = {f"evidence_{name}": value for name, value in alert.evidence.items()}
    # Run, session and model can change while an alert lasts: not a part of what identifies it.
    about = {f"about_{name}": value for name, value in alert.labels.items()}
    return {
        "labels": {
            "alertname": alert.rule,
            "severity": it.severity,
            "tenant_id": alert.tenant_id,
            "agent_id": alert.agent_id,
            "alert_id": alert.alert_id,
        },
        "annotations": {**evidence, **about, "summary": alert.message, "state": alert.state},
        "startsAt": iso(it.started_at_us),
        # An end before the start would be refused.
        "endsAt": iso(max(alert.at_us, it.started_at_us)) if it.is_over else iso(valid_until_us),
        "generatorURL": message.link(alert),
    }
