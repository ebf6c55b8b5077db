"""What the routes of alerts take and answer.

Upstream: api/repositories/alerts.py and alert_marks.py.
Downstream: OpenAPI, the web UI, clients.
Guarantee: names and words are those of the table.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from api.repositories.alert_marks import AlertMark
from api.schemas.common import Answer
from stream_jobs.contracts.alert import AlertSeverity, AlertState


class AlertItem(Answer):
    """One alert with its newest state."""

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

    is_acked: bool = Field(description="Whether somebody saw to it since it last changed its state.")
    acked_at: datetime | None = Field(description="When somebody last saw to it (UTC).")
    acked_by: str | None = Field(description="Who that was.")
    ack_note: str | None = Field(description="What he or she said about it.")
    snoozed_until: datetime | None = Field(description="It is to be quiet until then (UTC).")
    snoozed_by: str | None = Field(description="Who said so.")

    @classmethod
    def from_row(cls, row: Mapping[str, Any], mark: AlertMark | None = None) -> Self:
        """Make it from a row of the view and what people said about it."""
        said = mark or AlertMark(row["alert_id"])
        marks = {name: getattr(said, name) for name in AlertMark.__dataclass_fields__ if name != "alert_id"}
        maps = {name: dict(row[name] or {}) for name in ("labels", "evidence")}
        made = {**marks, **maps, "is_acked": said.acked_at is not None and said.acked_at >= row["at"]}
        return cls(**made, **{name: row[name] for name in cls.model_fields if name not in made})


class AlertPage(Answer):
    """One page of alerts, newest first."""

    items: list[AlertItem] = Field(description="Alerts of this page.")
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")


class AckRequest(BaseModel):
    """Somebody sees to an alert."""

    model_config = ConfigDict(extra="forbid")

    note: str | None = Field(
        None, max_length=2_000, pattern=r"^[^\x00]*$", description="What is done about it, for the others."
    )


class SnoozeRequest(BaseModel):
    """An alert is to be quiet for a while."""

    model_config = ConfigDict(extra="forbid")

    minutes: int = Field(ge=1, le=60 * 24 * 30, description="For how long from now.", examples=[60])
