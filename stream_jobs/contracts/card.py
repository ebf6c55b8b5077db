"""The TraceCard: what one finished run cost and why, small enough for a prompt.

Upstream: ``stream_jobs.core`` at the close of a trace.
Downstream: topic ``clawtrace.cards.v1``, table ``silver.cards``.
Guarantee: every number in it can be found again in the spans it names.
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

RoleHint = Literal["final_reply", "plan_then_tool", "tool_call", "thinking_only", "other"]


class CostSpan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of the dearest spans."""

    span_id: Annotated[str, Meta(description="The span.")]
    role_hint: Annotated[RoleHint, Meta(description="What the call was for, as far as can be told.")]
    name: Annotated[str, Meta(description="The model.")] = ""
    cost_usd: Annotated[Decimal | None, Meta(description="Dollars; NULL when unpriced.")] = None


class RedundantToolCalls(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Calls of one tool that are nearly the same."""

    tool_name: Annotated[str, Meta(description="The tool.")]
    count: Annotated[int, Meta(description="How many near-duplicate calls.", ge=2)]
    span_ids: Annotated[list[str], Meta(description="The calls.")] = []


class SubAgent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One sub-agent of the run."""

    span_id: Annotated[str, Meta(description="The sub-agent's run.")]
    name: Annotated[str, Meta(description="Its label, as the requester gave it.")] = ""
    status: Annotated[str, Meta(description="How its run ended.")] = ""
    cost_usd: Annotated[Decimal | None, Meta(description="Dollars with its own sub-agents.")] = None
    output_used_in_final: Annotated[
        float | None, Meta(description="Overlap of its words with the final reply, 0 to 1.")
    ] = None


class PathStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One span that the duration of the trace hung on."""

    span_id: Annotated[str, Meta(description="The span.")]
    name: Annotated[str, Meta(description="Model, tool, or what the run is for.")] = ""
    self_ms: Annotated[int, Meta(description="Milliseconds of the path in it, without the steps within it.")] = 0


class RereadItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one tool result has cost in the later calls of its run."""

    span_id: Annotated[str, Meta(description="The tool call.")]
    tool_name: Annotated[str, Meta(description="The tool.")] = ""
    num_tokens: Annotated[int, Meta(description="Tokens of the result: a quarter of its bytes.")] = 0
    num_calls: Annotated[int, Meta(description="Model calls that read it.")] = 0
    cost_usd: Annotated[Decimal | None, Meta(description="Dollars, at the prices those calls paid for input.")] = None


class Card(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One revision of the card of one trace."""

    tenant_id: Annotated[str, Meta(description="Who pays and sees.")]
    agent_id: Annotated[str, Meta(description="The OpenClaw install.")]
    trace_id: Annotated[str, Meta(description="The trace.")]
    trace_date: Annotated[str, Meta(description="Day the trace was first seen (YYYY-MM-DD).")]
    task_id: Annotated[str, Meta(description="What the run was about: session key without its random part.")]
    models: Annotated[list[str], Meta(description="provider/model of its calls.")] = []
    total_cost_usd: Annotated[Decimal | None, Meta(description="Dollars; NULL when nothing was priced.")] = None
    input_tokens: Annotated[int, Meta(description="Fresh prompt tokens.")] = 0
    cache_read_tokens: Annotated[int, Meta(description="Prompt tokens read from the cache.")] = 0
    cache_write_tokens: Annotated[int, Meta(description="Prompt tokens written to the cache.")] = 0
    output_tokens: Annotated[int, Meta(description="Output tokens.")] = 0
    num_model_calls: Annotated[int, Meta(description="Model calls.")] = 0
    num_tool_calls: Annotated[int, Meta(description="Tool calls.")] = 0
    top_cost_spans: Annotated[list[CostSpan], Meta(description="At most six, the dearest first.")] = []
    redundant_tool_calls: Annotated[list[RedundantToolCalls], Meta(description="Near-duplicates by tool.")] = []
    sub_agents: Annotated[list[SubAgent], Meta(description="Sub-agents of the run.")] = []
    failed_or_repeated_steps: Annotated[
        list[str], Meta(description="Spans that failed or repeated one: its id, its name, and why.")
    ] = []
    name: Annotated[str, Meta(description="The first words the agent was asked.")] = ""
    status: Annotated[str, Meta(description="How the root run ended.")] = ""
    duration_ms: Annotated[int, Meta(description="End of the last span minus start of the first.")] = 0
    num_failed_steps: Annotated[int, Meta(description="Spans that ended in error.")] = 0
    critical_path: Annotated[
        list[PathStep], Meta(description="The longest steps, at most six, of those the duration hung on, in order.")
    ] = []
    reread_cost_usd: Annotated[
        Decimal | None, Meta(description="What all tool results have cost in later calls; estimated, a part of cost.")
    ] = None
    reread_bill: Annotated[list[RereadItem], Meta(description="The dearest of them, at most six.")] = []
    tools_used: Annotated[list[str], Meta(description="Names of the tools it called, at most 64, sorted.")] = []
    reply: Annotated[str, Meta(description="The final reply's beginning: at most 400 characters.")] = ""
    started_at_us: Annotated[
        int | None, Meta(description="Start of the first span (UTC, microseconds); unknown on cards of before.")
    ] = None
    is_partial: Annotated[
        bool,
        Meta(
            description="Whether the trace was too long to be read whole: path, re-read bill and sub-agents are parts."
        ),
    ] = False
    labels: Annotated[
        dict[str, str],
        Meta(description="Short words to compare runs by: skill, skill:<name>, config, model, and the user's own."),
    ] = {}
    rev: Annotated[int, Meta(description="Offset of the source record; newest wins.")]


class CardBatch(msgspec.Struct, frozen=True, kw_only=True):
    """One record of ``clawtrace.cards.v1``."""

    schema_version: Annotated[int, Meta(description="Major version of this contract.")] = 1
    tenant_id: Annotated[str, Meta(description="Who pays and sees.")]
    agent_id: Annotated[str, Meta(description="The OpenClaw install.")]
    rev: Annotated[int, Meta(description="Offset of the source record; readers drop what is not above their mark.")]
    part: Annotated[int, Meta(description="Number of this part, when one record could not hold all.")] = 0
    cards: Annotated[list[Card], Meta(description="Whole new revisions.")]
