"""A message for a Discord webhook.

Upstream: messages.
Downstream: Discord.
Guarantee: nobody is called by what an agent wrote (no mention is parsed); what Discord would refuse as too long is cut.
"""

import re
from typing import Any, Final

from stream_jobs.contracts.channel import DiscordTarget
from stream_jobs.core.notify.message import Message, Request, Told, cut, facts, iso, json_request, one_line

MAX_EMBEDS: Final = 10
MAX_CONTENT_CHARS: Final = 2_000
MAX_TITLE_CHARS: Final = 250
MAX_VALUE_CHARS: Final = 100
MAX_FIELDS: Final = 8
# All embeds of a message together: 6,000 characters.
MAX_SENTENCE_CHARS: Final = 300
MAX_CHARS: Final = 5_500
_COLOURS: Final = {"ok": 0x2ECC71, "warn": 0xF1C40F, "alert": 0xE74C3C, "no_data": 0x95A5A6}
_MARKUP = re.compile(r"([\\*_~`|>#\[\]()<:@-])")


def discord_request(target: DiscordTarget, message: Message) -> Request:
    """Make the request."""
    embeds: list[dict[str, Any]] = []
    num_chars = 0
    for it in message.told[:MAX_EMBEDS]:
        embed = _embed(message, it)
        num_chars += _num_chars(embed)
        if num_chars > MAX_CHARS:
            break
        embeds.append(embed)
    left = len(message.told) - len(embeds)
    more = f" (and {left} more: {message.base_url}/alerts)" if left else ""
    content = cut(f"{message.worst.sign} {escape(message.headline)}", MAX_CONTENT_CHARS - len(more)) + more
    body = {"content": content, "embeds": embeds, "allowed_mentions": {"parse": []}}
    return json_request(target.url.get_secret_value(), body)


def escape(text: str) -> str:
    """Text in which nothing is markup."""
    return _MARKUP.sub(r"\\\1", text)


def _embed(message: Message, it: Told) -> dict[str, Any]:
    alert = it.alert
    by = f" by {one_line(it.acked_by)}" if it.acked_by else ""
    return {
        "title": cut(escape(f"{it.word}{by}: {alert.rule} ({it.severity})"), MAX_TITLE_CHARS),
        "description": it.still + escape(cut(one_line(alert.message), MAX_SENTENCE_CHARS)),
        "url": message.link(alert),
        "color": _COLOURS[alert.state],
        "timestamp": iso(alert.at_us),
        "fields": [
            {"name": cut(escape(name), MAX_VALUE_CHARS), "value": escape(cut(value, MAX_VALUE_CHARS)) or "-"}
            | {"inline": True}
            for name, value in list(facts(alert))[:MAX_FIELDS]
        ],
    }


def _num_chars(embed: dict[str, Any]) -> int:
    fields = sum(len(field["name"]) + len(field["value"]) for field in embed["fields"])
    return len(embed["title"]) + len(embed["description"]) + fields
