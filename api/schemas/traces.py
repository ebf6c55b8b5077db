"""What GET /v1/traces and its children answer.

Upstream: api/repositories/traces.py and spans.py.
Downstream: OpenAPI, the web UI, clients.
Guarantee: names and words are those of the tables; lists carry no payloads.
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Self

from pydantic import Field

from api.schemas.common import Answer, Tokens, Usd, tokens_of
from stream_jobs.contracts.span import SpanKind, SpanStatus
from stream_jobs.contracts.trace import TraceCategory, TraceStatus


class TraceSummary(Answer):
    """One trace: a run with all its sub-agents."""

    trace_id: str = Field(description="The trace.")
    agent_id: str = Field(description="The OpenClaw install.")
    name: str = Field(description="Short name: the first words the agent was asked.")
    category: TraceCategory = Field(description="work, heartbeat or memory.")
    status: TraceStatus = Field(description="running while any run is open, else the root run's status.")
    started_at: datetime = Field(description="Start of the first span (UTC).")
    ended_at: datetime | None = Field(description="End of the last span; null while it runs.")
    duration_ms: int | None = Field(description="End - start.")
    trace_date: date = Field(description="Day the trace was first seen; the partition to name in SQL.")
    root_span_id: str | None = Field(description="The root run's span, once known.")
    session_key: str | None = Field(description="Session of the root run.")
    openclaw_agent_id: str | None = Field(description="Agent of the root run.")
    num_spans: int = Field(description="Spans seen so far.")
    num_runs: int = Field(description="Runs, sub-agents included.")
    num_model_calls: int = Field(description="Model calls, failed ones included.")
    num_tool_calls: int = Field(description="Distinct tool calls.")
    num_errors: int = Field(description="Spans that ended in error.")
    num_unpriced_calls: int = Field(description="Model calls with tokens and without a price.")
    models: list[str] = Field(description="provider/model of its calls.")
    tokens: Tokens = Field(description="Sums over all model calls, each counted once.")
    cost_usd: Usd
    reported_cost_usd: Usd
    has_error: bool = Field(description="Whether any span ended in error.")
    is_open: bool = Field(description="Whether any run has not ended.")
    labels: dict[str, str] = Field(
        description="Short words to compare runs by: skill, skill:<name>, config, model, and the user's own."
    )

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Make it from a row of the view."""
        tokens = tokens_of(row) or Tokens(input=0, cache_read=0, cache_write=0, output=0)
        plain = {name: row[name] for name in cls.model_fields if name not in ("tokens", "labels")}
        # NULL in rows of an older release.
        return cls(tokens=tokens, labels=row["labels"] or {}, **plain)


class TracePage(Answer):
    """One page of traces, newest first."""

    items: list[TraceSummary] = Field(description="Traces of this page.")
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")


class RunTotals(Answer):
    """Sums over the model calls of one run, without its sub-agents. Never add them to the calls' own numbers."""

    tokens: Tokens | None = Field(description="Tokens of its calls.")
    cost_usd: Usd


class SpanSummary(Answer):
    """One span of a trace, without payloads."""

    span_id: str = Field(description="The span.")
    parent_span_id: str | None = Field(description="The enclosing span; null at the root.")
    kind: SpanKind = Field(description="run, attempt, model_call, tool_call, compaction or guard.")
    name: str = Field(description="Operation and what it is about.")
    status: SpanStatus = Field(description="running, ok, error, blocked or incomplete.")
    started_at: datetime = Field(description="Start (UTC).")
    ended_at: datetime | None = Field(description="End (UTC); null while it runs.")
    duration_ms: int | None = Field(description="Duration.")
    tokens: Tokens | None = Field(description="Tokens spent by this very span; null for spans that spend none.")
    cost_usd: Usd
    error: str | None = Field(description="What went wrong, in the words of the source.")
    operation_name: str = Field(description="OTel GenAI word: invoke_agent, chat, execute_tool.")
    path: list[str] = Field(description="Ids of all ancestors, the root first.")
    depth: int = Field(description="Number of known ancestors.")
    run_id: str | None = Field(description="OpenClaw's run id.")
    session_key: str | None = Field(description="OpenClaw's session key.")
    openclaw_agent_id: str | None = Field(description="The agent inside the OpenClaw install.")
    attempt: int | None = Field(description="Attempt of the run that a model call belongs to, from 1.")
    provider: str | None = Field(description="Model provider.")
    model: str | None = Field(description="Model.")
    tool_name: str | None = Field(description="Tool, for tool calls.")
    tool_call_id: str | None = Field(description="OpenClaw's tool call id.")
    exit_code: int | None = Field(description="Exit code of a command.")
    reasoning_tokens: int | None = Field(description="Of the output tokens, the reasoning.")
    cache_write_1h_tokens: int | None = Field(description="Of the cache writes, those to be kept for an hour.")
    usage_source: str | None = Field(description="Where the tokens come from: message, diagnostic or remainder.")
    price_id: str | None = Field(description="Which price was used.")
    reported_cost_usd: Usd
    run_totals: RunTotals | None = Field(description="On runs: sums over their own model calls.")
    payload_ref: str | None = Field(description="SHA-256 of a payload that is stored apart.")
    flags: list[str] = Field(description="Marks such as redundant or orphan.")

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Make it from a row of the view."""
        made = {"tokens", "run_totals"}
        return cls(
            tokens=tokens_of(row),
            run_totals=_run_totals(row),
            **{name: row[name] for name in cls.model_fields if name not in made},
        )


class SpanDetail(SpanSummary):
    """One span. Payloads are there when they were asked for, as the stretch that was asked for."""

    input: str | None = Field(None, description="What went in: a stretch of its JSON text; null when not asked for.")
    input_chars: int | None = Field(None, description="Characters of the whole input; null when there is none.")
    output: str | None = Field(None, description="What came out: a stretch of its JSON text; null when not asked for.")
    output_chars: int | None = Field(None, description="Characters of the whole output; null when there is none.")
    next_offset: int | None = Field(None, description="`offset` of the next stretch; null when both are whole.")


class TraceDetail(Answer):
    """One trace with its spans."""

    trace: TraceSummary
    spans: list[SpanSummary] = Field(description="Spans in the order they started.")
    truncated: bool = Field(description="Whether there are more spans than are returned; read those with SQL.")


def _run_totals(row: Mapping[str, Any]) -> RunTotals | None:
    tokens = tokens_of(row, "run_")
    cost: Decimal | None = row["run_cost_usd"]
    if row["kind"] != "run" or (tokens is None and cost is None):
        return None
    return RunTotals(tokens=tokens, cost_usd=cost)
