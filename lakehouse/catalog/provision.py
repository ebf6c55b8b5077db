"""Creates the silver tables and lets them grow.

Upstream: lakehouse.contracts.tables.
Downstream: `clawtrace lake provision`; the sink, which refuses to run on tables that lack a column.
Guarantee: safe to run at any time, beside the sink too; it adds columns and sets properties, and never drops,
renames or retypes anything.
"""

import contextlib
from dataclasses import asdict, dataclass

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, NamespaceAlreadyExistsError, TableAlreadyExistsError
from pyiceberg.table import Table

from lakehouse.catalog.schema import (
    COMMON_PROPERTIES,
    iceberg_schema,
    iceberg_type,
    partition_spec,
    sort_order,
)
from lakehouse.contracts.columns import ColumnSpec
from lakehouse.contracts.tables import TableSpec

# The sink may commit in between; its commits are seconds apart.
_MAX_ATTEMPTS = 5
# Nested fields get their real ids from the schema update.
_ANY_ID = 1


class TypeMismatch(Exception):
    """A column exists with another type than its spec says; nobody but a person may solve that."""


@dataclass(frozen=True)
class TableChange:
    """What has to be done, or was done, to one table."""

    table: str
    created: bool
    added_columns: tuple[str, ...] = ()
    changed_docs: tuple[str, ...] = ()
    set_properties: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the table is as it should be."""
        return not (self.created or self.added_columns or self.changed_docs or self.set_properties)

    def describe(self) -> str:
        """Say it in one line."""
        if self.is_empty:
            return f"{self.table}: as it should be"
        parts = ["created"] if self.created else []
        if self.added_columns:
            parts.append(f"added {', '.join(self.added_columns)}")
        if self.changed_docs:
            parts.append(f"new text for {', '.join(self.changed_docs)}")
        if self.set_properties:
            parts.append(f"set {', '.join(self.set_properties)}")
        return f"{self.table}: {'; '.join(parts)}"

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return asdict(self)


def provision_tables(catalog: Catalog, namespace: str, tables: tuple[TableSpec, ...]) -> tuple[TableChange, ...]:
    """Make namespace and tables as the specs say; returns what was done, one entry per table.

    Raises:
        TypeMismatch: a column has another type than its spec.
    """
    if not catalog.namespace_exists(namespace):
        # Somebody else may be as quick.
        with contextlib.suppress(NamespaceAlreadyExistsError):
            catalog.create_namespace(namespace)
    return tuple(_provision_table(catalog, namespace, table) for table in tables)


def pending_change(table: Table, spec: TableSpec) -> TableChange:
    """Compare a table with its spec, changing nothing.

    Raises:
        TypeMismatch: a column has another type than its spec.
    """
    fields = {field.name: field for field in table.schema().fields}
    added, redocumented = [], []
    for column in spec.columns:
        field = fields.get(column.name)
        if field is None:
            added.append(column.name)
            continue
        wanted = str(iceberg_type(column.type, _ANY_ID)).partition("<")[0]
        found = str(field.field_type).partition("<")[0]
        if wanted != found:
            raise TypeMismatch(f"{spec.name}.{column.name} is {found}, the spec says {wanted}")
        if field.doc != column.doc:
            redocumented.append(column.name)
    properties = [
        name
        for name, value in COMMON_PROPERTIES.items()
        # The format version is not kept among the properties.
        if name != "format-version" and table.properties.get(name) != value
    ]
    return TableChange(spec.name, False, tuple(added), tuple(redocumented), tuple(properties))


def _provision_table(catalog: Catalog, namespace: str, spec: TableSpec) -> TableChange:
    identifier = (namespace, spec.name)
    if not catalog.table_exists(identifier):
        schema = iceberg_schema(spec)
        try:
            catalog.create_table(
                identifier,
                schema,
                partition_spec=partition_spec(spec, schema),
                sort_order=sort_order(spec, schema),
                properties=COMMON_PROPERTIES,
            )
        except TableAlreadyExistsError:
            pass
        else:
            return TableChange(spec.name, created=True)
    for attempt in range(1, _MAX_ATTEMPTS + 1):
        table = catalog.load_table(identifier)
        change = pending_change(table, spec)
        if change.is_empty:
            return change
        try:
            _apply(table, spec, change)
        except CommitFailedException:
            if attempt == _MAX_ATTEMPTS:
                raise
        else:
            return change
    raise AssertionError("unreachable")


def _apply(table: Table, spec: TableSpec, change: TableChange) -> None:
    with table.transaction() as transaction:
        if change.set_properties:
            transaction.set_properties({name: COMMON_PROPERTIES[name] for name in change.set_properties})
        if change.added_columns or change.changed_docs:
            with transaction.update_schema() as update:
                for name in change.added_columns:
                    column = spec.column(name)
                    # Old files lack the column, so it cannot be required, whatever the spec says.
                    update.add_column(column.name, iceberg_type(column.type, _ANY_ID), column.doc)
                for name in change.changed_docs:
                    update.update_column(name, doc=spec.column(name).doc)


def missing_columns(table: Table, spec: TableSpec) -> list[ColumnSpec]:
    """Columns that the spec has and the table lacks."""
    present = {field.name for field in table.schema().fields}
    return [column for column in spec.columns if column.name not in present]
