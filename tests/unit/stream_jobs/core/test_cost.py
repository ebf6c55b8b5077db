"""Prices: ours before the public list's, dated, exact, never 0 for unknown."""

from decimal import Decimal

import pytest

from producers.contracts.usage import TokenUsage
from stream_jobs.core.cost import PriceBook

US_PER_DAY = 86_400_000_000
NOV_2026 = 1_795_413_472_000_000

LIST = """
[[price]]
provider = "Fake"
model = "sim-1"
input_usd_per_mtok = "3"
output_usd_per_mtok = "15"
cache_read_usd_per_mtok = "0.3"
cache_write_usd_per_mtok = "3.75"

[[price]]
provider = "fake"
model = "sim-1"
input_usd_per_mtok = "6"
output_usd_per_mtok = "30"
effective_from = 2026-11-23

[[price]]
provider = "fake"
model = "sim-1"
input_usd_per_mtok = "1"
output_usd_per_mtok = "1"
tenant_id = "bigone"
"""
USAGE = TokenUsage(input_tokens=1_000, cache_read_tokens=2_000, cache_write_tokens=3_000, output_tokens=100)


def test_buckets_are_priced_by_themselves() -> None:
    price = PriceBook.from_toml(LIST).find_price("acme01", "fake", "sim-1", NOV_2026 - US_PER_DAY)
    assert price is not None
    assert price.cost_usd(USAGE) == Decimal("0.003") + Decimal("0.0006") + Decimal("0.01125") + Decimal("0.0015")
    assert price.price_id.startswith("override:Fake/sim-1/always#")


def test_a_price_holds_from_its_day() -> None:
    price = PriceBook.from_toml(LIST).find_price("acme01", "FAKE", "Sim-1", NOV_2026)
    assert price is not None
    assert price.price_id.startswith("override:fake/sim-1/2026-11-23#")
    assert price.cost_usd(USAGE) == Decimal("0.036") + Decimal("0.003")


def test_a_tenants_own_price_wins() -> None:
    price = PriceBook.from_toml(LIST).find_price("bigone", "fake", "sim-1", NOV_2026)
    assert price is not None
    assert price.cost_usd(TokenUsage(input_tokens=1_000_000)) == 1


def test_the_public_list_knows_the_rest() -> None:
    book = PriceBook()
    price = book.find_price("acme01", "anthropic", "claude-sonnet-4-5", NOV_2026)
    assert price is not None
    assert price.price_id.startswith("genai-prices:")
    assert price.price_id.endswith(":anthropic/claude-sonnet-4-5")
    # OpenClaw's input is what was not cached; the library's would be all 6,000.
    assert price.cost_usd(USAGE) == Decimal("0.003") + Decimal("0.0006") + Decimal("0.01125") + Decimal("0.0015")


def test_public_prices_agree_with_the_library() -> None:
    from datetime import UTC, datetime

    from genai_prices import Usage, calc_price

    when = datetime(2026, 11, 23, 12, tzinfo=UTC)
    whole = Usage(input_tokens=6_000, cache_read_tokens=2_000, cache_write_tokens=3_000, output_tokens=100)
    for provider, model in (("openai", "gpt-5"), ("google", "gemini-2.5-pro"), ("openrouter", "openai/gpt-5")):
        price = PriceBook().find_price("acme01", provider, model, NOV_2026)
        expected = calc_price(whole, model, provider_id=provider, genai_request_timestamp=when).total_price
        assert price is not None
        assert price.cost_usd(USAGE) == expected


def test_a_long_prompt_has_its_own_tier() -> None:
    price = PriceBook().find_price("acme01", "google", "gemini-2.5-pro", NOV_2026)
    assert price is not None
    short, long = (price.cost_usd(TokenUsage(input_tokens=tokens)) / tokens for tokens in (200_000, 200_001))
    assert long == 2 * short


def test_aliases() -> None:
    book = PriceBook()
    ours = book.find_price("acme01", "openai-codex", "gpt-5", NOV_2026)
    theirs = book.find_price("acme01", "openai", "gpt-5", NOV_2026)
    assert ours is not None
    assert theirs is not None
    assert ours.price_id == theirs.price_id


@pytest.mark.parametrize(("provider", "model"), [("nobody", "gpt-5"), ("openai", "no-such-model"), ("", "")])
def test_unknown_is_none(provider: str, model: str) -> None:
    assert PriceBook().find_price("acme01", provider, model, NOV_2026) is None


@pytest.mark.parametrize(
    "text",
    [
        "[[price]]\nprovider = 'a'\nmodel = 'b'\n",
        "[[price]]\nprovider = 'a'\nmodel = 'b'\ninput_usd_per_mtok = 0.3\noutput_usd_per_mtok = '1'\n",
        "[[prices]]\n",
        "not toml",
    ],
)
def test_a_bad_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- pydantic's and tomllib's errors have no common text
        PriceBook.from_toml(text)
