"""The lists say what makers have published: a table of prices with their sources, each asked of PriceBook."""

import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from producers.contracts.pricing.book import BUILT_IN, PriceBook, noon_us
from producers.contracts.pricing.public import find_public

PUBLISHED: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "published_prices.toml").read_text())[
    "published"
]
BOOK = PriceBook()


def name_of(row: dict[str, Any]) -> str:
    return f"{row['provider']}/{row['model']}@{row['on']}"


@pytest.mark.parametrize("row", PUBLISHED, ids=name_of)
def test_the_book_answers_what_was_published(row: dict[str, Any]) -> None:
    on: date = row["on"]
    price = BOOK.find_price("acme01", row["provider"], row["model"], noon_us(on))
    assert price is not None
    answered = {
        "input": price.fresh,
        "output": price.output,
        "cache_read": price.cache_read,
        "cache_write": price.cache_write,
        "cache_write_1h": price.cache_write_1h,
    }
    for name, rate in answered.items():
        if name in row:
            assert rate.usd_per_mtok == Decimal(row[name]), f"{name} ({row['source']}; {price.price_id})"


def test_the_table_is_long_and_every_row_has_a_source() -> None:
    assert len({(row["provider"], row["model"]) for row in PUBLISHED}) >= 80
    assert all(row["source"].count(",") >= 1 and "input" in row and "output" in row for row in PUBLISHED)


def test_every_model_we_bring_is_in_the_table() -> None:
    published = {(row["provider"], row["model"]) for row in PUBLISHED}
    for row in BUILT_IN:
        assert row.source
        assert (row.provider, row.model) in published, f"{row.provider}/{row.model} is brought along and never checked"


def test_what_we_bring_for_all_time_the_public_list_does_not_have() -> None:
    for row in BUILT_IN:
        if row.effective_until is None:
            assert find_public(row.provider, row.model) is None, f"take {row.provider}/{row.model} out of the list"
