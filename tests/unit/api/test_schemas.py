"""Answers made from rows of the views: right shapes, money as text, no payload in lists."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from api.repositories.engine import ResultColumn, Rows
from api.schemas.alerts import AlertItem
from api.schemas.sql import SqlAnswer
from api.schemas.traces import SpanDetail, SpanSummary, TraceSummary
from lakehouse.contracts.tables import table_named

AT = datetime(2026, 11, 23, 7, 0, 0, 123456, tzinfo=UTC)
_SAMPLES: dict[str, Any] = {
    "string": "text",
    "long": 3,
    "double": 0.5,
    "boolean": False,
    "date": date(2026, 11, 23),
    "timestamptz": AT,
    "decimal(24,12)": Decimal("0.012500000000"),
    "list<string>": ["a"],
    "map<string,string>": {"k": "v"},
}
_WORDS = {"kind": "model_call", "status": "ok", "category": "work", "severity": "critical", "state": "alert"}


def _row(table: str, **changes: Any) -> dict[str, Any]:
    """A row of the view, made from the table's own definition."""
    columns = table_named(table).visible_columns
    row = {column.name: _WORDS.get(column.name, _SAMPLES[column.type]) for column in columns}
    return row | changes


def test_a_model_call_has_its_four_buckets_and_its_cost_as_text() -> None:
    answer = SpanSummary.from_row(_row("spans", cache_read_tokens=4)).model_dump(mode="json")
    assert answer["tokens"] == {"input": 3, "cache_read": 4, "cache_write": 3, "output": 3}
    assert answer["cost_usd"] == "0.0125"
    assert answer["started_at"] == "2026-11-23T07:00:00.123456Z"
    assert answer["run_totals"] is None
    assert "input" not in answer
    assert "output" not in answer


def test_a_span_that_spends_nothing_has_no_tokens_and_no_cost() -> None:
    none = dict.fromkeys(["input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "cost_usd"])
    answer = SpanSummary.from_row(_row("spans", kind="tool_call", **none)).model_dump(mode="json")
    assert answer["tokens"] is None
    assert answer["cost_usd"] is None


def test_a_run_shows_its_totals_apart() -> None:
    none = dict.fromkeys(["input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "cost_usd"])
    answer = SpanSummary.from_row(_row("spans", kind="run", **none)).model_dump(mode="json")
    assert answer["tokens"] is None
    assert answer["run_totals"]["cost_usd"] == "0.0125"
    assert answer["run_totals"]["tokens"]["input"] == 3


def test_the_detail_of_a_span_has_its_payloads() -> None:
    whole = {"input_chars": 8, "output_chars": None, "next_offset": None}
    answer = SpanDetail.from_row(_row("spans", input='{"a": 1}', output=None) | whole).model_dump(mode="json")
    assert answer["input"] == '{"a": 1}'
    assert answer["output"] is None


def test_a_trace_without_a_price_costs_null_and_not_zero() -> None:
    answer = TraceSummary.from_row(_row("traces", cost_usd=None, ended_at=None)).model_dump(mode="json")
    assert answer["cost_usd"] is None
    assert answer["ended_at"] is None
    assert answer["trace_date"] == "2026-11-23"


def test_an_alert_without_labels_has_empty_ones() -> None:
    answer = AlertItem.from_row(_row("alerts", labels=None, span_id=None)).model_dump(mode="json")
    assert answer["labels"] == {}
    assert answer["evidence"] == {"k": "v"}
    assert answer["at"] == "2026-11-23T07:00:00.123456Z"


def test_a_result_is_json_whatever_is_in_it() -> None:
    rows = Rows(
        (ResultColumn("a", "decimal(24,12)"), ResultColumn("b", "double")), [[Decimal("1.50"), float("nan")]], True
    )
    answer = SqlAnswer.of(rows, {"silver.spans": "1"}).model_dump(mode="json")
    assert answer["columns"] == [{"name": "a", "type": "decimal(24,12)"}, {"name": "b", "type": "double"}]
    assert answer["rows"] == [["1.5", "NaN"]]
    assert answer["truncated"] is True


def test_a_trace_of_an_older_release_has_no_labels() -> None:
    assert TraceSummary.from_row(_row("traces", labels=None)).labels == {}
    assert TraceSummary.from_row(_row("traces")).labels == {"k": "v"}
