"""A message of a Telegram bot.

Upstream: messages.
Downstream: the Bot API, sendMessage.
Guarantee: text of agents is escaped; a message that would be too long names fewer alerts, never a cut tag.
"""

from html import escape
from typing import Final

from stream_jobs.contracts.channel import TelegramTarget
from stream_jobs.core.notify.message import Message, Request, Told, cut, facts, json_request, one_line

# Telegram's limit is 4,096 after entities are parsed; a tag and an escape only make ours longer.
MAX_CHARS: Final = 4_000
MAX_SENTENCE_CHARS: Final = 400
MAX_FACTS: Final = 8
MAX_FACT_CHARS: Final = 80


def telegram_request(target: TelegramTarget, message: Message) -> Request:
    """Make the request."""
    text = f"{message.worst.sign} <b>{escape(cut(message.headline, MAX_SENTENCE_CHARS))}</b>"
    num_left = len(message.told)
    for it in message.told:
        part = "\n\n" + _part(message, it)
        if len(text) + len(part) > MAX_CHARS:
            text += f"\n\nand {num_left} more"
            break
        text += part
        num_left -= 1
    url = f"{target.url.rstrip('/')}/bot{target.bot_token.get_secret_value()}/sendMessage"
    body = {
        "chat_id": target.chat_id,
        "text": text,
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
    }
    return json_request(url, body)


def _part(message: Message, it: Told) -> str:
    alert = it.alert
    by = f" by {escape(one_line(it.acked_by))}" if it.acked_by else ""
    told = " · ".join(
        f"{escape(name)}: {escape(cut(value, MAX_FACT_CHARS))}" for name, value in list(facts(alert))[:MAX_FACTS]
    )
    sentence = escape(cut(one_line(alert.message), MAX_SENTENCE_CHARS))
    link = f'<a href="{escape(message.link(alert))}">{"Trace" if alert.trace_id else "Alerts"}</a>'
    return f"<b>{it.word}</b>{by} <code>{alert.rule}</code> ({it.severity})\n{it.still}{sentence}\n{told}\n{link}"
