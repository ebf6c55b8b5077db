"""One message to one channel, before it is written in the words of its protocol.

Upstream: ``plan``; stored beside the messages.
Downstream: the bodies (``webhook``, ``slack``, ``mail``, ``pagerduty``, ``discord``, ``telegram``, ``alertmanager``).
Guarantee: all that a body says follows from here (and, where a protocol wants it, from the time of the try), so a
message that is sent again says the same under the same id.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from stream_jobs.contracts.alert import Alert, AlertSeverity
from stream_jobs.contracts.channel import SEVERITY_RANK

ToldAs = Literal["change", "repeat", "ack"]

_SIGNS: Final = {"ok": "✅", "warn": "⚠️", "alert": "🚨", "no_data": "❔"}
_WORDS: Final = {"ok": "OK", "warn": "WARN", "alert": "ALERT", "no_data": "NO DATA"}
_STATE_RANK: Final = {"ok": 0, "no_data": 1, "warn": 2, "alert": 3}


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One alert as a channel is told of it."""

    alert: Alert
    # Of a recovery: what the alert had when it lasted. Labels that identify it must not change at its end.
    severity: AlertSeverity
    started_at_us: int
    told_as: ToldAs = "change"
    acked_by: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it recovered."""
        return self.alert.state == "ok"

    @property
    def word(self) -> str:
        """Its state for people."""
        return "ACKNOWLEDGED" if self.told_as == "ack" else _WORDS[self.alert.state]

    @property
    def sign(self) -> str:
        """Its state as one sign."""
        return _SIGNS[self.alert.state]

    @property
    def still(self) -> str:
        """What a repeat says before its sentence."""
        return "Still so: " if self.told_as == "repeat" else ""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts that are told together; each alert is in it once."""

    message_id: str
    tenant_id: str
    channel_name: str
    group_key: str
    made_at_us: int
    base_url: str
    told: tuple[Told, ...]

    @property
    def worst(self) -> Told:
        """The one that a headline is about."""
        return max(self.told, key=lambda it: (_STATE_RANK[it.alert.state], SEVERITY_RANK[it.severity]))

    @property
    def headline(self) -> str:
        """One line: state, rule, agent, and how many more."""
        worst = self.worst
        more = f" and {len(self.told) - 1} more" if len(self.told) > 1 else ""
        return one_line(f"[{worst.word}] {worst.alert.rule} on {worst.alert.agent_id}{more}")

    def link(self, alert: Alert) -> str:
        """Where to look: the span in its trace, or all alerts when it has no trace."""
        if not alert.trace_id:
            return f"{self.base_url}/alerts"
        span = f"?span={quote(alert.span_id, safe='')}" if alert.span_id else ""
        return f"{self.base_url}/traces/{quote(alert.trace_id, safe='')}{span}"


class Request(msgspec.Struct, frozen=True):
    """What is to be posted; all of it may be secret."""

    url: str
    headers: dict[str, str]
    body: bytes


def json_request(url: str, body: object, headers: dict[str, str] | None = None) -> Request:
    """Make a request with a JSON body."""
    return Request(url, {"content-type": "application/json", **(headers or {})}, msgspec.json.encode(body))


def iso(at_us: int) -> str:
    """An instant as RFC 3339 with milliseconds."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def one_line(text: str) -> str:
    """Text without line breaks and other control characters, which could start something new in a protocol."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def cut(text: str, num_chars: int) -> str:
    """Text of at most this many characters."""
    return text if len(text) <= num_chars else text[: num_chars - 1] + "…"


def facts(alert: Alert) -> Iterable[tuple[str, str]]:
    """What it is about and the numbers that prove it, as names and values for people."""
    yield "agent", one_line(alert.agent_id)
    for name, value in (*alert.labels.items(), *alert.evidence.items()):
        if name != "agent_id":
            yield one_line(name), one_line(value)
