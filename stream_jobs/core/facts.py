"""Facts: what happened in a batch, in the words that rules need.

Upstream: the handlers of runs, model calls and tool calls note them; ``stitch`` adds ends of runs and traces.
Downstream: ``stream_jobs.core.detect``; the spend that budgets are settled with.
Guarantee: a fact is noted once per event that first told it, whatever is sent again, in the order of the batch.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from producers.contracts.usage import TokenUsage
from stream_jobs.core.state import NO_TOKENS

FactKind = Literal[
    "event",  # any event at all; ref is the name of its hook
    "gateway_stopped",  # told after the event that told it
    "run_started",
    "run_ended",
    "run_reopened",
    "call_started",
    "call_ended",
    "call_usage",  # tokens or dollars of a call became known or changed; ``usd`` and ``usage`` are the difference
    "tool_started",
    "tool_ended",
    "subagent_spawned",  # ref is the child's run
    "subagent_died",  # ref is the child's run; its requester was told so, or nothing was heard of it any more
    "trace_closed",  # or changed after its end; ref is the trace id
    "tick",  # time has passed; nothing else need have happened
]


class Fact(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened; ``ref`` is the key of the node it is about."""

    kind: FactKind
    ref: str
    at_us: int
    seq: int = -1
    usd: Decimal = Decimal(0)
    usage: TokenUsage = NO_TOKENS
