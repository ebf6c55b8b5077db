"""Spends of a batch: the differences in cost that budgets are settled with.

Upstream: facts ``call_usage``.
Downstream: topic ``clawtrace.spend.v1``.
Guarantee: each difference is told once; a call without a run known by trace is told all the same, since it is paid.
"""

from decimal import Decimal

from stream_jobs.contracts.spend import Spend
from stream_jobs.core.state import CallState
from stream_jobs.core.workspace import Workspace


def spends_of(ws: Workspace) -> list[Spend]:
    """Sum the differences of each call of this batch."""
    sums: dict[str, tuple[Decimal, int]] = {}
    for fact in ws.facts:
        if fact.kind == "call_usage":
            usd, num_tokens = sums.get(fact.ref, (Decimal(0), 0))
            sums[fact.ref] = usd + fact.usd, num_tokens + fact.usage.total_tokens
    spends = []
    for ref, (usd, num_tokens) in sums.items():
        call = ws.find_node(ref)
        if isinstance(call, CallState) and (usd or num_tokens):
            spends.append(
                Spend(
                    trace_id=call.trace_id,
                    span_id=call.span_id,
                    run_id=call.run_id,
                    session_key=call.session_key,
                    openclaw_agent_id=call.openclaw_agent_id,
                    provider=call.provider,
                    model=call.model,
                    at_us=call.started_at_us,
                    cost_usd=usd,
                    num_tokens=num_tokens,
                )
            )
    return spends
