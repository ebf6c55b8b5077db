"""An event for PagerDuty's Events API v2.

Upstream: messages of one alert each.
Downstream: a PagerDuty service.
Guarantee: the dedup key is the alert's id: however often it is sent, there is one incident, and its end ends it.
"""

from typing import Any, Final

from stream_jobs.contracts.channel import PagerDutyTarget
from stream_jobs.core.notify.message import Message, Request, cut, iso, json_request, one_line

MAX_SUMMARY_CHARS: Final = 1_024


def pagerduty_request(target: PagerDutyTarget, message: Message) -> Request:
    """Make the request."""
    (it,) = message.told
    alert = it.alert
    action = "resolve" if it.is_over else "acknowledge" if it.told_as == "ack" else "trigger"
    link = message.link(alert)
    event: dict[str, Any] = {
        "routing_key": target.routing_key.get_secret_value(),
        "event_action": action,
        "dedup_key": alert.alert_id,
    }
    if action == "trigger":
        event |= {
            "client": "ClawTrace",
            "client_url": link,
            "links": [{"href": link, "text": "Trace" if alert.trace_id else "Alerts"}],
            "payload": {
                "summary": cut(f"{it.still}{one_line(alert.message)}", MAX_SUMMARY_CHARS),
                "source": alert.agent_id,
                "severity": it.severity,
                "timestamp": iso(alert.at_us),
                "component": alert.labels.get("session_key", alert.agent_id),
                "group": alert.tenant_id,
                "class": alert.rule,
                "custom_details": {**alert.labels, **alert.evidence, "state": alert.state, "alert_id": alert.alert_id},
            },
        }
    return json_request(target.url, event)
