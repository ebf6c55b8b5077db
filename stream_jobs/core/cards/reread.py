"""The re-read bill: what each tool result has cost in the later model calls of its run.

Upstream: sizes of tool results, usage of model calls, the prices they were paid at.
Downstream: the card.
Guarantee: an estimate that never says more than was paid: the shares of all results in a call are at most the call's
prompt, bucket by bucket.

A result is taken to be a quarter of its bytes in tokens. In the first call after it, it is fresh input; in later calls
it stands in the part of the prompt that comes from the cache, as far as that reaches, else it is fresh again. Where
the results of a run are more than a bucket holds (after a compaction), each gets its part of the bucket.
"""

from collections.abc import Iterable
from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple

from producers.contracts.pricing.price import MTOK, Price
from producers.contracts.usage import TokenUsage
from stream_jobs.core.cards.log import Result
from stream_jobs.core.state import CallState
from stream_jobs.core.workspace import Workspace

BYTES_PER_TOKEN = 4

_ZERO = Decimal(0)
_UNIT = Decimal("1e-9")


class PromptCost(NamedTuple):
    """What one call paid for its prompt."""

    seq: int
    cached_tokens: int
    cached_usd: Decimal
    fresh_tokens: int
    fresh_usd: Decimal


class ResultBill(NamedTuple):
    """What one result has cost, and in how many calls; ``again_usd`` is without the first of them."""

    tool_call_id: str
    num_tokens: int
    num_calls: int
    cost_usd: Decimal
    again_usd: Decimal


def prompt_cost_of(ws: Workspace, call: CallState) -> PromptCost | None:
    """Price the prompt of a call as it was paid; None when it has no tokens or no price."""
    usage = call.usage
    if usage is None or not usage.prompt_tokens:
        return None
    price = ws.pricer.find_price(ws.tenant_id, call.provider, call.model, call.started_at_us)
    return None if price is None else prompt_cost(call.seq, usage, price)


def prompt_cost(seq: int, usage: TokenUsage, price: Price) -> PromptCost:
    """Price the prompt of a call; ``seq`` says where it stands among calls and results."""
    prompt_tokens = usage.prompt_tokens
    cached_usd = price.cache_read.at(prompt_tokens) * usage.cache_read_tokens / MTOK
    output_usd = price.output.at(prompt_tokens) * usage.output_tokens / MTOK
    fresh_tokens = usage.input_tokens + usage.cache_write_tokens
    fresh_usd = price.cost_usd(usage) - output_usd - cached_usd
    return PromptCost(seq, usage.cache_read_tokens, cached_usd, fresh_tokens, fresh_usd)


def reread_bills(results: Iterable[Result], calls: Iterable[PromptCost]) -> list[ResultBill]:
    """Share the prompts of a run's calls among the results they held; the dearest first."""
    waiting = sorted(results, key=lambda it: (it.seq, it.tool_call_id))
    tokens = {it.tool_call_id: it.num_bytes // BYTES_PER_TOKEN for it in waiting}
    old: list[str] = []
    num_old = 0
    # Dollars a token of an old result has cost so far, and calls; a result remembers both from where it became old.
    spent, num_calls = _ZERO, 0
    first: dict[str, tuple[Decimal, Decimal, int]] = {}
    place = 0
    for call in sorted(calls):
        new: list[str] = []
        while place < len(waiting) and waiting[place].seq < call.seq:
            new.append(waiting[place].tool_call_id)
            place += 1
        num_new = sum(tokens[own_id] for own_id in new)
        fresh_rate = call.fresh_usd / call.fresh_tokens if call.fresh_tokens else _ZERO
        new_share = fresh_rate * min(num_new, call.fresh_tokens)
        if num_old:
            in_cache = min(num_old, call.cached_tokens)
            in_fresh = min(num_old - in_cache, max(0, call.fresh_tokens - num_new))
            cached_rate = call.cached_usd / call.cached_tokens if call.cached_tokens else _ZERO
            spent += (cached_rate * in_cache + fresh_rate * in_fresh) / num_old
        num_calls += 1
        for own_id in new:
            first[own_id] = (new_share / num_new if num_new else _ZERO, spent, num_calls)
        old += new
        num_old += num_new
    bills = []
    for own_id in old:
        first_rate, spent_before, calls_before = first[own_id]
        again_usd = tokens[own_id] * (spent - spent_before)
        usd = tokens[own_id] * first_rate + again_usd
        usd, again_usd = usd.quantize(_UNIT, ROUND_DOWN), again_usd.quantize(_UNIT, ROUND_DOWN)
        bills.append(ResultBill(own_id, tokens[own_id], num_calls - calls_before + 1, usd, again_usd))
    return sorted(bills, key=lambda it: (-it.cost_usd, it.tool_call_id))
