"""The signed webhook: Alertmanager's body (version 4), signed by Standard Webhooks.

Upstream: messages.
Downstream: any receiver of Alertmanager's webhooks.
Guarantee: ``webhook-id`` is the message's and stays over tries, so a receiver can drop what it has; the signature
covers id, time of the try and body.
"""

import base64
import hashlib
import hmac
from typing import Any, Final

import msgspec

from stream_jobs.contracts.channel import WebhookTarget, webhook_secret_bytes
from stream_jobs.core.notify.message import Message, Request, Told, iso

# As Alertmanager says that something has not ended.
NO_END: Final = "0001-01-01T00:00:00Z"


def webhook_request(target: WebhookTarget, message: Message, now_us: int) -> Request:
    """Make the request; ``now_us`` is the time of this try."""
    body = msgspec.json.encode(alertmanager_v4(message))
    timestamp = str(now_us // 1_000_000)
    secret = webhook_secret_bytes(target.secret.get_secret_value())
    headers = {
        "content-type": "application/json",
        "webhook-id": message.message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": sign(secret, message.message_id, timestamp, body),
    }
    return Request(target.url.get_secret_value(), headers, body)


def sign(secret: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Return the Standard Webhooks signature, version 1."""
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def alertmanager_v4(message: Message) -> dict[str, Any]:
    """Make the body that Alertmanager sends to webhooks."""
    alerts = [_alert(message, it) for it in message.told]
    is_firing = any(one["status"] == "firing" for one in alerts)
    return {
        "version": "4",
        "groupKey": message.group_key,
        "truncatedAlerts": 0,
        "status": "firing" if is_firing else "resolved",
        "receiver": message.channel_name,
        "groupLabels": {"tenant_id": message.tenant_id},
        "commonLabels": _common([one["labels"] for one in alerts]),
        "commonAnnotations": _common([one["annotations"] for one in alerts]),
        "externalURL": message.base_url,
        "alerts": alerts,
    }


def _alert(message: Message, it: Told) -> dict[str, Any]:
    alert = it.alert
    own = {
        "alertname": alert.rule,
        "severity": it.severity,
        "tenant_id": alert.tenant_id,
        "agent_id": alert.agent_id,
        "alert_id": alert.alert_id,
    }
    annotations = {"summary": alert.message, "state": alert.state, "told_as": it.told_as}
    if it.acked_by:
        annotations["acked_by"] = it.acked_by
    return {
        "status": "resolved" if it.is_over else "firing",
        "labels": {**alert.labels, **own},
        "annotations": {**{f"evidence_{name}": value for name, value in alert.evidence.items()}, **annotations},
        "startsAt": iso(it.started_at_us),
        "endsAt": iso(alert.at_us) if it.is_over else NO_END,
        "generatorURL": message.link(alert),
        "fingerprint": alert.alert_id,
    }


def _common(maps: list[dict[str, str]]) -> dict[str, str]:
    first, *others = maps
    return {name: value for name, value in first.items() if all(one.get(name) == value for one in others)}
