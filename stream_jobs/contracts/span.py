"""The span: one interval of a run, with its parent, tokens and cost.

Upstream: ``stream_jobs.core`` makes it from events.
Downstream: topic ``clawtrace.spans.v1``, table ``silver.spans``, the live view.
Guarantee: a span is sent again, whole, each time it changes; ``rev`` grows and the newest wins.
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

SpanKind = Literal["run", "attempt", "model_call", "tool_call", "compaction", "guard"]
SpanStatus = Literal["running", "ok", "error", "blocked", "incomplete"]


class Span(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One revision of one span."""

    tenant_id: Annotated[str, Meta(description="Who pays and sees.")]
    agent_id: Annotated[str, Meta(description="The OpenClaw install.")]
    trace_id: Annotated[str, Meta(description="The trace: OpenClaw's W3C trace id, or derived from the run id.")]
    span_id: Annotated[str, Meta(description="OpenClaw's span id, or derived from trace, kind and OpenClaw's id.")]
    parent_span_id: Annotated[str | None, Meta(description="The enclosing span; NULL at the root.")] = None
    path: Annotated[list[str], Meta(description="Ids of all ancestors, the root first.")] = []
    depth: Annotated[int, Meta(description="Number of known ancestors.")] = 0
    kind: Annotated[SpanKind, Meta(description="run, attempt, model_call, tool_call, compaction or guard.")]
    operation_name: Annotated[str, Meta(description="OTel GenAI word: invoke_agent, chat, execute_tool.")]
    name: Annotated[str, Meta(description="Operation and what it is about, as in OTel: 'execute_tool exec'.")]
    status: Annotated[SpanStatus, Meta(description="running, ok, error, blocked or incomplete.")]
    error: Annotated[str | None, Meta(description="What went wrong, in the words of the source.")] = None
    trace_date: Annotated[str, Meta(description="Day the trace was first seen (YYYY-MM-DD); part of the key.")]
    started_at_us: Annotated[int, Meta(description="Start (UTC, microseconds).")]
    ended_at_us: Annotated[int | None, Meta(description="End (UTC, microseconds); NULL while it runs.")] = None
    duration_ms: Annotated[int | None, Meta(description="Duration as measured by OpenClaw, else end - start.")] = None
    run_id: Annotated[str | None, Meta(description="OpenClaw's run id.")] = None
    session_key: Annotated[str | None, Meta(description="OpenClaw's session key.")] = None
    openclaw_agent_id: Annotated[str | None, Meta(description="The agent inside the OpenClaw install.")] = None
    attempt: Annotated[int | None, Meta(description="Attempt of the run that a model call belongs to, from 1.")] = None
    provider: Annotated[str | None, Meta(description="Model provider.")] = None
    model: Annotated[str | None, Meta(description="Model.")] = None
    tool_name: Annotated[str | None, Meta(description="Tool, for tool calls.")] = None
    tool_call_id: Annotated[str | None, Meta(description="OpenClaw's tool call id.")] = None
    exit_code: Annotated[int | None, Meta(description="Exit code of a command; not zero is shown, not an error.")] = (
        None
    )
    input_tokens: Annotated[int | None, Meta(description="Fresh prompt tokens; only where they were spent.")] = None
    cache_read_tokens: Annotated[int | None, Meta(description="Prompt tokens read from the cache.")] = None
    cache_write_tokens: Annotated[int | None, Meta(description="Prompt tokens written to the cache.")] = None
    cache_write_1h_tokens: Annotated[
        int | None, Meta(description="Of the prompt tokens written to the cache, those kept for an hour.")
    ] = None
    output_tokens: Annotated[int | None, Meta(description="Output tokens, reasoning included.")] = None
    reasoning_tokens: Annotated[int | None, Meta(description="Of the output, the reasoning.")] = None
    usage_source: Annotated[
        Literal["message", "diagnostic", "remainder"] | None,
        Meta(description="Source of the tokens: message, diagnostic event, or the run's total minus the rest."),
    ] = None
    cost_usd: Annotated[Decimal | None, Meta(description="Dollars; NULL when unpriced, never 0 for that.")] = None
    price_id: Annotated[str | None, Meta(description="Which price was used: source, version and model.")] = None
    reported_cost_usd: Annotated[Decimal | None, Meta(description="OpenClaw's own estimate.")] = None
    run_input_tokens: Annotated[int | None, Meta(description="Of a run: fresh prompt tokens of its own calls.")] = None
    run_cache_read_tokens: Annotated[int | None, Meta(description="Of a run: tokens read from the cache.")] = None
    run_cache_write_tokens: Annotated[int | None, Meta(description="Of a run: tokens written to the cache.")] = None
    run_output_tokens: Annotated[int | None, Meta(description="Of a run: output tokens of its own calls.")] = None
    run_cost_usd: Annotated[
        Decimal | None, Meta(description="Of a run: dollars of its own calls, without sub-agents.")
    ] = None
    input: Annotated[str | None, Meta(description="What went in, as JSON text.")] = None
    output: Annotated[str | None, Meta(description="What came out, as JSON text.")] = None
    payload_ref: Annotated[str | None, Meta(description="SHA-256 of a payload that is stored apart.")] = None
    flags: Annotated[list[str], Meta(description="Marks such as redundant or orphan.")] = []
    link_rev: Annotated[int, Meta(description="Revision at which the parent was last set.")]
    rev: Annotated[int, Meta(description="Offset of the source record this revision comes from; newest wins.")]


class SpanBatch(msgspec.Struct, frozen=True, kw_only=True):
    """One record of ``clawtrace.spans.v1``: all spans that one source record changed (or a part of them)."""

    schema_version: Annotated[int, Meta(description="Major version of this contract.")] = 1
    tenant_id: Annotated[str, Meta(description="Who pays and sees.")]
    agent_id: Annotated[str, Meta(description="The OpenClaw install.")]
    rev: Annotated[int, Meta(description="Offset of the source record; readers drop what is not above their mark.")]
    part: Annotated[int, Meta(description="Number of this part, when one record could not hold all.")] = 0
    spans: Annotated[list[Span], Meta(description="Whole new revisions.")]
