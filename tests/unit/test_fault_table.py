"""The table of faults is true: every test that it names is there."""

import re

import pytest

from tests.captures import ROOT

TABLE = ROOT / "tests/faults/README.md"
NAMED = sorted(set(re.findall(r"`(tests/[\w/.]+)::(\w+)`", TABLE.read_text())))


def test_the_table_names_every_fault_of_the_campaign() -> None:
    told = set(re.findall(r"^\| (F\d+) ", TABLE.read_text(), re.MULTILINE))
    assert told == {f"F{number}" for number in range(1, 23)}
    assert len(NAMED) > 40


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_named_test_is_there(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)
