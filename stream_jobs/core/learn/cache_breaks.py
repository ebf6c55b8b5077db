"""Where the prompt cache broke, why, and what that cost.

Upstream: ``steps``; the last call of the session before the trace, when there was one.
Downstream: GET /v1/traces/{trace_id}/reread; ``run_diff``.
Guarantee: pure. A break is only told where the tokens prove it; what a provider does not report is no break.

The rule. The calls of a session stand in the order they started; OpenClaw's own upkeep in the same session, which has
other prompts, is left out. After a call, what it read from the cache and what it wrote lies in the cache: the cacheable
prefix. A call that reads fewer tokens than that, by ``MIN_TOKENS`` or more, is a break. Its reason is the first of:

- ``first_call``: no call of the session came before; what it wrote is a cold start.
- ``model_changed``: the call before was of another provider or model; caches are kept by model.
- ``compaction``: a compaction lies between the two, or the prompt is shorter by a fifth: the history was replaced.
- ``pause``: more time has passed since the call before began than the cache lives.
- ``prefix_changed``: none of these, so something before the end of the prefix is not what it was: the tools, the system
  prompt, or an earlier message, in this order; whatever stands behind the change is not read either.

Sources: Anthropic, "Prompt caching": an entry lives five minutes, or an hour when it was written for an hour, and each
use begins that anew; the prefix is tools, then system, then messages; prompts below 1,024 tokens are not cached.
OpenAI, "Prompt caching": five to ten minutes without use, prefixes from 1,024 tokens on, in steps of 128.
"""

from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Final, Literal

import msgspec

from stream_jobs.core.cards.reread import prompt_cost
from stream_jobs.core.learn.steps import RunSteps, Step

BreakReason = Literal["first_call", "model_changed", "compaction", "pause", "prefix_changed"]

MIN_TOKENS: Final = 1_024
LIFE_US: Final = 5 * 60_000_000
LONG_LIFE_US: Final = 60 * 60_000_000
_SHORTER: Final = Decimal("0.8")
_UNIT: Final = Decimal("1e-9")


class CacheBreak(msgspec.Struct, frozen=True, kw_only=True):
    """One call that read less from the cache than it could have.

    ``cost_usd`` is what the lost tokens cost more than a read would have; None without a price. ``pause_us`` is the
    time since the call before began.
    """

    span_id: str
    run_id: str
    session_key: str
    reason: BreakReason
    at_us: int
    model: str
    before_span_id: str | None
    before_model: str
    pause_us: int | None
    expected_tokens: int
    read_tokens: int
    lost_tokens: int
    cost_usd: Decimal | None


def cache_breaks(run: RunSteps, earlier: Mapping[str, Step] | None = None) -> list[CacheBreak]:
    """Find the breaks of a trace, in the order they happened.

    Args:
        earlier: the last call of a session before the trace, by session.
    """
    last = dict(earlier or {})
    compacted_us: dict[str, int] = {}
    found = []
    for step in run.steps:
        if step.kind == "compaction":
            compacted_us[step.session_key] = step.started_at_us
        if step.kind != "model_call" or step.usage is None or not step.usage.prompt_tokens:
            continue
        if step.run_id in run.side_runs:
            continue
        before = last.get(step.session_key)
        one = _break(run, before, step, compacted_us.get(step.session_key))
        if one is not None:
            found.append(one)
        last[step.session_key] = step
    return found


def _break(run: RunSteps, before: Step | None, call: Step, compacted_us: int | None) -> CacheBreak | None:
    usage, was = call.usage, None if before is None else before.usage
    assert usage is not None
    if was is None:
        expected = usage.cache_read_tokens + usage.cache_write_tokens
    else:
        expected = was.cache_read_tokens + was.cache_write_tokens
    paid_fresh = usage.input_tokens + usage.cache_write_tokens
    # A prompt that has become shorter than its old prefix cannot have lost more than it paid for.
    lost = min(expected - usage.cache_read_tokens, paid_fresh)
    if lost < MIN_TOKENS:
        return None
    return CacheBreak(
        span_id=call.span_id,
        run_id=call.run_id,
        session_key=call.session_key,
        reason=_reason(before, call, compacted_us),
        at_us=call.started_at_us,
        model=_model_of(call),
        before_span_id=None if before is None else before.span_id,
        before_model="" if before is None else _model_of(before),
        pause_us=None if before is None else call.started_at_us - before.started_at_us,
        expected_tokens=expected,
        read_tokens=usage.cache_read_tokens,
        lost_tokens=lost,
        cost_usd=_cost_usd(run, call, lost),
    )


def _reason(before: Step | None, call: Step, compacted_us: int | None) -> BreakReason:
    if before is None or before.usage is None or call.usage is None:
        return "first_call"
    if _model_of(before) != _model_of(call):
        return "model_changed"
    is_shorter = call.usage.prompt_tokens <= before.usage.prompt_tokens * _SHORTER
    if is_shorter or (compacted_us is not None and before.started_at_us <= compacted_us <= call.started_at_us):
        return "compaction"
    life_us = LONG_LIFE_US if before.usage.cache_write_1h_tokens else LIFE_US
    return "pause" if call.started_at_us - before.started_at_us > life_us else "prefix_changed"


def _cost_usd(run: RunSteps, call: Step, lost: int) -> Decimal | None:
    price = run.price(call)
    if price is None or call.usage is None:
        return None
    paid = prompt_cost(0, call.usage, price)
    read_usd_per_token = price.cache_read.at(call.usage.prompt_tokens) / 1_000_000
    usd = lost * (paid.fresh_usd / paid.fresh_tokens - read_usd_per_token)
    # Where a read costs as much as fresh input, nothing was lost in dollars.
    return max(usd, Decimal(0)).quantize(_UNIT, ROUND_DOWN)


def _model_of(call: Step) -> str:
    return f"{call.provider}/{call.model}"
