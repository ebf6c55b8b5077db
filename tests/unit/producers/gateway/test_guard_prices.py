"""The price list as guards get it: the stitcher's choice, and the last good file."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from producers.contracts.guard import GuardPrice
from producers.contracts.pricing.book import noon_us
from producers.contracts.pricing.overrides import parse_overrides
from producers.gateway.guard_prices import GUARDED_PROVIDERS, PriceList
from stream_jobs.core.cost import PriceBook
from tests.captures import ROOT

ROW = '[[price]]\nprovider = "Fake"\nmodel = "m"\ninput_usd_per_mtok = "{}"\noutput_usd_per_mtok = "2"\n'
DAY = date(2026, 6, 1)


def own(prices: PriceList, tenant_id: str = "tenant1") -> list[Decimal]:
    return [it.input_usd_per_mtok for it in prices.of_tenant(tenant_id, DAY) if it.provider == "Fake"]


def inputs(path: Path, tenant_id: str = "tenant1") -> list[Decimal]:
    return own(PriceList(path), tenant_id)


def test_own_prices_first_then_the_newest_in_force(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    rows = [
        ROW.format(1),
        ROW.format(2) + "effective_from = 2026-05-01\n",
        ROW.format(3) + "effective_from = 2026-07-01\n",
        ROW.format(4) + 'tenant_id = "tenant1"\n',
    ]
    path.write_text("".join(rows))
    assert inputs(path) == [Decimal(4)]
    assert inputs(path, "tenant2") == [Decimal(2)]


def test_the_files_of_the_demo_are_read_as_the_stitcher_reads_them() -> None:
    text = (ROOT / "producers/replay/captures/prices.toml").read_text()
    rows = parse_overrides(text)
    assert rows
    PriceBook.from_toml(text)


@pytest.mark.parametrize(
    "text",
    ["[[price]", "[[price]]\n", ROW.format("x"), ROW.format(1) + "typo = 1\n", ROW.format(1).replace('"1"', "0.3")],
)
def test_a_broken_file_leaves_the_last_good_list(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(ROW.format(1))
    prices = PriceList(path)
    path.write_text(text + "\n" * 10)
    assert not prices.refresh()
    assert own(prices) == [Decimal(1)]
    with pytest.raises(ValueError, match=r"\w"):
        PriceBook.from_toml(text)
    path.write_text(ROW.format(5))
    assert prices.refresh()
    assert own(prices) == [Decimal(5)]
    path.unlink()
    assert prices.refresh()
    assert own(prices) == []


def public(path: Path, provider: str, model: str) -> GuardPrice | None:
    prices = PriceList(path).of_tenant("tenant1", DAY)
    return next((it for it in prices if (it.provider, it.model.lower()) == (provider, model)), None)


def test_without_a_file_the_public_list_holds(tmp_path: Path) -> None:
    price = public(tmp_path / "none.toml", "anthropic", "claude-opus-5")
    assert price is not None
    assert (price.input_usd_per_mtok, price.output_usd_per_mtok) == (Decimal(5), Decimal(25))
    assert (price.cache_read_usd_per_mtok, price.cache_write_usd_per_mtok) == (Decimal("0.5"), Decimal("6.25"))


def test_every_maker_is_there_and_the_whole_is_small(tmp_path: Path) -> None:
    prices = PriceList(tmp_path / "none.toml").of_tenant("tenant1", DAY)
    assert {it.provider for it in prices} == set(GUARDED_PROVIDERS)
    assert len(msgspec.json.encode(prices)) < 64 * 1024


def test_a_guard_counts_what_the_stitcher_counts(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(ROW.format(7).replace("Fake", "anthropic").replace('"m"', '"*"') + ROW.format(1))
    book = PriceBook.from_toml(path.read_text())
    prices = PriceList(path).of_tenant("tenant1", DAY)
    assert {it.input_usd_per_mtok for it in prices if it.provider == "anthropic"} == {Decimal(7)}
    for it in prices:
        price = book.find_price("tenant1", it.provider, it.model, noon_us(DAY))
        assert price is not None
        assert price.fresh.usd_per_mtok == it.input_usd_per_mtok
        assert price.output.usd_per_mtok == it.output_usd_per_mtok
