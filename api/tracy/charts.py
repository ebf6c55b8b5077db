"""Makes a chart from what the model asks for: its form from the model, its numbers from a result.

Upstream: the tool draw_chart.
Downstream: the event `chart`; clients give its option to ECharts as it is.
Guarantee: an option has only what chart.schema.json lists: no functions, no formatters, no HTML, no addresses, no
images; its data are rows of a result that was read twice, never numbers of the model.
"""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator

from api.kit.values import json_value
from api.tracy.citations import Table
from api.tracy.sanitise import plain_label

MAX_ROWS: Final = 500
MAX_LABEL_CHARS: Final = 120
MAX_CELL_CHARS: Final = 80


class ChartRefused(Exception):
    """The chart cannot be drawn; the text says what to ask for instead."""


@cache
def chart_schemas() -> Mapping[str, Any]:
    """Return the schemas: ``asked`` is what the model may ask for, ``option`` what leaves."""
    document: dict[str, Any] = json.loads(Path(__file__).with_name("chart.schema.json").read_text())
    return {name: {"$defs": document["$defs"], **document[name]} for name in ("asked", "option")}


def make_option(asked: Any, table: Table, clean: Callable[[str], str]) -> dict[str, Any]:
    """Return the ECharts option: what was asked for, over the rows of a result.

    ``clean`` takes figures without a source out of a label.

    Raises:
        ChartRefused: more was asked for than a chart may hold, or there is nothing to draw.
    """
    _check(asked, "asked")
    if not table.rows:
        raise ChartRefused("the result has no rows; there is nothing to draw")
    if len(table.rows) > MAX_ROWS:
        raise ChartRefused(f"the result has more than {MAX_ROWS} rows; aggregate first")
    for series in asked["series"]:
        for column in series["encode"].values():
            if column not in table.columns:
                raise ChartRefused(f"the result has no column {column}; it has {', '.join(table.columns)}")
    option: dict[str, Any] = _labels(asked, clean)
    option["aria"] = {"enabled": True}
    # Rich text and not HTML: what a tool wrote may stand in a label of the data.
    option["tooltip"] = {"trigger": asked.get("tooltip", {}).get("trigger", "axis"), "renderMode": "richText"}
    option["dataset"] = {
        "dimensions": [plain_label(name, MAX_CELL_CHARS) for name in table.columns],
        "source": [[_cell(value) for value in row] for row in table.rows],
    }
    _check(option, "option")
    return option


def _check(value: Any, name: str) -> None:
    error = next(iter(Draft202012Validator(chart_schemas()[name]).iter_errors(value)), None)
    if error is not None:
        where = ".".join(str(part) for part in error.absolute_path) or "the option"
        raise ChartRefused(f"{where}: {error.message[:200]}")


def _labels(value: Any, clean: Callable[[str], str]) -> Any:
    """Clean every text that is shown; the words of encode and type are checked by the schema."""
    if not isinstance(value, dict):
        return [_labels(item, clean) for item in value] if isinstance(value, list) else value
    made: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, str) and key in ("text", "subtext", "name"):
            made[key] = plain_label(clean(plain_label(item, MAX_LABEL_CHARS)), MAX_LABEL_CHARS)
        else:
            made[key] = item if key == "encode" else _labels(item, clean)
    return made


def _cell(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    plain = json_value(value)
    if plain is None or isinstance(plain, bool | int | float):
        return plain
    return plain_label(plain if isinstance(plain, str) else json.dumps(plain), MAX_CELL_CHARS)
