"""The spend: what model calls have added to what an agent has used, call by call.

Upstream: ``stream_jobs.core``, when the tokens or dollars of a call become known or are corrected.
Downstream: topic ``clawtrace.spend.v1``, from which budgets are settled.
Guarantee: the sum over all spends of a call is what the call cost; a correction is a spend too, perhaps below zero.
"""

from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta


class Spend(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One difference in the cost of one model call."""

    trace_id: Annotated[str, Meta(description="The trace; empty while it is not known.")] = ""
    span_id: Annotated[str, Meta(description="The model call.")]
    run_id: Annotated[str, Meta(description="Its run.")]
    session_key: Annotated[str, Meta(description="Its session.")] = ""
    openclaw_agent_id: Annotated[str, Meta(description="The agent inside the install.")] = ""
    provider: Annotated[str, Meta(description="Model provider.")] = ""
    model: Annotated[str, Meta(description="Model.")] = ""
    at_us: Annotated[int, Meta(description="When the call began, by the agent's clock (UTC, microseconds).")]
    cost_usd: Annotated[Decimal, Meta(description="Dollars more (or less) than told before; 0 when unpriced.")]
    num_tokens: Annotated[int, Meta(description="Tokens of all four buckets more (or less) than told before.")]


class SpendBatch(msgspec.Struct, frozen=True, kw_only=True):
    """One record of ``clawtrace.spend.v1``: all differences that one source record made."""

    schema_version: Annotated[int, Meta(description="Major version of this contract.")] = 1
    tenant_id: Annotated[str, Meta(description="Who pays and sees.")]
    agent_id: Annotated[str, Meta(description="The OpenClaw install.")]
    rev: Annotated[int, Meta(description="Offset of the source record; readers drop what is not above their mark.")]
    part: Annotated[int, Meta(description="Number of this part, when one record could not hold all.")] = 0
    received_at_us: Annotated[int, Meta(description="When the gateway took the source record (UTC, microseconds).")]
    spends: Annotated[list[Spend], Meta(description="The differences.")]
