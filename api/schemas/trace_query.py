"""What GET /v1/traces takes.

Upstream: the query of the request, or the filters in a cursor.
Downstream: api/routers/traces.py; OpenAPI.
Guarantee: a parameter that nobody knows is a 422 and not silently ignored.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.repositories.trace_filter import TraceFilter, TraceSort
from stream_jobs.contracts.trace import TraceCategory, TraceStatus

_MAX_TOKENS = 10**15
_MAX_MS = 10**14

Dollars = Annotated[Decimal, Field(ge=0, le=10**9, max_digits=21, decimal_places=12)]
Word = Annotated[str, Field(min_length=1, max_length=256)]


class TraceConditions(BaseModel):
    """Conditions that all must hold."""

    model_config = ConfigDict(extra="forbid")

    agent_id: Annotated[str, Field(max_length=64)] | None = Field(None, description="Only of this OpenClaw install.")
    openclaw_agent_id: Word | None = Field(None, description="Only of this agent inside the install.")
    session_key: Word | None = Field(None, description="Only of this session.")
    category: TraceCategory | None = Field(None, description="work, heartbeat or memory.")
    status: TraceStatus | None = Field(None, description="running, ok, error, blocked or incomplete.")
    min_cost_usd: Dollars | None = Field(None, description="Least cost in dollars; unpriced traces are left out.")
    max_cost_usd: Dollars | None = Field(None, description="Most cost in dollars; unpriced traces are left out.")
    min_tokens: int | None = Field(None, ge=0, le=_MAX_TOKENS, description="Least tokens of all four kinds.")
    max_tokens: int | None = Field(None, ge=0, le=_MAX_TOKENS, description="Most tokens of all four kinds.")
    min_duration_ms: int | None = Field(None, ge=0, le=_MAX_MS, description="Least duration; ended traces only.")
    max_duration_ms: int | None = Field(None, ge=0, le=_MAX_MS, description="Most duration; ended traces only.")
    model: Word | None = Field(None, description="Some call was of this model, with or without its provider/.")
    tool: Word | None = Field(None, description="Some call was of this tool.")
    has_error: bool | None = Field(None, description="Whether any span ended in error.")
    text: Word | None = Field(None, description="In the name or in the error of a span, in any case.")

    label: Annotated[str, Field(min_length=3, max_length=193)] | None = Field(
        None, description="Only with this label, as key:value; for example skill:3f2a91c07be4."
    )

    def as_filter(self) -> TraceFilter:
        """The same for the repository."""
        return TraceFilter(**{name: getattr(self, name) for name in TraceConditions.model_fields})


class TraceQuery(TraceConditions):
    """Window, conditions, order and page of a list of traces."""

    from_at: datetime | None = Field(
        None, alias="from", description="Start of the window (ISO 8601, UTC when it says no zone), included."
    )
    to_at: datetime | None = Field(
        None, alias="to", description="End of the window (ISO 8601, UTC when it says no zone), not included."
    )
    sort: TraceSort = Field("-started_at", description="Order; - is downwards. What has no value comes last.")
    cursor: str | None = Field(
        None,
        max_length=8192,
        description="`next_cursor` of the page before; other parameters but `limit` are then ignored.",
    )
    limit: int = Field(50, ge=1, le=200, description="Traces per page.")
