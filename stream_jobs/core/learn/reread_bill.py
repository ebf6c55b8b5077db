"""The whole re-read bill of a run: which tool result was paid for again, in how many later calls.

Upstream: ``steps``.
Downstream: GET /v1/traces/{trace_id}/reread.
Guarantee: the rule and the sums of the card (``stream_jobs.core.cards.reread``), for every result instead of the
dearest six: an estimate that never says more than was paid.
"""

from decimal import Decimal

import msgspec

from stream_jobs.core.cards.log import Result
from stream_jobs.core.cards.reread import PromptCost, prompt_cost, reread_bills
from stream_jobs.core.learn.steps import RunSteps, Step


class RereadResult(msgspec.Struct, frozen=True, kw_only=True):
    """One tool result; ``again_usd`` is what later calls than the first paid for it."""

    span_id: str
    tool_name: str
    run_id: str
    session_key: str
    num_tokens: int
    num_calls: int
    cost_usd: Decimal
    again_usd: Decimal


class RereadBill(msgspec.Struct, frozen=True, kw_only=True):
    """All results that some call read, the dearest first; None when nothing was priced."""

    results: list[RereadResult]
    cost_usd: Decimal | None
    again_usd: Decimal | None


def reread_bill(run: RunSteps) -> RereadBill:
    """Make the bill of a trace: run by run, since a result is read by the calls of its own run."""
    tools: dict[str, list[Step]] = {}
    calls: dict[str, list[PromptCost]] = {}
    for step in run.steps:
        if step.kind == "tool_call" and step.ended_at_us is not None:
            tools.setdefault(step.run_id, []).append(step)
        elif step.kind == "model_call" and step.usage is not None and step.usage.prompt_tokens:
            price = run.price(step)
            if price is not None:
                calls.setdefault(step.run_id, []).append(prompt_cost(_before(step), step.usage, price))
    results = []
    for run_id, costs in calls.items():
        of_run = {it.span_id: it for it in tools.get(run_id, ())}
        sizes = [Result(it.span_id, _after(it), it.result_bytes) for it in of_run.values()]
        for bill in reread_bills(sizes, costs):
            tool = of_run[bill.tool_call_id]
            results.append(
                RereadResult(
                    span_id=tool.span_id,
                    tool_name=tool.tool_name,
                    run_id=run_id,
                    session_key=tool.session_key,
                    num_tokens=bill.num_tokens,
                    num_calls=bill.num_calls,
                    cost_usd=bill.cost_usd,
                    again_usd=bill.again_usd,
                )
            )
    results.sort(key=lambda it: (-it.cost_usd, it.span_id))
    return RereadBill(
        results=results,
        cost_usd=sum((it.cost_usd for it in results), Decimal(0)) if calls else None,
        again_usd=sum((it.again_usd for it in results), Decimal(0)) if calls else None,
    )


def _before(call: Step) -> int:
    """Place of a call among results: a result of the same instant was there before."""
    return 2 * call.started_at_us + 1


def _after(tool: Step) -> int:
    return 2 * (tool.ended_at_us or 0)
