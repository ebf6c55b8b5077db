"""Columns of tables, taken from the contracts of the topics that fill them.

Upstream: the msgspec structs of producers.contracts and stream_jobs.contracts.
Downstream: lakehouse.contracts.tables.
Guarantee: a field that is added to a contract becomes a column, with the field's own sentence as its doc;
a field of a shape that no column can hold fails at import, not in the sink.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec import inspect

ColumnType = Literal[
    "string",
    "long",
    "double",
    "boolean",
    "date",
    "timestamptz",
    "decimal(24,12)",
    "list<string>",
    "map<string,string>",
]
# How the contract says the value: as the column has it, as microseconds, as YYYY-MM-DD, as nested structs
# (which become JSON text), or as JSON that nobody has decoded.
Encoding = Literal["plain", "microseconds", "iso_date", "nested", "raw_json"]

# 12 decimals hold the price of one token of the cheapest model; 12 digits before them hold any bill.
MONEY: Literal["decimal(24,12)"] = "decimal(24,12)"
MONEY_SCALE = 12


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column.

    ``field`` is the dotted path of the contract field that fills it (empty: the sink does);
    ``internal`` columns are not in the views for people.
    """

    name: str
    type: ColumnType
    doc: str
    required: bool = False
    internal: bool = False
    field: str = ""
    encoding: Encoding = "plain"


def columns_of(
    struct: type[msgspec.Struct],
    *,
    without: Iterable[str] = (),
    internal: Iterable[str] = (),
    prefix: str = "",
    within: str = "",
) -> tuple[ColumnSpec, ...]:
    """Make the columns of a contract's struct, in the order of its fields.

    ``*_at_us`` and ``at_us`` become instants without the unit in the name, ``*_date`` a DATE. ``prefix`` goes
    before column names, ``within`` before the path of the field, for structs inside structs.
    """
    left_out, hidden = set(without), set(internal)
    info = inspect.type_info(struct)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{struct} is not a struct")
    return tuple(
        _column(field, hidden=field.name in hidden, prefix=prefix, within=within)
        for field in info.fields
        if field.name not in left_out
    )


def _column(field: inspect.Field, *, hidden: bool, prefix: str, within: str) -> ColumnSpec:
    kind, doc = _undress(field.type)
    kind, optional = _unwrap_optional(kind)
    name = f"{prefix}{field.name}"
    path = f"{within}.{field.name}" if within else field.name
    column_type, encoding = _column_type(field.name, kind)
    if encoding == "microseconds":
        name = name.removesuffix("_us")
    return ColumnSpec(name, column_type, doc, not optional, hidden, path, encoding)


def _undress(kind: inspect.Type) -> tuple[inspect.Type, str]:
    if isinstance(kind, inspect.Metadata):
        description = (kind.extra_json_schema or {}).get("description", "")
        return kind.type, str(description)
    return kind, ""


def _unwrap_optional(kind: inspect.Type) -> tuple[inspect.Type, bool]:
    if not isinstance(kind, inspect.UnionType):
        return kind, False
    present = [option for option in kind.types if not isinstance(option, inspect.NoneType)]
    if len(present) != 1:
        raise TypeError(f"no column can hold {kind}")
    return present[0], len(present) != len(kind.types)


_PLAIN_TYPES: dict[type[inspect.Type], ColumnType] = {
    inspect.StrType: "string",
    inspect.BoolType: "boolean",
    inspect.FloatType: "double",
    inspect.DecimalType: MONEY,
}


def _column_type(name: str, kind: inspect.Type) -> tuple[ColumnType, Encoding]:
    match kind:
        case inspect.IntType() if name.endswith("at_us"):
            return "timestamptz", "microseconds"
        case inspect.IntType():
            return "long", "plain"
        case inspect.StrType() if name.endswith("_date"):
            return "date", "iso_date"
        case inspect.LiteralType():
            return "string", "plain"
        case inspect.RawType():
            return "string", "raw_json"
        case inspect.ListType(item_type=inspect.StrType()):
            return "list<string>", "plain"
        case inspect.ListType(item_type=inspect.StructType()):
            return "string", "nested"
        case inspect.DictType(key_type=inspect.StrType(), value_type=inspect.StrType()):
            return "map<string,string>", "plain"
    if plain := _PLAIN_TYPES.get(type(kind)):
        return plain, "plain"
    raise TypeError(f"no column can hold the field {name}: {kind}")
