"""The trace: the roll-up of one tree of runs.

Upstream: ``stream_jobs.core``.
Downstream: topic ``clawtrace.traces.v1``, table ``silver.traces``.
Guarantee: sums are over model calls, each counted once; sent again, whole, each time it changes.
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

TraceCategory = Literal["work", "heartbeat", "memory"]
TraceStatus = Literal["running", "ok", "error", "blocked", "incomplete"]


class Trace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One revision of the roll-up of one trace."""

    tenant_id: Annotated[str, Meta(description="Who pays and sees.")]
    agent_id: Annotated[str, Meta(description="The OpenClaw install.")]
    trace_id: Annotated[str, Meta(description="The trace.")]
    trace_date: Annotated[str, Meta(description="Day the trace was first seen (YYYY-MM-DD); part of the key.")]
    root_span_id: Annotated[str | None, Meta(description="The root run's span, once known.")] = None
    name: Annotated[str, Meta(description="Short name: the first words the agent was asked.")]
    category: Annotated[TraceCategory, Meta(description="work, heartbeat or memory.")]
    status: Annotated[TraceStatus, Meta(description="running while any run is open, else the root run's status.")]
    session_key: Annotated[str | None, Meta(description="Session of the root run.")] = None
    openclaw_agent_id: Annotated[str | None, Meta(description="Agent of the root run.")] = None
    started_at_us: Annotated[int, Meta(description="Start of the first span (UTC, microseconds).")]
    ended_at_us: Annotated[int | None, Meta(description="End of the last span; NULL while it runs.")] = None
    duration_ms: Annotated[int | None, Meta(description="End - start.")] = None
    num_spans: Annotated[int, Meta(description="Spans seen so far.")] = 0
    num_runs: Annotated[int, Meta(description="Runs, sub-agents and announcements included.")] = 0
    num_model_calls: Annotated[int, Meta(description="Model calls, failed ones included.")] = 0
    num_tool_calls: Annotated[int, Meta(description="Distinct tool calls.")] = 0
    num_errors: Annotated[int, Meta(description="Spans that ended in error.")] = 0
    num_unpriced_calls: Annotated[int, Meta(description="Model calls with tokens and without a price.")] = 0
    models: Annotated[list[str], Meta(description="provider/model of its calls, sorted.")] = []
    input_tokens: Annotated[int, Meta(description="Fresh prompt tokens.")] = 0
    cache_read_tokens: Annotated[int, Meta(description="Prompt tokens read from the cache.")] = 0
    cache_write_tokens: Annotated[int, Meta(description="Prompt tokens written to the cache.")] = 0
    output_tokens: Annotated[int, Meta(description="Output tokens.")] = 0
    cost_usd: Annotated[Decimal | None, Meta(description="Dollars of the priced calls; NULL when none was priced.")] = (
        None
    )
    reported_cost_usd: Annotated[Decimal | None, Meta(description="OpenClaw's own estimate.")] = None
    has_error: Annotated[bool, Meta(description="Whether any span ended in error.")] = False
    is_open: Annotated[bool, Meta(description="Whether any run has not ended.")] = True
    labels: Annotated[
        dict[str, str],
        Meta(description="Short words to compare runs by: skill, skill:<name>, config, model, and the user's own."),
    ] = {}
    rev: Annotated[int, Meta(description="Offset of the source record this revision comes from; newest wins.")]


class TraceBatch(msgspec.Struct, frozen=True, kw_only=True):
    """One record of ``clawtrace.traces.v1``: all traces that one source record changed."""

    schema_version: Annotated[int, Meta(description="Major version of this contract.")] = 1
    tenant_id: Annotated[str, Meta(description="Who pays and sees.")]
    agent_id: Annotated[str, Meta(description="The OpenClaw install.")]
    rev: Annotated[int, Meta(description="Offset of the source record; readers drop what is not above their mark.")]
    part: Annotated[int, Meta(description="Number of this part, when one record could not hold all.")] = 0
    traces: Annotated[list[Trace], Meta(description="Whole new revisions.")]
