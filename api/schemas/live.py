"""What the events of GET /v1/live carry as data.

Upstream: api/live.
Downstream: the web UI, clients.
Guarantee: names and words are those of the other answers; no payloads.
"""

from datetime import date, datetime

from pydantic import Field

from api.kit.instants import from_us
from api.live.records import LiveItem
from api.live.rows import row_of
from api.schemas.common import Answer
from api.schemas.traces import SpanSummary, TraceSummary
from producers.contracts.guard import GuardAction, GuardMessage, GuardScope, Verdict
from stream_jobs.contracts.alert import Alert, AlertSeverity, AlertState
from stream_jobs.contracts.span import Span
from stream_jobs.contracts.trace import Trace


class LiveSpan(SpanSummary):
    """Event ``span``: a span that began or changed, whole."""

    trace_id: str = Field(description="The trace.")
    agent_id: str = Field(description="The OpenClaw install.")
    trace_date: date = Field(description="Day the trace was first seen.")


class LiveAlert(Answer):
    """Event ``alert``: an alert that changed its state."""

    alert_id: str = Field(description="The same rule about the same thing is the same alert.")
    rule: str = Field(description="The rule that fired.")
    severity: AlertSeverity = Field(description="info, warning or critical.")
    state: AlertState = Field(description="ok, warn, alert or no_data.")
    message: str = Field(description="One plain sentence.")
    at: datetime = Field(description="When the event that changed the state happened (UTC).")
    agent_id: str = Field(description="The OpenClaw install.")
    trace_id: str | None = Field(description="The trace.")
    span_id: str | None = Field(description="The span to look at.")
    labels: dict[str, str] = Field(description="What it is about: session_key, run_id, model and so on.")
    evidence: dict[str, str] = Field(description="The numbers that prove it, as decimal text.")


class LiveVerdict(Answer):
    """Event ``verdict``: an agent was told what it must do."""

    verdict_id: str = Field(description="The verdict.")
    agent_id: str = Field(description="The OpenClaw install that it is for.")
    scope: GuardScope = Field(description="run, session, agent or tenant.")
    scope_id: str = Field(description="Which one.")
    action: GuardAction = Field(description="note, block, ask, abort or release.")
    reason: str = Field(description="Plain sentence.")
    alert_id: str | None = Field(description="The alert that led to it.")
    issued_at: datetime = Field(description="When it was decided (UTC).")
    expires_at: datetime = Field(description="When it lapses by itself (UTC).")


class Missed(Answer):
    """Event ``missed``: events that were passed over, because the reader was too slow or away for too long."""

    num: int | None = Field(description="How many; null when nobody knows.")
    from_at: datetime | None = Field(serialization_alias="from", description="When the first came; null when unknown.")
    to_at: datetime | None = Field(serialization_alias="to", description="When the last came; null when unknown.")


def event_data(item: LiveItem) -> bytes:
    """Return the data of an item's event, as JSON."""
    value = item.value()
    match value:
        case Span():
            row = row_of(value)
            place = {name: row[name] for name in ("trace_id", "agent_id", "trace_date")}
            answer: Answer = LiveSpan(**dict(SpanSummary.from_row(row)), **place)
        case Trace():
            answer = TraceSummary.from_row(row_of(value))
        case Alert():
            row = row_of(value)
            answer = LiveAlert(**{name: row[name] for name in LiveAlert.model_fields})
        case GuardMessage():
            answer = _verdict(value)
    return answer.model_dump_json().encode()


def _verdict(message: GuardMessage) -> LiveVerdict:
    body = message.body
    assert isinstance(body, Verdict), "allowances are no events"
    return LiveVerdict(
        verdict_id=body.verdict_id,
        agent_id=message.agent_id,
        scope=body.scope,
        scope_id=body.scope_id,
        action=body.action,
        reason=body.reason,
        alert_id=body.alert_id,
        issued_at=from_us(message.issued_at_us),
        expires_at=from_us(body.expires_at_us),
    )
