"""What GET /v1/alerts answers.

Upstream: api/repositories/alerts.py.
Downstream: OpenAPI, the web UI, clients.
Guarantee: names and words are those of the table.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import Field

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

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Make it from a row of the view."""
        maps = {name: dict(row[name] or {}) for name in ("labels", "evidence")}
        return cls(**maps, **{name: row[name] for name in cls.model_fields if name not in maps})


class AlertPage(Answer):
    """One page of alerts, newest first."""

    items: list[AlertItem] = Field(description="Alerts of this page.")
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")
