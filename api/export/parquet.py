"""Traces as Parquet, a row group for each page of spans.

Upstream: api/routers/export.py, with rows of the view ``spans`` (all columns).
Downstream: pandas, DuckDB, Spark.
Guarantee: the file has the columns and types of the view, money as decimal(24, 12). This is the one module of the API
that knows pyarrow: it writes a file for a client and never reads a table (those are read through Trino only).
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

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
