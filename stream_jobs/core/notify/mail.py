"""A mail about alerts, as plain text.

Upstream: messages.
Downstream: ``stream_jobs.notify.smtp``.
Guarantee: the Message-ID follows from the message's id, so mail programs know a repeat; no text of an agent reaches a
header with a line break in it.
"""

from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from stream_jobs.contracts.channel import EmailTarget
from stream_jobs.core.notify.message import Message, Told, cut, facts, iso, one_line

MAX_SUBJECT_CHARS = 150


def write_mail(target: EmailTarget, message: Message) -> EmailMessage:
    """Write the mail."""
    mail = EmailMessage()
    mail["From"] = target.sender
    mail["To"] = ", ".join(target.to)
    mail["Subject"] = cut(one_line(message.headline), MAX_SUBJECT_CHARS)
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.made_at_us / 1e6, UTC))
    mail["Message-ID"] = f"<{message.message_id}@clawtrace.invalid>"
    # Keeps out-of-office answers from coming back.
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n\n".join(_part(message, it) for it in message.told) + f"\n\n-- \n{message.channel_name}\n")
    return mail


def _part(message: Message, it: Told) -> str:
    alert = it.alert
    by = f" by {one_line(it.acked_by)}" if it.acked_by else ""
    lines = [
        f"{it.word}{by}: {alert.rule} ({it.severity}), {iso(alert.at_us)}",
        it.still + one_line(alert.message),
        message.link(alert),
        *(f"  {name}: {value}" for name, value in facts(alert)),
    ]
    return "\n".join(lines)
