"""Charts: an allow-list of form, and data from a result only."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from api.tracy.charts import ChartRefused, chart_schemas, make_option
from api.tracy.citations import Table

TABLE = Table(
    ("day", "cost_usd", "name"),
    (
        (datetime(2026, 3, 1, tzinfo=UTC), Decimal("1.25"), "<img src=//evil.example>"),
        (datetime(2026, 3, 2, tzinfo=UTC), None, "{b} http://evil.example/x " + "y" * 500),
    ),
    {},
)
PLAIN: dict[str, Any] = {
    "title": {"text": "Cost by day"},
    "legend": {"show": True},
    "xAxis": {"type": "time"},
    "yAxis": {"type": "value", "name": "USD"},
    "series": [{"type": "line", "smooth": True, "areaStyle": {}, "encode": {"x": "day", "y": "cost_usd"}}],
}


def make(asked: Any, table: Table = TABLE) -> dict[str, Any]:
    return make_option(asked, table, lambda text: text)


def test_the_data_are_the_rows_of_the_result() -> None:
    option = make(PLAIN)
    assert option["dataset"]["dimensions"] == ["day", "cost_usd", "name"]
    assert [row[:2] for row in option["dataset"]["source"]] == [
        ["2026-03-01T00:00:00Z", 1.25],
        ["2026-03-02T00:00:00Z", None],
    ]
    names = [row[2] for row in option["dataset"]["source"]]
    assert all("<" not in name and "//" not in name and len(name) <= 80 for name in names)
    assert option["tooltip"]["renderMode"] == "richText"
    json.dumps(option)


@pytest.mark.parametrize(
    "change",
    [
        {"tooltip": {"formatter": "{b}"}},
        {"tooltip": {"trigger": "item", "extraCssText": "x"}},
        {"graphic": [{"type": "image"}]},
        {"toolbox": {"feature": {}}},
        {"title": {"text": "x", "link": "http://evil.example"}},
        {"title": {"text": "<b>x</b>"}},
        {"title": {"text": "{a|x}"}},
        {"title": {"text": "image://x"}},
        {"title": {"text": "//evil.example"}},
        {"title": {"text": "x" * 500}},
        {"title": "x"},
        {"xAxis": {"type": "category", "axisLabel": {"formatter": "x"}}},
        {"xAxis": {"type": "category", "data": ["a"]}},
        {"series": []},
        {"series": [{"type": "line", "data": [1, 2], "encode": {"x": "day", "y": "cost_usd"}}]},
        {"series": [{"type": "custom", "renderItem": "f", "encode": {"x": "day", "y": "cost_usd"}}]},
        {"series": [{"type": "scatter", "symbol": "image://x", "encode": {"x": "day", "y": "cost_usd"}}]},
        {"series": [{"type": "line", "encode": {"x": "day", "y": "no_such_column"}}]},
        {"series": [{"type": "line", "encode": {"x": "day", "y": {"f": 1}}}]},
        {"dataset": {"source": [[1]]}},
    ],
)
def test_more_than_the_list_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ChartRefused):
        make({**PLAIN, **change})


@pytest.mark.parametrize("asked", [None, "x", [], {}, 5])
def test_what_is_no_option_is_refused(asked: Any) -> None:
    with pytest.raises(ChartRefused):
        make(asked)


def test_an_empty_or_endless_result_is_not_drawn() -> None:
    with pytest.raises(ChartRefused, match="no rows"):
        make(PLAIN, Table(TABLE.columns, (), {}))
    with pytest.raises(ChartRefused, match="aggregate"):
        make(PLAIN, Table(TABLE.columns, TABLE.rows * 300, {}))


def test_labels_lose_figures_without_a_source() -> None:
    option = make_option(PLAIN, TABLE, lambda text: text.replace("Cost", "(number withheld)"))
    assert option["title"]["text"] == "(number withheld) by day"


def test_the_schemas_are_closed_everywhere() -> None:
    def objects(schema: Any) -> list[dict[str, Any]]:
        if isinstance(schema, list):
            return [found for item in schema for found in objects(item)]
        if not isinstance(schema, dict):
            return []
        mine = [schema] if schema.get("type") == "object" else []
        return mine + [found for item in schema.values() for found in objects(item)]

    for schema in chart_schemas().values():
        Draft202012Validator.check_schema(schema)
        assert all(found["additionalProperties"] is False for found in objects(schema))
