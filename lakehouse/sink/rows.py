"""Rows of the tables: decoded records become Arrow columns.

Upstream: lakehouse.sink.feeds, which decodes records and says which rows they hold.
Downstream: lakehouse.sink.committer writes the Arrow table to files.
Guarantee: pure; the same records give the same rows. Columns are built whole, never row by row, which is what
makes the sink a small multiple of Parquet's own cost.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.catalog.schema import arrow_schema, arrow_type
from lakehouse.contracts.columns import MONEY, MONEY_SCALE, ColumnSpec
from lakehouse.contracts.tables import TableSpec
from producers.contracts.event import EARLIEST_AT_US, LATEST_AT_US

_EPOCH_DAY = date(1970, 1, 1)
_EARLIEST_DATE = _EPOCH_DAY + timedelta(microseconds=EARLIEST_AT_US)
_LATEST_DATE = _EPOCH_DAY + timedelta(microseconds=LATEST_AT_US)
_US_PER_DAY = 86_400_000_000
_MONEY_STEP = Decimal(1).scaleb(-MONEY_SCALE)

Values = list[Any]


class UnfitRow(Exception):
    """A value fits no column: a number too big, a date that is none; the text names the column."""


def build_rows(table: TableSpec, columns: dict[str, Values], epoch: int) -> pa.Table:
    """Make the Arrow table of one commit, sorted as the table is.

    ``columns`` holds the contract's values by column name, see :func:`encoded_values`; epoch is filled in.

    Raises:
        UnfitRow: at least one value fits no column.
    """
    arrays = []
    num_rows = len(columns[table.columns[0].name])
    for column in table.columns:
        if column.name == "epoch":
            arrays.append(pa.repeat(pa.scalar(epoch, pa.int64()), num_rows))
            continue
        try:
            arrays.append(_array(column, columns[column.name]))
        except (pa.ArrowException, ValueError, TypeError, OverflowError, ArithmeticError) as error:
            raise UnfitRow(f"{table.name}.{column.name}: {error}") from error
    rows = pa.Table.from_arrays(arrays, schema=arrow_schema(table))
    return rows.sort_by([(name, "ascending") for name in table.sort])


def getters_of(columns: Iterable[ColumnSpec], prefix: str = "") -> dict[str, Callable[[Any], Any]]:
    """For each column that a contract field fills, how to take the value from a struct.

    Fields inside an optional struct (``trace.span_id``) give None when the struct is not there.
    """
    return {column.name: _getter(column.field.removeprefix(prefix)) for column in columns if column.field}


def _getter(path: str) -> Callable[[Any], Any]:
    outer, _, inner = path.partition(".")
    if not inner:
        return attrgetter(path)

    def inside(struct: Any) -> Any:
        nested = getattr(struct, outer)
        return None if nested is None else getattr(nested, inner)

    return inside


def _array(column: ColumnSpec, values: Values) -> pa.Array:
    kind = arrow_type(column)
    if column.encoding == "microseconds":
        instants = _clamped_instants(values)
        if column.type == "date":
            return pc.divide(instants, _US_PER_DAY).cast(pa.int32()).cast(pa.date32())
        return instants.cast(kind)
    if column.encoding == "iso_date":
        return _clamped_dates(pa.array(values, pa.string()).cast(pa.date32()))
    if column.encoding == "nested":
        return pa.array([msgspec.json.encode(value).decode() for value in values], kind)
    if column.encoding == "raw_json":
        # The cast checks that it is UTF-8: Trino could not read the file otherwise.
        return pa.array([bytes(value) for value in values], pa.binary()).cast(pa.string())
    if column.type == MONEY:
        return pa.array([_money(value) for value in values], kind)
    if column.type == "map<string,string>":
        return pa.array([list(value.items()) for value in values], kind)
    return pa.array(values, kind)


def _clamped_instants(values: Values) -> pa.Array:
    """An agent's clock may say anything; an instant that no engine can read must not get into a file."""
    return _clamped(pa.array(values, pa.int64()), EARLIEST_AT_US, LATEST_AT_US)


def _clamped_dates(dates: pa.Array) -> pa.Array:
    return _clamped(dates, pa.scalar(_EARLIEST_DATE, pa.date32()), pa.scalar(_LATEST_DATE, pa.date32()))


def _clamped(values: pa.Array, low: Any, high: Any) -> pa.Array:
    clamped = pc.min_element_wise(pc.max_element_wise(values, low), high)
    # The element-wise functions take a missing value for "no opinion" and would fill in the bound.
    return pc.if_else(pc.is_valid(values), clamped, pa.scalar(None, values.type))


def _money(value: Decimal | None) -> Decimal | None:
    if value is None:
        return None
    exponent = value.as_tuple().exponent
    if isinstance(exponent, str):
        raise ValueError(f"{value} is no amount of money")
    # Arrow refuses to drop digits by itself.
    return value.quantize(_MONEY_STEP) if exponent < -MONEY_SCALE else value


def concat_columns(parts: Sequence[dict[str, Values]]) -> dict[str, Values]:
    """Join the columns of several records."""
    joined: dict[str, Values] = {name: [] for name in parts[0]}
    for part in parts:
        for name, values in part.items():
            joined[name].extend(values)
    return joined
