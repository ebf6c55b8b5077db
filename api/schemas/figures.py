"""What agents, sessions and usage answer: sums over a window.

Upstream: api/repositories/agents.py, sessions.py and usage.py.
Downstream: OpenAPI, the web UI, clients.
Guarantee: money is decimal text or null, never a float; windows say their own limits.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from pydantic import Field

from api.repositories.agents import Bucket
from api.repositories.usage import UsageGroup
from api.schemas.common import Answer, Tokens, Usd
from stream_jobs.contracts.span import SpanStatus

_KINDS = ("input", "cache_read", "cache_write", "output")


def summed_tokens(row: Mapping[str, Any]) -> Tokens:
    """Tokens of a row of sums, in which NULL is a sum over nothing."""
    return Tokens(**{kind: row[f"{kind}_tokens"] or 0 for kind in _KINDS})


class Figures(Answer):
    """Sums over traces that started within a window; sub-agents are in their trace."""

    num_traces: int = Field(description="Traces.")
    num_runs: int = Field(description="Runs, sub-agents included.")
    num_open: int = Field(description="Traces that still run.")
    num_failed: int = Field(description="Ended traces whose root run failed.")
    error_rate: float | None = Field(description="Of the ended traces, the share that failed; null when none ended.")
    num_spans: int = Field(description="Spans.")
    num_model_calls: int = Field(description="Model calls.")
    num_tool_calls: int = Field(description="Tool calls.")
    num_unpriced_calls: int = Field(description="Model calls with tokens and without a price; not in cost_usd.")
    tokens: Tokens
    cost_usd: Usd
    p50_duration_ms: int | None = Field(description="Half of the ended traces took at most this long; approximate.")
    p95_duration_ms: int | None = Field(description="19 of 20 ended traces took at most this long; approximate.")

    @classmethod
    def of(cls, row: Mapping[str, Any] | None) -> Self:
        """Make it from a row of sums; None is a window in which nothing happened."""
        counts = {name: (row or {}).get(name) or 0 for name in cls.model_fields if name.startswith("num_")}
        num_ended = counts["num_traces"] - counts["num_open"]
        return cls(
            **counts,
            error_rate=counts["num_failed"] / num_ended if num_ended else None,
            tokens=summed_tokens(row or dict.fromkeys(f"{kind}_tokens" for kind in _KINDS)),
            cost_usd=row["cost_usd"] if row else None,
            p50_duration_ms=row["p50_duration_ms"] if row else None,
            p95_duration_ms=row["p95_duration_ms"] if row else None,
        )


class AgentItem(Answer):
    """One OpenClaw install."""

    agent_id: str = Field(description="The OpenClaw install.")
    first_seen_at: datetime = Field(description="Start of its earliest trace.")
    last_seen_at: datetime = Field(description="End (or start) of its latest trace.")
    figures: Figures

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Make it from a row of the list."""
        seen = {name: row[name] for name in ("agent_id", "first_seen_at", "last_seen_at")}
        return cls(**seen, figures=Figures.of(row if row["num_traces"] else None))


class AgentList(Answer):
    """All agents with their sums over the window."""

    from_at: datetime = Field(description="Start of the window, included.")
    to_at: datetime = Field(description="End of the window, not included.")
    items: list[AgentItem] = Field(description="Agents, seen most recently first.")
    truncated: bool = Field(description="Whether there are more agents.")


class AgentMetrics(Answer):
    """Sums of one agent over a window, and over the window before it of the same length."""

    agent_id: str = Field(description="The OpenClaw install.")
    from_at: datetime = Field(description="Start of the window, included.")
    to_at: datetime = Field(description="End of the window, not included.")
    figures: Figures
    before: Figures = Field(description="The window of the same length before it, to compare with.")


class TrendPoint(Answer):
    """Sums of one hour or day."""

    at: datetime = Field(description="Start of the hour or day (UTC).")
    figures: Figures


class AgentTrends(Answer):
    """Sums by hour or day, without gaps."""

    agent_id: str = Field(description="The OpenClaw install.")
    from_at: datetime = Field(description="Start of the window, included.")
    to_at: datetime = Field(description="End of the window, not included.")
    bucket: Bucket = Field(description="hour or day.")
    points: list[TrendPoint] = Field(description="Oldest first; those in which nothing happened are there, too.")


class AgentSessionItem(Answer):
    """One conversation: all traces whose root run has its session key."""

    session_key: str = Field(description="OpenClaw's session key.")
    agent_id: str = Field(description="The OpenClaw install.")
    first_started_at: datetime = Field(description="Start of its first trace in the window.")
    last_started_at: datetime = Field(description="Start of its newest trace in the window.")
    last_name: str = Field(description="Name of its newest trace.")
    num_traces: int = Field(description="Traces.")
    num_runs: int = Field(description="Runs, sub-agents included.")
    num_failed: int = Field(description="Ended traces whose root run failed.")
    num_open: int = Field(description="Traces that still run.")
    num_model_calls: int = Field(description="Model calls, sub-agents included.")
    num_unpriced_calls: int = Field(description="Model calls with tokens and without a price.")
    tokens: Tokens
    cost_usd: Usd

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Make it from a row of the list."""
        return cls(tokens=summed_tokens(row), **{name: row[name] for name in cls.model_fields if name != "tokens"})


class AgentSessionPage(Answer):
    """One page of sessions, the one with the newest trace first."""

    items: list[AgentSessionItem] = Field(description="Sessions of this page.")
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")


class SessionRun(Answer):
    """One run of a session. Its tokens and cost hold those of all runs below it."""

    trace_id: str = Field(description="The trace it belongs to.")
    agent_id: str = Field(description="The OpenClaw install.")
    span_id: str = Field(description="The run's span.")
    run_id: str | None = Field(description="OpenClaw's run id.")
    openclaw_agent_id: str | None = Field(description="The agent inside the install.")
    name: str = Field(description="Operation and agent.")
    status: SpanStatus = Field(description="running, ok, error, blocked or incomplete.")
    error: str | None = Field(description="What went wrong, in the words of the source.")
    depth: int = Field(description="Number of known ancestors; 0 for a root run.")
    started_at: datetime = Field(description="Start (UTC).")
    ended_at: datetime | None = Field(description="End (UTC); null while it runs.")
    duration_ms: int | None = Field(description="Duration.")
    num_sub_runs: int = Field(description="Runs below it.")
    tokens: Tokens
    cost_usd: Usd
    own_cost_usd: Usd

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Make it from a row of the list."""
        return cls(tokens=summed_tokens(row), **{name: row[name] for name in cls.model_fields if name != "tokens"})


class AgentSessionDetail(Answer):
    """One session with its runs."""

    session_key: str = Field(description="OpenClaw's session key.")
    from_at: datetime = Field(description="Start of the window, included.")
    to_at: datetime = Field(description="End of the window, not included.")
    runs: list[SessionRun] = Field(description="Runs, newest first; runs of sub-agents have sessions of their own.")
    truncated: bool = Field(description="Whether there are more runs.")


class UsageItem(Answer):
    """What one group used."""

    key: str | None = Field(description="The day, agent, category, session, model or tool; null when unknown.")
    num_traces: int = Field(description="Traces.")
    num_spans: int = Field(description="Spans; by model or tool its calls.")
    num_model_calls: int = Field(description="Model calls.")
    num_tool_calls: int = Field(description="Tool calls.")
    num_unpriced_calls: int = Field(description="Model calls with tokens and without a price.")
    num_errors: int = Field(description="Spans that ended in error.")
    tokens: Tokens
    cost_usd: Usd

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Make it from a row of sums."""
        return cls(
            tokens=summed_tokens(row),
            **{
                name: row[name] if name != "num_errors" else row[name] or 0
                for name in cls.model_fields
                if name != "tokens"
            },
        )


class UsageReport(Answer):
    """What was used within a window, by one thing."""

    from_at: datetime = Field(description="Start of the window, included.")
    to_at: datetime = Field(description="End of the window, not included.")
    by: UsageGroup = Field(description="What the groups are.")
    items: list[UsageItem] = Field(description="Groups, the dearest first; days oldest first.")
    truncated: bool = Field(description="Whether there are more groups.")
    listed_cost_usd: Usd

    @classmethod
    def of(cls, window: tuple[datetime, datetime], by: UsageGroup, rows: list[dict[str, Any]], truncated: bool) -> Self:
        """Make it from rows of sums."""
        costs: list[Decimal] = [row["cost_usd"] for row in rows if row["cost_usd"] is not None]
        return cls(
            from_at=window[0],
            to_at=window[1],
            by=by,
            items=[UsageItem.from_row(row) for row in rows],
            truncated=truncated,
            listed_cost_usd=sum(costs, Decimal(0)) if costs else None,
        )
