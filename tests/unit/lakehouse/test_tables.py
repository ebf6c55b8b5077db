"""Tables, views and manifest say the same thing."""

import msgspec
import pytest
import sqlglot
from sqlglot.optimizer.qualify import qualify

from lakehouse.contracts.columns import columns_of
from lakehouse.contracts.manifest import build_manifest
from lakehouse.contracts.tables import TABLES, TableSpec, table_named
from lakehouse.contracts.views import tenant_filter, view_query, view_statement
from producers.contracts.event import Event
from stream_jobs.contracts.alert import Alert
from stream_jobs.contracts.card import Card
from stream_jobs.contracts.span import Span
from stream_jobs.contracts.trace import Trace

all_tables = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


@pytest.mark.parametrize(
    ("name", "struct", "elsewhere"),
    [
        # The trace context becomes columns of its own.
        ("events", Event, {"trace"}),
        ("spans", Span, set()),
        ("traces", Trace, set()),
        ("alerts", Alert, set()),
        ("cards", Card, set()),
    ],
)
def test_every_field_of_a_contract_has_a_column(name: str, struct: type[msgspec.Struct], elsewhere: set[str]) -> None:
    filled_by = {column.field.partition(".")[0] for column in table_named(name).columns}
    assert set(struct.__struct_fields__) - elsewhere <= filled_by


@all_tables
def test_every_column_has_a_doc_and_a_name_of_its_own(table: TableSpec) -> None:
    assert all(column.doc for column in table.columns)
    names = [column.name for column in table.columns]
    assert len(names) == len(set(names))
    assert not [name for name in names if name.endswith("_at_us")]


@all_tables
def test_partition_and_sort_are_columns_and_the_key_holds_the_partition(table: TableSpec) -> None:
    names = {column.name for column in table.columns}
    assert set(table.partition) | set(table.sort) <= names
    assert set(table.partition) <= set(table.key)
    assert table.column("tenant_id").required
    assert {"rev", "epoch"} <= names


def test_token_columns_keep_their_names() -> None:
    tokens = {"input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"}
    for name in ("spans", "traces", "cards"):
        assert tokens <= {column.name for column in table_named(name).visible_columns}


@all_tables
def test_views_hide_internals_and_filter_below_the_window(table: TableSpec) -> None:
    query = view_query(table, "silver.t")
    tree = sqlglot.parse_one(query, dialect="trino")
    assert tree.named_selects == [column.name for column in table.visible_columns]
    innermost = list(tree.find_all(sqlglot.exp.Select))[-1]
    assert innermost.args["where"].this.sql("trino") == sqlglot.parse_one(tenant_filter()).sql("trino")
    assert "SECURITY DEFINER" in view_statement(table, "silver.t", "v")


def test_manifest_shows_what_the_views_have() -> None:
    shown = {view.name: [column.name for column in view.columns] for view in build_manifest()}
    assert shown == {table.name: [column.name for column in table.visible_columns] for table in TABLES}
    assert not {"rev", "epoch", "link_rev", "at_us"} & {name for names in shown.values() for name in names}


def test_example_questions_use_columns_that_exist() -> None:
    schema = {view.name: {column.name: column.sql_type for column in view.columns} for view in build_manifest()}
    for view in build_manifest():
        assert view.examples
        for _, sql in view.examples:
            # Raises when a column is in no table.
            qualify(sqlglot.parse_one(sql, dialect="trino"), schema=schema, dialect="trino")


class _Odd(msgspec.Struct):
    something: dict[str, int]


def test_a_field_that_no_column_can_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="something"):
        columns_of(_Odd)
