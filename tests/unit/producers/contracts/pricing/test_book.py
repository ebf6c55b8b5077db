"""The public list through our eyes: dates, hours, tiers, hour writes; and the order of the lists."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from producers.contracts.pricing.book import PriceBook, noon_us
from producers.contracts.usage import TokenUsage

BOOK = PriceBook()


def rate(model: str, at: datetime, provider: str = "deepseek") -> Decimal:
    price = BOOK.find_price("acme01", provider, model, int(at.timestamp()) * 1_000_000)
    assert price is not None
    return price.fresh.usd_per_mtok


def test_a_price_changes_on_its_day() -> None:
    before, after = (noon_us(date(2026, 3, day)) for day in (12, 13))
    long_prompt = TokenUsage(input_tokens=300_000)
    old = BOOK.find_price("acme01", "anthropic", "claude-opus-4-6", before)
    new = BOOK.find_price("acme01", "anthropic", "claude-opus-4-6", after)
    assert old is not None
    assert new is not None
    # Until then a prompt above 200,000 tokens cost twice as much.
    assert old.cost_usd(long_prompt) == 2 * new.cost_usd(long_prompt) == 3


@pytest.mark.parametrize(
    ("hour", "expected"), [(0, "0.66"), (1, "1.32"), (3, "1.32"), (4, "0.66"), (7, "1.32"), (12, "0.66")]
)
def test_a_price_of_the_hour(hour: int, expected: str) -> None:
    assert rate("deepseek-v4-pro", datetime(2026, 11, 23, hour, 15, tzinfo=UTC)) == Decimal(expected)


def test_hours_do_not_count_before_they_were_charged() -> None:
    assert rate("deepseek-v4-pro", datetime(2026, 8, 14, 2, tzinfo=UTC)) == Decimal("0.435")


def test_an_hours_write_of_the_public_list() -> None:
    price = BOOK.find_price("acme01", "anthropic", "claude-opus-5", noon_us(date(2026, 11, 23)))
    assert price is not None
    assert price.cost_usd(TokenUsage(cache_write_tokens=1_000_000, cache_write_1h_tokens=400_000)) == (
        Decimal("0.6") * Decimal("6.25") + Decimal("0.4") * 10
    )


def test_every_entry_that_is_sold_by_the_token_has_a_price() -> None:
    at_us = noon_us(date(2026, 11, 23))
    found = [BOOK.find_price("acme01", provider, model, at_us) for provider, model in BOOK.models()]
    priced = [price for price in found if price is not None]
    assert len(priced) > 2_000
    assert all(it.fresh.usd_per_mtok >= 0 and it.output.usd_per_mtok >= 0 for it in priced)


def test_models_of_one_provider_are_listed_once() -> None:
    names = list(BOOK.models("deepseek"))
    assert {provider for provider, _ in names} == {"deepseek"}
    assert len({model.lower() for _, model in names}) == len(names)


@pytest.mark.parametrize("at_us", [0, 2**63 - 1])
def test_any_clock_will_do(at_us: int) -> None:
    assert BOOK.find_price("acme01", "openai", "gpt-5", at_us) is not None
