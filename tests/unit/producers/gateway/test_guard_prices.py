"""The price list as guards get it: the stitcher's choice, and the last good file."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from producers.gateway.guard_prices import PriceList, parse_prices
from stream_jobs.core.cost import PriceBook
from tests.captures import ROOT

ROW = '[[price]]\nprovider = "Fake"\nmodel = "m"\ninput_usd_per_mtok = "{}"\noutput_usd_per_mtok = "2"\n'
DAY = date(2026, 6, 1)


def inputs(path: Path, tenant_id: str = "tenant1") -> list[Decimal]:
    return [it.input_usd_per_mtok for it in PriceList(path).of_tenant(tenant_id, DAY)]


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
    rows = parse_prices(text)
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
    assert [it.input_usd_per_mtok for it in prices.of_tenant("tenant1", DAY)] == [Decimal(1)]
    with pytest.raises(ValueError, match=r"\w"):
        PriceBook.from_toml(text)
    path.write_text(ROW.format(5))
    assert prices.refresh()
    assert [it.input_usd_per_mtok for it in prices.of_tenant("tenant1", DAY)] == [Decimal(5)]
    path.unlink()
    assert prices.refresh()
    assert prices.of_tenant("tenant1", DAY) == []


def test_without_a_file_there_are_no_prices(tmp_path: Path) -> None:
    assert PriceList(tmp_path / "none.toml").of_tenant("tenant1") == []
