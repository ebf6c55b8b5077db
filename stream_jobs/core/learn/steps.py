"""The steps of one finished run: its spans without their texts, model calls with their tokens and prices.

Upstream: spans as they are stored; the list of prices.
Downstream: ``reread_bill``, ``cache_breaks``, ``run_diff``.
Guarantee: pure. Steps stand in the order they started, a parent before its children when both started at once. What a
call has cost is what its span says; the price only tells how that is made up.
"""

from collections.abc import Iterable
from decimal import Decimal
from functools import cached_property
from typing import Final

import msgspec

from producers.contracts.pricing.book import PriceBook
from producers.contracts.pricing.price import Price
from producers.contracts.usage import TokenUsage
from stream_jobs.contracts.span import SpanKind, SpanStatus

_MONEY_SCALE: Final = 12
# What OpenClaw starts for its own upkeep has prompts of its own, though it has the session of the work.
_SIDE_WORK: Final = ("skill-workshop-review:",)
_SIDE_NAMES: Final = ("(memory flush)", "(skill review)", "(upkeep)")


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One span; times are UTC microseconds. ``result_bytes`` is the size of what a tool gave the model."""

    span_id: str
    parent_span_id: str | None = None
    kind: SpanKind
    name: str
    status: SpanStatus
    started_at_us: int
    ended_at_us: int | None = None
    depth: int = 0
    run_id: str = ""
    session_key: str = ""
    attempt: int = 1
    provider: str = ""
    model: str = ""
    tool_name: str = ""
    tool_call_id: str = ""
    usage: TokenUsage | None = None
    cost_usd: Decimal | None = None
    flags: tuple[str, ...] = ()
    result_bytes: int = 0


class RunSteps:
    """The steps of a trace; columns as ``tree_diff`` wants them."""

    def __init__(self, steps: Iterable[Step], prices: PriceBook, tenant_id: str) -> None:
        self.steps = sorted(steps, key=lambda it: (it.started_at_us, it.depth, it.span_id))
        self.kind: list[str] = [it.kind for it in self.steps]
        self.name = [it.name for it in self.steps]
        self.status: list[str] = [it.status for it in self.steps]
        self.cost = [None if it.cost_usd is None else e12_of(it.cost_usd) for it in self.steps]
        self._prices, self._tenant_id = prices, tenant_id

    def __len__(self) -> int:
        return len(self.steps)

    def children(self) -> tuple[list[int], list[list[int]]]:
        """Return the roots and the children of each step; one whose parent is not among them is a root."""
        place = {it.span_id: index for index, it in enumerate(self.steps)}
        roots: list[int] = []
        below: list[list[int]] = [[] for _ in self.steps]
        for index, step in enumerate(self.steps):
            parent = place.get(step.parent_span_id or "")
            # A parent that comes later could be part of a ring, which only a faulty source can make.
            if parent is None or self.steps[parent].depth >= step.depth:
                roots.append(index)
            else:
                below[parent].append(index)
        return roots, below

    def tokens(self, index: int) -> tuple[int, int, int, int]:
        """Fresh input, cache read, cache write and output tokens of a step."""
        usage = self.steps[index].usage or TokenUsage()
        return usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens, usage.output_tokens

    def price(self, step: Step) -> Price | None:
        """Return the price of a call at the instant it began."""
        return self._prices.find_price(self._tenant_id, step.provider, step.model, step.started_at_us)

    @cached_property
    def side_runs(self) -> frozenset[str]:
        """Ids of the runs that OpenClaw started for its own upkeep."""
        return frozenset(
            it.run_id
            for it in self.steps
            if it.kind == "compaction"
            or it.run_id.startswith(_SIDE_WORK)
            or (it.kind == "run" and it.name.endswith(_SIDE_NAMES))
        )


def e12_of(usd: Decimal) -> int:
    """Dollars as an integer of 1e-12 dollars, exact for what a table holds."""
    return int(usd.scaleb(_MONEY_SCALE))


def usd_of(amount: int) -> Decimal:
    """Dollars of an integer of 1e-12 dollars, exact."""
    return Decimal(amount).scaleb(-_MONEY_SCALE)
