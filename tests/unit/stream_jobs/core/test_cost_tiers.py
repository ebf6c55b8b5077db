"""Own prices of longer prompts: the stitcher takes the tier by the whole prompt of each call, for all of its tokens."""

from decimal import Decimal

from producers.contracts.usage import TokenUsage
from stream_jobs.contracts.span import Span
from stream_jobs.core.cost import PriceBook
from tests.unit.stream_jobs.core.stitching import Replay, events_of, lines_of

_PRICES = """
[[price]]
provider = "fake"
model = "*"
input_usd_per_mtok = "3"
output_usd_per_mtok = "15"
cache_read_usd_per_mtok = "0.3"
cache_write_usd_per_mtok = "3.75"
cache_write_1h_usd_per_mtok = "6"

[[price.tiers]]
above_prompt_tokens = {above}
input_usd_per_mtok = "6"
output_usd_per_mtok = "22.50"
cache_read_usd_per_mtok = "0.6"
cache_write_usd_per_mtok = "7.50"
cache_write_1h_usd_per_mtok = "12"
"""
BELOW = tuple(map(Decimal, ("3", "0.3", "3.75", "15")))
ABOVE = tuple(map(Decimal, ("6", "0.6", "7.50", "22.50")))


def calls(above: int) -> list[Span]:
    replay = Replay(pricer=PriceBook.from_toml(_PRICES.format(above=above)))
    return replay.feed_each(events_of(lines_of("multi-tool")), 7).of_kind("model_call")


def buckets(call: Span) -> tuple[int, int, int, int]:
    return (
        call.input_tokens or 0,
        call.cache_read_tokens or 0,
        call.cache_write_tokens or 0,
        call.output_tokens or 0,
    )


def cost(call: Span, rates: tuple[Decimal, ...]) -> Decimal:
    return sum((count * usd for count, usd in zip(buckets(call), rates, strict=True)), Decimal(0)) / 1_000_000


def test_calls_above_the_threshold_cost_what_their_tier_says() -> None:
    prompts = sorted({sum(buckets(call)[:3]) for call in calls(above=1)})
    assert len(prompts) > 1
    # The shortest prompt is just not above it.
    found = calls(above=prompts[0])
    for call in found:
        is_above = sum(buckets(call)[:3]) > prompts[0]
        assert call.cost_usd == cost(call, ABOVE if is_above else BELOW)
    assert {sum(buckets(call)[:3]) > prompts[0] for call in found} == {True, False}


def test_writes_for_an_hour_have_their_own_tier() -> None:
    price = PriceBook.from_toml(_PRICES.format(above=1_000)).find_price("acme01", "fake", "any", 0)
    assert price is not None
    usage = TokenUsage(input_tokens=900, cache_write_tokens=100, cache_write_1h_tokens=40, output_tokens=10)
    assert price.cost_usd(usage) * 1_000_000 == 900 * 3 + 60 * Decimal("3.75") + 40 * 6 + 10 * 15
    longer = TokenUsage(input_tokens=901, cache_write_tokens=100, cache_write_1h_tokens=40, output_tokens=10)
    assert price.cost_usd(longer) * 1_000_000 == 901 * 6 + 60 * Decimal("7.50") + 40 * 12 + 10 * Decimal("22.50")
