"""What GET /v1/traces/{trace_id}/reread and /why answer.

Upstream: stream_jobs.learning.
Downstream: OpenAPI, the console, the web UI.
Guarantee: totals are over everything, lists hold the dearest; the dollars of the items and of the rest add up to the
difference, exactly. Money is decimal text.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Self

from pydantic import Field

from api.kit.instants import from_us
from api.schemas.common import Answer, Tokens, Usd
from api.schemas.traces import TraceSummary
from stream_jobs.learning import (
    Blame,
    BlameReason,
    BreakReason,
    CacheBreak,
    Change,
    RereadBill,
    RereadResult,
    RunDiff,
    Step,
    usd_of,
)


class RereadTool(Answer):
    """One tool result, and what the model calls that read it have paid for it."""

    span_id: str = Field(description="The tool call.")
    tool_name: str = Field(description="The tool.")
    run_id: str = Field(description="Its run.")
    session_key: str = Field(description="Its session.")
    num_tokens: int = Field(description="Tokens of the result: a quarter of its bytes.")
    num_calls: int = Field(description="Model calls that read it.")
    num_again: int = Field(description="Of these, all but the first.")
    cost_usd: Usd
    again_usd: Usd

    @classmethod
    def of(cls, it: RereadResult) -> Self:
        """Make it from a line of the bill."""
        values = {name: getattr(it, name) for name in cls.model_fields if name != "num_again"}
        return cls(**values, num_again=it.num_calls - 1)


class CacheBreakItem(Answer):
    """A model call that read less from the prompt cache than it could have."""

    span_id: str = Field(description="The call.")
    run_id: str = Field(description="Its run.")
    session_key: str = Field(description="Its session.")
    reason: BreakReason = Field(
        description="first_call: nothing was cached; model_changed; compaction: the history was replaced; pause: "
        "longer than the cache lives; prefix_changed: tools, system prompt or an earlier message are other ones."
    )
    at: datetime = Field(description="When the call began (UTC).")
    model: str = Field(description="Its provider/model.")
    before_span_id: str | None = Field(description="The call of the session before it, perhaps of an earlier trace.")
    before_model: str = Field(description="That call's provider/model.")
    pause_ms: int | None = Field(description="Milliseconds from the start of that call to this one.")
    expected_tokens: int = Field(description="Tokens that lay in the cache after that call.")
    read_tokens: int = Field(description="Tokens that this call read from it.")
    lost_tokens: int = Field(description="Tokens that were paid as fresh input or written again.")
    cost_usd: Usd

    @classmethod
    def of(cls, it: CacheBreak) -> Self:
        """Make it from a break."""
        names = set(cls.model_fields) - {"at", "pause_ms"}
        return cls(
            **{name: getattr(it, name) for name in names},
            at=from_us(it.at_us),
            pause_ms=None if it.pause_us is None else it.pause_us // 1_000,
        )


class TraceReread(Answer):
    """What was paid for again: tool results by later calls, and what the prompt cache had held."""

    trace: TraceSummary
    truncated: bool = Field(description="Whether the trace has more spans than were looked at.")
    cost_usd: Usd
    again_usd: Usd
    num_results: int = Field(description="Tool results that some call read.")
    results: list[RereadTool] = Field(description="The dearest of them.")
    cache_breaks_usd: Usd
    num_cache_breaks: int = Field(description="Calls at which the cache broke.")
    cache_breaks: list[CacheBreakItem] = Field(description="The first of them, in the order they happened.")

    @classmethod
    def of(
        cls, trace: TraceSummary, bill: RereadBill, breaks: Sequence[CacheBreak], *, truncated: bool, limit: int
    ) -> Self:
        """Make it, with at most ``limit`` of each list."""
        costs = [it.cost_usd for it in breaks if it.cost_usd is not None]
        return cls(
            trace=trace,
            truncated=truncated,
            cost_usd=bill.cost_usd,
            again_usd=bill.again_usd,
            num_results=len(bill.results),
            results=[RereadTool.of(it) for it in bill.results[:limit]],
            cache_breaks_usd=sum(costs, Decimal(0)) if costs or not breaks else None,
            num_cache_breaks=len(breaks),
            cache_breaks=[CacheBreakItem.of(it) for it in breaks[:limit]],
        )


class WhyReason(Answer):
    """The sum of one reason over all steps."""

    reason: BlameReason = Field(description="What made the difference.")
    cost_delta_usd: Usd


class WhyStep(Answer):
    """One step of either run."""

    span_id: str = Field(description="The span.")
    kind: str = Field(description="Kind of the span.")
    name: str = Field(description="Its name.")
    model: str = Field(description="provider/model of a call; empty for all else.")
    tokens: Tokens
    cost_usd: Usd

    @classmethod
    def of(cls, step: Step) -> Self:
        """Make it from a step."""
        usage = step.usage
        return cls(
            span_id=step.span_id,
            kind=step.kind,
            name=step.name,
            model=f"{step.provider}/{step.model}" if step.model else "",
            tokens=Tokens(
                input=usage.input_tokens if usage else 0,
                cache_read=usage.cache_read_tokens if usage else 0,
                cache_write=usage.cache_write_tokens if usage else 0,
                output=usage.output_tokens if usage else 0,
            ),
            cost_usd=step.cost_usd,
        )


class WhyItem(Answer):
    """One part of the difference, at one step."""

    reason: BlameReason = Field(description="What made it.")
    change: Change = Field(description="added: only this run has the step; removed: only the usual one; changed: both.")
    path: list[str] = Field(description="Names from the root down to the step.")
    before: WhyStep | None = Field(description="The step in the usual run.")
    after: WhyStep | None = Field(description="The step in this run.")
    cost_delta_usd: Usd

    @classmethod
    def of(cls, it: Blame) -> Self:
        """Make it from a blame."""
        return cls(
            reason=it.reason,
            change=it.change,
            path=list(it.path),
            before=None if it.before is None else WhyStep.of(it.before),
            after=None if it.after is None else WhyStep.of(it.after),
            cost_delta_usd=usd_of(it.amount),
        )


class TraceWhy(Answer):
    """Why a run cost more (or less) than the run of median cost among the others of its task.

    `cost_delta_usd` is the sum of `reasons`, and the sum of all items and of `rest_cost_delta_usd`, exactly.
    """

    trace: TraceSummary
    task_id: str = Field(description="What the runs have in common: the session key without its random part.")
    num_runs: int = Field(description="Other runs of the task in the 30 days up to this one; 0: nothing to compare.")
    usual: TraceSummary | None = Field(description="The run of median cost among them.")
    times: float | None = Field(description="How many times the cost of the usual run this one cost.")
    truncated: bool = Field(description="Whether either trace has more spans than were looked at.")
    cost_delta_usd: Usd
    reasons: list[WhyReason] = Field(description="The sum of each reason, the largest first.")
    num_items: int = Field(description="All parts of the difference.")
    items: list[WhyItem] = Field(description="The largest of them.")
    rest_cost_delta_usd: Usd

    @classmethod
    def of(
        cls,
        trace: TraceSummary,
        task_id: str,
        usual: TraceSummary | None,
        diff: RunDiff | None,
        *,
        num_runs: int,
        truncated: bool,
        limit: int,
    ) -> Self:
        """Make it, with the ``limit`` largest parts."""
        items = diff.items if diff is not None else []
        return cls(
            trace=trace,
            task_id=task_id,
            num_runs=num_runs,
            usual=usual,
            times=diff.cost_after / diff.cost_before if diff is not None and diff.cost_before else None,
            truncated=truncated,
            cost_delta_usd=None if diff is None else usd_of(diff.cost_after - diff.cost_before),
            reasons=[
                WhyReason(reason=reason, cost_delta_usd=usd_of(amount))
                for reason, amount in (diff.reasons if diff is not None else {}).items()
            ],
            num_items=len(items),
            items=[WhyItem.of(it) for it in items[:limit]],
            rest_cost_delta_usd=None if diff is None else usd_of(sum(it.amount for it in items[limit:])),
        )
