"""Parquet: traces, a row group for each page of spans, and results of SQL.

Upstream: api/routers/export.py, with rows of the view ``spans`` (all columns); api/export/results.py.
Downstream: pandas, DuckDB, Spark.
Guarantee: the file has the columns and types of the view or of the result, money as decimal(24, 12). This is the one
module of the API that knows pyarrow: it writes a file for a client and never reads a table (those are read through
Trino only).
"""

import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from api.kit.values import json_value
from lakehouse.contracts.tables import SPANS

_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "decimal(24,12)": pa.decimal128(24, 12),
    "list<string>": pa.list_(pa.string()),
    "map<string,string>": pa.map_(pa.string(), pa.string()),
}


def spans_schema() -> pa.Schema:
    """Columns of the view ``spans``, with their notes."""
    return pa.schema(
        [
            pa.field(column.name, _TYPES[column.type], nullable=not column.required, metadata={"doc": column.doc})
            for column in SPANS.visible_columns
        ]
    )


class _Sink(io.RawIOBase):
    """A file that is given away while it is written. Positions count from its start, as the footer needs them."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._position += len(part)
        return len(part)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


class ParquetWriter:
    """Spans as Parquet; the trace itself is in the file's metadata."""

    media_type = "application/vnd.apache.parquet"
    suffix = "parquet"

    def __init__(self) -> None:
        self._sink = _Sink()
        self._schema = spans_schema()
        self._writer: pq.ParquetWriter | None = None

    def begin(self, trace: Mapping[str, Any]) -> bytes:
        """Return the first bytes of the file."""
        names = {"clawtrace.trace_id": trace["trace_id"], "clawtrace.name": trace["name"]}
        self._schema = self._schema.with_metadata(names)
        self._writer = pq.ParquetWriter(self._sink, self._schema, compression="zstd")
        return self._sink.take()

    def spans(self, rows: Sequence[Mapping[str, Any]]) -> bytes:
        """Return a row group."""
        assert self._writer is not None, "begin comes first"
        if rows:
            self._writer.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=self._schema))
        return self._sink.take()

    def end(self) -> bytes:
        """Return the footer."""
        assert self._writer is not None, "begin comes first"
        self._writer.close()
        return self._sink.take()


# Trino's types by name; what is not here (row, interval, time, json …) is written as JSON text.
_TRINO_TYPES: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "varbinary": pa.binary(),
}
_TYPE = re.compile(r"([a-z]+)(?:\((.*)\))?(?: (with time zone))?")


def result_file(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]]) -> bytes:
    """Return rows as a Parquet file; ``columns`` are names and Trino's types."""
    arrays, fields = [], []
    for index, (name, type_name) in enumerate(columns):
        arrow = _arrow_type(type_name)
        values = [row[index] for row in rows]
        if arrow is None:
            arrow, values = pa.string(), [_json_text(value) for value in values]
        elif pa.types.is_map(arrow):
            values = [None if value is None else list(value.items()) for value in values]
        arrays.append(pa.array(values, type=arrow))
        fields.append(pa.field(name, arrow, metadata={"trino_type": type_name}))
    out = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), out, compression="zstd")
    return out.getvalue()


def _arrow_type(name: str) -> pa.DataType | None:
    """Arrow's type for one of Trino's; None when there is none that holds every value."""
    match = _TYPE.fullmatch(name)
    if match is None:
        return None
    base, inside, zone = match.groups()
    if base in ("varchar", "char"):
        return pa.string()
    if base == "timestamp":
        return pa.timestamp("us", tz="UTC" if zone else None)
    if base == "decimal":
        precision, scale = (int(part) for part in inside.split(","))
        return pa.decimal128(precision, scale)
    if base == "array":
        item = _arrow_type(inside)
        return None if item is None or pa.types.is_map(item) else pa.list_(item)
    if base == "map":
        # The key of a map is a plain type, whose only comma is inside the brackets of a decimal.
        pair = re.fullmatch(r"([a-z]+(?:\([^)]*\))?), ?(.*)", inside)
        key, value = (_arrow_type(part) for part in pair.groups()) if pair else (None, None)
        return None if key is None or value is None or pa.types.is_map(value) else pa.map_(key, value)
    return _TRINO_TYPES.get(name)


def _json_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(json_value(value), ensure_ascii=False)
