"""Sums of a trace, kept by difference: what a span says now minus what it said before the batch.

Upstream: nodes as they were loaded and as the batch left them.
Downstream: ``TraceState``, from which traces are sent.
Guarantee: each span counts once, whatever its number of revisions; sums do not depend on the order of events.
"""

from decimal import Decimal
from typing import NamedTuple

from producers.contracts.usage import TokenUsage
from stream_jobs.core.state import (
    NO_SEQ,
    NO_TOKENS,
    CallState,
    GuardState,
    Node,
    RunState,
    ToolState,
    TraceState,
    is_compaction,
)

# Places in ``TraceState.counts``.
SPANS, RUNS, CALLS, TOOLS, ERRORS, UNPRICED, PRICED, REPORTED, OPEN, SIDE_RUNS, HEARTBEATS = range(11)
_NUM_COUNTS = 11

MAX_MODELS = 64

_ZERO = Decimal(0)


class Contribution(NamedTuple):
    """What one span adds to its trace."""

    counts: tuple[int, ...]
    usage: TokenUsage
    cost_usd: Decimal
    reported_usd: Decimal


_NOTHING = Contribution((0,) * _NUM_COUNTS, NO_TOKENS, _ZERO, _ZERO)


def is_open(trace: TraceState) -> bool:
    """Whether any run of a trace has not ended."""
    return bool(trace.counts) and trace.counts[OPEN] > 0


def contribution_of(node: Node) -> Contribution | None:
    """Return what a node adds to its trace now; None when it is no span yet."""
    if not node.is_span:
        return None
    error = 1 if node.status == "error" else 0
    if isinstance(node, CallState):
        return _contribution_of_call(node, error)
    if isinstance(node, ToolState):
        return Contribution((1, 0, 0, 1, error, 0, 0, 0, 0, 0, 0), NO_TOKENS, _ZERO, _ZERO)
    if isinstance(node, RunState):
        is_open = 1 if node.status == "running" else 0
        run = 0 if is_compaction(node.run_id) else 1
        side = 1 if run and node.is_side_run else 0
        heartbeat = 1 if node.trigger == "heartbeat" else 0
        counts = (1, run, 0, 0, error, 0, 0, 0, is_open, side, heartbeat)
        return Contribution(counts, NO_TOKENS, _ZERO, _ZERO)
    return Contribution((1, 0, 0, 0, error, 0, 0, 0, 0, 0, 0), NO_TOKENS, _ZERO, _ZERO)


def _contribution_of_call(call: CallState, error: int) -> Contribution:
    usage = call.usage
    reported_usd = call.reported_usd
    priced = 0 if call.cost_usd is None else 1
    unpriced = 1 if call.cost_usd is None and usage is not None and usage.total_tokens else 0
    reported = 0 if reported_usd is None else 1
    return Contribution(
        (1, 0, 1, 0, error, unpriced, priced, reported, 0, 0, 0),
        usage or NO_TOKENS,
        call.cost_usd or _ZERO,
        reported_usd or _ZERO,
    )


def add_to_trace(trace: TraceState, node: Node, before: Contribution | None) -> None:
    """Bring the sums of a trace up to what a node says now."""
    now = contribution_of(node)
    if now is None:
        return
    if now != before:
        old = before or _NOTHING
        counts = trace.counts or _NOTHING.counts
        trace.counts = [total + new - was for total, new, was in zip(counts, now.counts, old.counts, strict=True)]
        if now.usage != old.usage:
            trace.usage = trace.usage + now.usage - old.usage
        trace.cost_usd += now.cost_usd - old.cost_usd
        trace.reported_usd += now.reported_usd - old.reported_usd
    _stretch(trace, node)
    if isinstance(node, CallState) and node.model:
        _add_model(trace, f"{node.provider}/{node.model}")


def _stretch(trace: TraceState, node: Node) -> None:
    # Only times that hooks told, never reckoned ones (an end minus a duration): those are corrected later, and a
    # least or greatest value cannot be taken back.
    if isinstance(node, RunState):
        if not trace.started_at_us or node.started_at_us < trace.started_at_us:
            trace.started_at_us = node.started_at_us
        trace.ended_at_us = max(trace.ended_at_us, node.closed_at_us, node.told_ended_at_us)
    elif isinstance(node, GuardState) or (isinstance(node, CallState | ToolState) and node.ended_seq != NO_SEQ):
        trace.ended_at_us = max(trace.ended_at_us, node.ended_at_us)


def _add_model(trace: TraceState, model: str) -> None:
    if model not in trace.models and len(trace.models) < MAX_MODELS:
        trace.models = sorted([*trace.models, model])
