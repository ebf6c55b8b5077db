"""A message for a Slack incoming webhook, in Block Kit.

Upstream: messages.
Downstream: Slack.
Guarantee: text of agents is escaped, so it neither links nor calls anybody; what Slack would refuse as too long is cut.
"""

from typing import Any, Final

from stream_jobs.contracts.channel import SlackTarget
from stream_jobs.core.notify.message import Message, Request, Told, cut, facts, json_request, one_line

MAX_HEADER_CHARS: Final = 150
MAX_SECTION_CHARS: Final = 2_900
MAX_FACTS: Final = 10
MAX_FACT_CHARS: Final = 200
# A message holds 50 blocks; an alert needs three.
MAX_ALERTS: Final = 15


def slack_request(target: SlackTarget, message: Message) -> Request:
    """Make the request."""
    header = {"type": "plain_text", "text": cut(f"{message.worst.sign} {message.headline}", MAX_HEADER_CHARS)}
    blocks: list[dict[str, Any]] = [{"type": "header", "text": header}]
    for it in message.told[:MAX_ALERTS]:
        blocks += _blocks(message, it)
    if len(message.told) > MAX_ALERTS:
        blocks.append(_context(f"and {len(message.told) - MAX_ALERTS} more: {message.base_url}/alerts"))
    # The text is what notifications and screen readers show.
    return json_request(
        target.url.get_secret_value(), {"text": escape(message.headline), "blocks": blocks, "unfurl_links": False}
    )


def escape(text: str) -> str:
    """Text in which nothing is markup; Slack knows three signs."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _blocks(message: Message, it: Told) -> list[dict[str, Any]]:
    alert = it.alert
    sentence = cut(one_line(alert.message), MAX_SECTION_CHARS // 5)
    by = f" by {escape(one_line(it.acked_by))}" if it.acked_by else ""
    text = f"*{it.word}*{by} `{alert.rule}` ({it.severity})\n{it.still}{escape(sentence)}"
    section = {
        "type": "section",
        "text": {"type": "mrkdwn", "text": text},
        "accessory": {
            "type": "button",
            "text": {"type": "plain_text", "text": "Trace" if alert.trace_id else "Alerts"},
            "url": message.link(alert),
            "action_id": f"open-{alert.alert_id}"[:255],
        },
    }
    told = " · ".join(f"{name}: {cut(value, MAX_FACT_CHARS)}" for name, value in list(facts(alert))[:MAX_FACTS])
    return [section, _context(told), {"type": "divider"}]


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "plain_text", "text": cut(text, MAX_SECTION_CHARS)}]}
