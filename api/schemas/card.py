"""What GET /v1/traces/{trace_id}/card answers, as JSON and as YAML.

Upstream: api/repositories/cards.py; the stitcher's own struct, which writes the YAML.
Downstream: OpenAPI, the web UI, clients, prompts.
Guarantee: all that the stitcher writes on a card is here (a test compares the two); money is decimal text.
"""

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final, Self

import msgspec
from pydantic import ConfigDict, Field

from api.schemas.common import Answer, Tokens, Usd
from stream_jobs.contracts.card import Card, CostSpan, PathStep, RedundantToolCalls, RereadItem, SubAgent
from stream_jobs.contracts.card_yaml import render_card


class _CardPart(Answer):
    """A part of a stored card. Whatever a newer stitcher says of it besides is left out, and refuses nothing."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class CardSpan(_CardPart):
    """One of the dearest spans."""

    span_id: str = Field(description="The span.")
    role_hint: str = Field(description="What the call was for, as far as can be told.")
    name: str = Field("", description="The model.")
    cost_usd: Usd = None


class CardRepetition(_CardPart):
    """Calls of one tool that are nearly the same."""

    tool_name: str = Field(description="The tool.")
    count: int = Field(description="How many.")
    span_ids: list[str] = Field([], description="The calls.")


class CardSubAgent(_CardPart):
    """One sub-agent of the run."""

    span_id: str = Field(description="The sub-agent's run.")
    name: str = Field("", description="Its label, as the requester gave it.")
    status: str = Field("", description="How its run ended.")
    cost_usd: Usd = None
    output_used_in_final: float | None = Field(None, description="Overlap of its words with the final reply, 0 to 1.")


class CardPathStep(_CardPart):
    """One span that the duration of the trace hung on."""

    span_id: str = Field(description="The span.")
    name: str = Field("", description="Model, tool, or what the run is for.")
    self_ms: int = Field(0, description="Milliseconds of the path in it, without the steps within it.")


class CardReread(_CardPart):
    """What one tool result has cost in the later calls of its run."""

    span_id: str = Field(description="The tool call.")
    tool_name: str = Field("", description="The tool.")
    num_tokens: int = Field(0, description="Tokens of the result: a quarter of its bytes.")
    num_calls: int = Field(0, description="Model calls that read it.")
    cost_usd: Usd = None


# The lists of a card, which are JSON in the tables, with what the stitcher writes into them.
CARD_PARTS: Final[dict[str, type[msgspec.Struct]]] = {
    "top_cost_spans": CostSpan,
    "redundant_tool_calls": RedundantToolCalls,
    "sub_agents": SubAgent,
    "critical_path": PathStep,
    "reread_bill": RereadItem,
}


_MADE: Final = frozenset({*CARD_PARTS, "tokens", "labels", "tools_used", "reply"})


class TraceCard(Answer):
    """What one finished run cost and why, small enough for a prompt."""

    trace_id: str = Field(description="The trace.")
    agent_id: str = Field(description="The OpenClaw install.")
    trace_date: date = Field(description="Day the trace was first seen.")
    task_id: str = Field(description="What the run was about: session key without its random part.")
    name: str = Field(description="The first words the agent was asked.")
    status: str = Field(description="How the root run ended.")
    duration_ms: int = Field(description="End of the last span - start of the first.")
    models: list[str] = Field(description="provider/model of its calls.")
    total_cost_usd: Usd
    tokens: Tokens
    num_model_calls: int = Field(description="Model calls.")
    num_tool_calls: int = Field(description="Tool calls.")
    num_failed_steps: int = Field(description="Spans that ended in error.")
    top_cost_spans: list[CardSpan] = Field(description="At most six, the dearest first.")
    redundant_tool_calls: list[CardRepetition] = Field(description="Near-duplicates by tool.")
    sub_agents: list[CardSubAgent] = Field(description="Sub-agents of the run.")
    failed_or_repeated_steps: list[str] = Field(
        description="Spans that failed or repeated one: its id, its name, and why."
    )
    critical_path: list[CardPathStep] = Field(
        description="The longest steps, at most six, of those the duration hung on, in order."
    )
    reread_cost_usd: Usd
    reread_bill: list[CardReread] = Field(description="The dearest results that were read again, at most six.")
    tools_used: list[str] = Field(description="Names of the tools it called, at most 64, sorted.")
    reply: str = Field(description="The final reply's beginning: at most 400 characters.")
    started_at: datetime | None = Field(description="Start of the first span (UTC); unknown on cards of before.")
    is_partial: bool = Field(description="Whether the trace was too long to be read whole.")
    labels: dict[str, str] = Field(
        {}, description="Short words to compare runs by: skill, skill:<name>, config, model, and the user's own."
    )

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Make it from a row of the view."""
        return cls(
            tokens=Tokens(**{kind: row[f"{kind}_tokens"] for kind in Tokens.model_fields}),
            **{name: json.loads(row[name] or "[]") for name in CARD_PARTS},
            # NULL in rows of an older release.
            labels=row["labels"] or {},
            tools_used=row["tools_used"] or [],
            reply=row["reply"] or "",
            **{name: row[name] for name in cls.model_fields if name not in _MADE},
        )

    def as_yaml(self) -> str:
        """The card as YAML of at most two kilobytes."""
        lists = {name: [part(**dict(item)) for item in getattr(self, name)] for name, part in CARD_PARTS.items()}
        counts = {f"{kind}_tokens": count for kind, count in dict(self.tokens).items()}
        not_plain = {*CARD_PARTS, "tokens", "started_at"}
        plain = {name: value for name, value in dict(self).items() if name not in not_plain}
        return render_card(Card(tenant_id="", rev=0, **{**plain, **counts, **lists}))
