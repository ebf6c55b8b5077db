"""The parts of `make bench`: all without a name, the named ones in our order, and a wrong name is told."""

import pytest

from tests.bench.__main__ import PARTS, wanted_parts


def test_without_a_name_all_parts_run() -> None:
    assert wanted_parts([]) == list(PARTS)


def test_named_parts_run_in_our_order() -> None:
    assert wanted_parts(["stitch", "gateway"]) == ["gateway", "stitch"]


def test_an_unknown_part_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        wanted_parts(["gatewy"])
    assert ended.value.code == 2
    assert "no part is called gatewy" in capsys.readouterr().err
