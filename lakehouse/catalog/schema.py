"""Turns table specs into Iceberg's words: schema, partition, sort order, properties.

Upstream: lakehouse.contracts.tables.
Downstream: provisioning, and the Arrow schema of the sink.
Guarantee: pure; the same spec always gives the same definition.
"""

import pyarrow as pa
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import NullOrder, SortDirection, SortField, SortOrder
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IcebergType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    TimestamptzType,
)

from lakehouse.contracts.columns import ColumnSpec, ColumnType
from lakehouse.contracts.tables import TableSpec

# Ids of partition fields start here in every Iceberg table.
_FIRST_PARTITION_FIELD_ID = 1000

_SCALAR_TYPES: dict[ColumnType, IcebergType] = {
    "string": StringType(),
    "long": LongType(),
    "double": DoubleType(),
    "boolean": BooleanType(),
    "date": DateType(),
    "timestamptz": TimestamptzType(),
    "decimal(24,12)": DecimalType(24, 12),
}

_ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "decimal(24,12)": pa.decimal128(24, 12),
    # "element" and so on are Iceberg's names; pyiceberg finds the ids of nested fields by them.
    "list<string>": pa.list_(pa.field("element", pa.string(), nullable=False)),
    "map<string,string>": pa.map_(pa.string(), pa.field("value", pa.string(), nullable=False)),
}

COMMON_PROPERTIES: dict[str, str] = {
    "format-version": "2",
    # A commit must be compare-and-swap: with pyiceberg's own retries a zombie's append is accepted twice.
    "commit.retry.num-retries": "0",
    "write.parquet.compression-codec": "zstd",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    # Each commit adds one manifest; unmerged, planning a query reads every one of them.
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "25",
}


def iceberg_type(column_type: ColumnType, next_id: int) -> IcebergType:
    """Iceberg type of a column; ids of nested fields start at ``next_id``."""
    if column_type == "list<string>":
        return ListType(element_id=next_id, element=StringType(), element_required=True)
    if column_type == "map<string,string>":
        return MapType(
            key_id=next_id,
            key_type=StringType(),
            value_id=next_id + 1,
            value_type=StringType(),
            value_required=True,
        )
    return _SCALAR_TYPES[column_type]


def iceberg_schema(table: TableSpec) -> Schema:
    """Iceberg schema of a new table; the catalog numbers the fields anew."""
    nested_id = len(table.columns) + 1
    fields = []
    for number, column in enumerate(table.columns, start=1):
        kind = iceberg_type(column.type, nested_id)
        nested_id += 2
        fields.append(
            NestedField(field_id=number, name=column.name, field_type=kind, required=column.required, doc=column.doc)
        )
    return Schema(*fields)


def partition_spec(table: TableSpec, schema: Schema) -> PartitionSpec:
    """Partition by the columns as they are: a DATE column is already a day."""
    return PartitionSpec(
        *(
            PartitionField(
                source_id=schema.find_field(name).field_id,
                field_id=_FIRST_PARTITION_FIELD_ID + number,
                transform=IdentityTransform(),
                name=name,
            )
            for number, name in enumerate(table.partition)
        )
    )


def sort_order(table: TableSpec, schema: Schema) -> SortOrder:
    """Sort order; Trino applies it when it rewrites files, the sink sorts by itself."""
    return SortOrder(
        *(
            SortField(
                source_id=schema.find_field(name).field_id,
                transform=IdentityTransform(),
                direction=SortDirection.ASC,
                null_order=NullOrder.NULLS_LAST,
            )
            for name in table.sort
        )
    )


def arrow_type(column: ColumnSpec) -> pa.DataType:
    """Arrow type of a column."""
    return _ARROW_TYPES[column.type]


def arrow_schema(table: TableSpec) -> pa.Schema:
    """Arrow schema of the rows that the sink makes."""
    return pa.schema(
        [pa.field(column.name, arrow_type(column), nullable=not column.required) for column in table.columns]
    )
