"""The result of a SQL text as a file: CSV, JSON or Parquet.

Upstream: api/repositories/sql.py gives the rows.
Downstream: POST /v1/sql, `clawtrace sql --operator`.
Guarantee: no value is rounded: decimals keep their digits, instants their microseconds. Lists and maps are JSON in CSV
and lists and maps in Parquet.
"""

import csv
import io
import json
from typing import Any, Literal

from api.kit.values import json_value
from api.repositories.engine import Rows
from api.schemas.sql import SqlAnswer

ResultFormat = Literal["json", "csv", "parquet"]
MEDIA_TYPES: dict[ResultFormat, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}


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
    writer.writerow([column.name for column in rows.columns])
    writer.writerows([cell_text(json_value(value)) for value in row] for row in rows.rows)
    return out.getvalue().encode()
