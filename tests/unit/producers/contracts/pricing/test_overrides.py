"""The price file: what it may say, and what is said of what it may not."""

from datetime import date
from decimal import Decimal

import pytest

from producers.contracts.pricing.book import PriceBook, noon_us
from producers.contracts.pricing.overrides import parse_overrides
from producers.contracts.usage import TokenUsage

ROW = '[[price]]\nprovider = "fake"\nmodel = "m"\ninput_usd_per_mtok = "{}"\noutput_usd_per_mtok = "10"\n'
DAY = date(2026, 6, 15)
TIER = '[[price.tiers]]\nabove_prompt_tokens = 1000\ninput_usd_per_mtok = "2"\noutput_usd_per_mtok = "20"\n'


def cost(text: str, usage: TokenUsage, *, tenant: str = "acme01", on: date = DAY, model: str = "m") -> Decimal | None:
    price = PriceBook.from_toml(text).find_price(tenant, "fake", model, noon_us(on))
    return None if price is None else price.cost_usd(usage) * 1_000_000


def test_a_price_holds_until_its_last_day_is_over() -> None:
    text = ROW.format(1) + "effective_from = 2026-06-01\neffective_until = 2026-07-01\n"
    token = TokenUsage(input_tokens=1)
    assert cost(text, token, on=date(2026, 5, 31)) is None
    assert cost(text, token, on=date(2026, 6, 1)) == 1
    assert cost(text, token, on=date(2026, 6, 30)) == 1
    assert cost(text, token, on=date(2026, 7, 1)) is None


def test_after_a_special_price_the_old_one_holds_again() -> None:
    text = ROW.format(9) + ROW.format(1) + "effective_from = 2026-06-01\neffective_until = 2026-07-01\n"
    token = TokenUsage(input_tokens=1)
    assert [cost(text, token, on=date(2026, month, 15)) for month in (5, 6, 7)] == [9, 1, 9]


def test_tiers_count_for_the_whole_call() -> None:
    text = ROW.format(1) + TIER
    assert cost(text, TokenUsage(input_tokens=600, cache_read_tokens=400, output_tokens=1)) == 1000 + 10
    assert cost(text, TokenUsage(input_tokens=600, cache_read_tokens=401, output_tokens=1)) == 2 * 1001 + 20


def test_an_hours_write_has_a_price_of_its_own() -> None:
    text = ROW.format(1) + 'cache_write_usd_per_mtok = "3"\ncache_write_1h_usd_per_mtok = "7"\n'
    assert cost(text, TokenUsage(cache_write_tokens=10, cache_write_1h_tokens=4)) == 6 * 3 + 4 * 7


def test_without_one_it_is_a_write_but_twice_the_input_for_claude() -> None:
    usage = TokenUsage(cache_write_tokens=10, cache_write_1h_tokens=4)
    text = ROW.format(1) + 'cache_write_usd_per_mtok = "3"\n'
    assert cost(text, usage) == 30
    claude = text.replace('"m"', '"claude-x"')
    assert cost(claude, usage, model="claude-x") == 6 * 3 + 4 * 2
    assert cost(claude.replace("write_usd", "read_usd"), usage, model="claude-x") == 6 + 4 * 2


def test_a_star_is_for_all_models_that_have_no_row() -> None:
    text = ROW.format(1) + ROW.format(5).replace('"m"', '"*"')
    token = TokenUsage(input_tokens=1)
    assert cost(text, token) == 1
    assert cost(text, token, model="other") == 5


def test_a_tenants_star_is_before_a_model_for_all() -> None:
    text = ROW.format(1) + ROW.format(5).replace('"m"', '"*"') + 'tenant_id = "acme01"\n'
    token = TokenUsage(input_tokens=1)
    assert cost(text, token) == 5
    assert cost(text, token, tenant="other1") == 1


def test_our_list_is_before_local_free_and_public() -> None:
    text = "".join(
        ROW.format(4).replace("fake", provider).replace('"m"', f'"{model}"')
        for provider, model in (("ollama", "*"), ("openrouter", "a/b:free"), ("anthropic", "claude-opus-5"))
    )
    book = PriceBook.from_toml(text)
    for provider, model in (("ollama", "x"), ("openrouter", "a/b:free"), ("anthropic", "claude-opus-5")):
        price = book.find_price("acme01", provider, model, noon_us(DAY))
        assert price is not None
        assert price.price_id.startswith("override:")


def test_the_id_of_a_price_tells_its_amounts_apart() -> None:
    def price_id(text: str) -> str:
        price = PriceBook.from_toml(text).find_price("acme01", "fake", "m", noon_us(DAY))
        assert price is not None
        return price.price_id

    assert price_id(ROW.format("3.00")) == price_id(ROW.format("3"))
    assert price_id(ROW.format("3")) != price_id(ROW.format("3.01"))
    assert price_id(ROW.format("3")) != price_id(ROW.format("3") + TIER)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[price]", "not TOML"),
        ("[[prices]]\n", "prices: there is no such field; there are price"),
        ("[[price]]\n", "price 1: provider: is missing"),
        (ROW.format(1) + ROW.format(2).replace("input_usd", "inputs_usd"), "price 2: input_usd_per_mtok: is missing"),
        (ROW.format(1) + 'typo = "1"\n', "price 1: typo: there is no such field; there are input_usd_per_mtok"),
        (ROW.format(1).replace('"1"', "0.3"), 'input_usd_per_mtok: write money as text, for instance "0.30"'),
        (ROW.format("cheap"), "price 1: input_usd_per_mtok: 'cheap' is no amount"),
        (ROW.format("-1"), "input_usd_per_mtok: -1 is no price; use 0 to"),
        (ROW.format("NaN"), "is no price"),
        (ROW.format("1e9"), "is no price"),
        (ROW.format(1) + 'effective_from = "soon"\n', "price 1: effective_from"),
        (
            ROW.format(1) + "effective_from = 2026-02-01\neffective_until = 2026-02-01\n",
            "effective_until 2026-02-01 is not after effective_from 2026-02-01; it is the first day",
        ),
        (ROW.format(1) + ROW.format(2), "price 2: fake/m has two rows from always for all tenants"),
        (ROW.format(1).replace("fake", ""), "provider and model: name both"),
        (ROW.format(1) + TIER + TIER, "above_prompt_tokens must be above 0 and grow"),
        (ROW.format(1) + TIER.replace("1000", "0"), "above_prompt_tokens must be above 0"),
        (ROW.format(1) + TIER.replace('"20"', '"x"'), "price 1: tiers.1.output_usd_per_mtok: 'x' is no amount"),
        (ROW.format(1) + 'cache_read_usd_per_mtok = "1"\n' + TIER, "tiers: cache_read_usd_per_mtok must be in the row"),
    ],
)
def test_what_is_wrong_is_said_with_row_field_and_way_out(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        parse_overrides(text)
    assert said in str(refused.value)
