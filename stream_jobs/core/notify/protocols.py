"""From a message to the request of its channel's protocol.

Upstream: messages.
Downstream: ``stream_jobs.notify.deliver``.
Guarantee: every kind of channel that speaks HTTP is here.
"""

from stream_jobs.contracts.channel import (
    AlertmanagerTarget,
    DiscordTarget,
    PagerDutyTarget,
    SlackTarget,
    TelegramTarget,
    WebhookTarget,
)
from stream_jobs.core.notify.alertmanager import alertmanager_request
from stream_jobs.core.notify.discord import discord_request
from stream_jobs.core.notify.message import Message, Request
from stream_jobs.core.notify.pagerduty import pagerduty_request
from stream_jobs.core.notify.slack import slack_request
from stream_jobs.core.notify.telegram import telegram_request
from stream_jobs.core.notify.webhook import webhook_request

HttpTarget = WebhookTarget | SlackTarget | PagerDutyTarget | DiscordTarget | TelegramTarget | AlertmanagerTarget


def request_of(target: HttpTarget, message: Message, now_us: int) -> Request:
    """Write a message in the words of its protocol; ``now_us`` is the time of this try."""
    match target:
        case WebhookTarget():
            return webhook_request(target, message, now_us)
        case AlertmanagerTarget():
            return alertmanager_request(target, message, now_us)
        case PagerDutyTarget():
            return pagerduty_request(target, message)
        case SlackTarget():
            return slack_request(target, message)
        case DiscordTarget():
            return discord_request(target, message)
        case TelegramTarget():
            return telegram_request(target, message)
