"""The price of one model at one instant, and what a call costs by it.

Upstream: the lists of prices.
Downstream: ``producers.contracts.pricing.book``.
Guarantee: exact: Decimal dollars per million tokens, never a float.
"""

from decimal import Decimal
from typing import Final, NamedTuple

from producers.contracts.usage import TokenUsage

MTOK: Final = Decimal(1_000_000)
_HOUR_WRITE_FACTOR: Final = 2


class Rate(NamedTuple):
    """Dollars per million tokens; for longer prompts (tokens, dollars), ascending: above so many tokens so much."""

    usd_per_mtok: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    def at(self, prompt_tokens: int) -> Decimal:
        """Return the dollars per million for a prompt of this length."""
        usd = self.usd_per_mtok
        for above, price in self.tiers:
            if prompt_tokens > above:
                usd = price
        return usd

    def times(self, factor: int) -> "Rate":
        """Return a multiple of every tier."""
        return Rate(self.usd_per_mtok * factor, tuple((above, usd * factor) for above, usd in self.tiers))


FREE: Final = Rate(Decimal(0))


class Price(NamedTuple):
    """Which price it is, and its five rates."""

    price_id: str
    fresh: Rate
    cache_read: Rate
    cache_write: Rate
    cache_write_1h: Rate
    output: Rate

    def cost_usd(self, usage: TokenUsage) -> Decimal:
        """Return the cost of a call in dollars; a tier counts for all its tokens, by the length of the whole prompt."""
        prompt_tokens = usage.prompt_tokens
        write_1h = usage.cache_write_1h_tokens
        usd = (
            self.fresh.at(prompt_tokens) * usage.input_tokens
            + self.cache_read.at(prompt_tokens) * usage.cache_read_tokens
            + self.cache_write.at(prompt_tokens) * (usage.cache_write_tokens - write_1h)
            + self.output.at(prompt_tokens) * usage.output_tokens
        )
        if write_1h:
            usd += self.cache_write_1h.at(prompt_tokens) * write_1h
        return usd / MTOK


def make_price(
    price_id: str,
    model: str,
    *,
    fresh: Rate,
    output: Rate,
    cache_read: Rate | None = None,
    cache_write: Rate | None = None,
    cache_write_1h: Rate | None = None,
) -> Price:
    """Make a price; a cache bucket that a list does not name costs what plain input costs.

    Anthropic's models write for an hour at twice the price of input (Anthropic, "Pricing", prompt caching
    multipliers: 1.25 for five minutes, 2 for an hour, 0.1 for a read), which OpenClaw reckons with too; other makers
    have no such price, and their writes cost what writes cost.
    """
    write = fresh if cache_write is None else cache_write
    if cache_write_1h is None:
        cache_write_1h = fresh.times(_HOUR_WRITE_FACTOR) if "claude" in model.lower() else write
    return Price(price_id, fresh, fresh if cache_read is None else cache_read, write, cache_write_1h, output)
