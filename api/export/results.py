"""The result of a SQL text as a file: CSV, JSON or Parquet.

Upstream: api/repositories/sql.py gives the rows.
Downstream: POST /v1/sql, `clawtrace sql --operator`.
Guarantee: no value is rounded: decimals keep their digits, instants their microseconds. Lists and maps are JSON in CSV
and lists and maps in Parquet. A text in CSV is never a formula to a spreadsheet; JSON and Parquet hold it as it is.
"""

import csv
import io
import json
from typing import Any, Final, Literal

from api.kit.values import json_value
from api.repositories.engine import Rows
from api.schemas.sql import SqlAnswer

ResultFormat = Literal["json", "csv", "parquet"]
MEDIA_TYPES: dict[ResultFormat, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}

# With these a spreadsheet begins a formula (OWASP, "CSV Injection"); the pages do the same (api/web/src/sql/result.ts).
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


def write_result(rows: Rows, snapshots: dict[str, str], form: ResultFormat) -> bytes:
    """Return the whole file; JSON is the document of POST /v1/sql."""
    if form == "csv":
        return _csv(rows)
    if form == "parquet":
        # Imported when it is asked for: it is by far the largest library of the API.
        from api.export.parquet import result_file

        return result_file([(column.name, column.type) for column in rows.columns], rows.rows)
    return SqlAnswer.of(rows, snapshots).model_dump_json().encode()


def cell_text(value: Any) -> str:
    """A value of the JSON document as one text; NULL is nothing."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _csv(rows: Rows) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([_cell(column.name) for column in rows.columns])
    writer.writerows([_cell(value) for value in row] for row in rows.rows)
    return out.getvalue().encode()


def _cell(value: Any) -> str:
    # Only texts: agents write them, and a number below zero must stay one.
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return cell_text(json_value(value))
