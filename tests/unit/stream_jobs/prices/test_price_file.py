"""Setting a price: the rest of the file stays, and a wrong price is never written."""

import threading
from datetime import date
from pathlib import Path

import pytest

from producers.contracts.pricing.overrides import parse_overrides
from stream_jobs.prices.price_file import CannotWrite, FileFault, remove_price, set_price

FILE = """# our prices
[[price]]
provider = "fake"   # the first
model = "m"
input_usd_per_mtok = "1"
output_usd_per_mtok = "2"

# the second
[[price]]
provider = "fake"
model = "n"
input_usd_per_mtok = "3"
output_usd_per_mtok = "4"
"""


def fields(model: str = "m", **more: object) -> dict[str, object]:
    return {"provider": "fake", "model": model, "input_usd_per_mtok": "9", "output_usd_per_mtok": "8", **more}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "prices.toml"
    path.parent.mkdir()
    path.write_text(FILE)
    path.chmod(0o640)
    return path


def test_a_new_row_comes_last_and_nothing_else_changes(path: Path) -> None:
    assert set_price(path, fields("new"))
    assert path.read_text().startswith(FILE.rstrip())
    assert [row.model for row in parse_overrides(path.read_text())] == ["m", "n", "new"]
    assert path.stat().st_mode & 0o777 == 0o640


def test_the_row_of_the_same_place_is_replaced_with_comments_around_it_kept(path: Path) -> None:
    assert not set_price(path, fields("M"))
    text = path.read_text()
    assert text.startswith("# our prices\n[[price]]\n")
    assert '\n\n# the second\n[[price]]\nprovider = "fake"\nmodel = "n"\n' in text
    assert [str(row.input_usd_per_mtok) for row in parse_overrides(text)] == ["9", "3"]
    assert not set_price(path, fields("n"))
    assert [str(row.input_usd_per_mtok) for row in parse_overrides(path.read_text())] == ["9", "9"]


def test_another_day_or_tenant_is_another_row(path: Path) -> None:
    assert set_price(path, fields(tenant_id="acme01"))
    assert len(parse_overrides(path.read_text())) == 3


def test_a_file_is_made_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "new" / "prices.toml"
    assert set_price(path, fields('odd "name"\\\n'))
    (row,) = parse_overrides(path.read_text())
    assert row.model == 'odd "name"\\\n'
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("before", "wanted", "said"),
    [
        (FILE, {"input_usd_per_mtok": "x"}, "input_usd_per_mtok: 'x' is no amount"),
        (FILE + "typo", {}, "put that right first"),
        ('price = [{provider="a",model="b",input_usd_per_mtok="1",output_usd_per_mtok="1"}]', {}, "edit it by hand"),
        (
            FILE.split("\n# the second")[0]
            + '[[price.tiers]]\nabove_prompt_tokens = 5\ninput_usd_per_mtok = "1"\noutput_usd_per_mtok = "2"\n',
            {},
            "tiers: fake/m has prices of longer prompts",
        ),
    ],
)
def test_what_cannot_be_is_not_written(path: Path, before: str, wanted: dict[str, str], said: str) -> None:
    path.write_text(before)
    with pytest.raises(CannotWrite, match=r"\w") as refused:
        set_price(path, fields(**wanted))
    assert said in str(refused.value)
    assert path.read_text() == before
    assert list(path.parent.iterdir()) == [path]


def test_tiers_are_written_replaced_and_taken_away(path: Path) -> None:
    first = {"above_prompt_tokens": 1_000, "input_usd_per_mtok": "18", "output_usd_per_mtok": "16"}
    second = {"above_prompt_tokens": 200_000, "input_usd_per_mtok": "27", "output_usd_per_mtok": "24"}

    def tiers() -> list[tuple[int, str]]:
        rows = {row.model: row for row in parse_overrides(path.read_text())}
        assert set(rows) == {"m", "n"}
        return [(it.above_prompt_tokens, str(it.input_usd_per_mtok)) for it in rows["m"].tiers]

    assert not set_price(path, fields(tiers=[first, second]))
    assert tiers() == [(1_000, "18"), (200_000, "27")]
    assert "\n# the second\n[[price]]\n" in path.read_text()
    assert not set_price(path, fields(tiers=[second]))
    assert tiers() == [(200_000, "27")]
    # Who knows nothing of tiers takes none away.
    with pytest.raises(CannotWrite, match="name them again"):
        set_price(path, fields())
    assert tiers() == [(200_000, "27")]
    assert not set_price(path, fields(tiers=[]))
    assert tiers() == []
    with pytest.raises(CannotWrite, match=r"tiers\.2\.input_usd_per_mtok: is missing"):
        set_price(path, fields(tiers=[first, {**second, "input_usd_per_mtok": None}]))


def test_a_row_is_taken_out_and_the_rest_stays(path: Path) -> None:
    before = path.read_text()
    place = {"provider": "FAKE", "model": "m", "effective_from": None}
    assert not remove_price(path, **place, tenant_id="acme01")
    assert not remove_price(path, **{**place, "effective_from": date(2026, 1, 1)}, tenant_id=None)
    assert path.read_text() == before
    assert remove_price(path, **place, tenant_id=None)
    assert path.read_text().startswith('# our prices\n# the second\n[[price]]\nprovider = "fake"\nmodel = "n"\n')
    set_price(path, fields(tenant_id="acme01", effective_from=date(2026, 1, 1)))
    assert remove_price(path, **{**place, "effective_from": date(2026, 1, 1)}, tenant_id="acme01")
    assert [row.model for row in parse_overrides(path.read_text())] == ["n"]


def test_a_broken_file_is_the_files_fault(path: Path) -> None:
    path.write_text("[[price]]\n")
    with pytest.raises(FileFault):
        remove_price(path, provider="fake", model="m", tenant_id=None, effective_from=None)
    with pytest.raises(FileFault):
        set_price(path, fields())


def test_writers_at_once_lose_nothing(path: Path) -> None:
    threads = [threading.Thread(target=set_price, args=(path, fields(f"model-{number}"))) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(parse_overrides(path.read_text())) == 22
