"""Provisioning says what differs, and does no more than that."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog

from lakehouse.catalog.provision import TypeMismatch, provision_tables
from lakehouse.contracts.columns import ColumnSpec
from lakehouse.contracts.tables import TABLES, table_named

AGENTS = table_named("agents")


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqlCatalog]:
    """A catalog in a file; the integration tests use the real one."""
    catalog = SqlCatalog(
        "test", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}/warehouse", schema_version="v1"
    )
    yield catalog
    catalog.engine.dispose()


def test_creates_once(catalog: SqlCatalog) -> None:
    assert all(change.created for change in provision_tables(catalog, "silver", TABLES))
    again = provision_tables(catalog, "silver", TABLES)
    assert [change.describe() for change in again] == [f"{table.name}: as it should be" for table in TABLES]


def test_tables_are_as_their_specs_say(catalog: SqlCatalog) -> None:
    provision_tables(catalog, "silver", TABLES)
    for spec in TABLES:
        table = catalog.load_table(("silver", spec.name))
        assert [field.name for field in table.schema().fields] == [column.name for column in spec.columns]
        assert [field.doc for field in table.schema().fields] == [column.doc for column in spec.columns]
        assert [field.name for field in table.spec().fields] == list(spec.partition)
        assert len(table.sort_order().fields) == len(spec.sort)
        assert table.format_version == 2
        assert table.properties["commit.retry.num-retries"] == "0"


def test_adds_columns_and_new_docs_and_nothing_else(catalog: SqlCatalog) -> None:
    provision_tables(catalog, "silver", (AGENTS,))
    first, *others = AGENTS.columns
    grown = dataclasses.replace(
        AGENTS,
        columns=(
            dataclasses.replace(first, doc="Another sentence."),
            *others,
            ColumnSpec("team", "list<string>", "Who looks after it."),
        ),
    )
    (change,) = provision_tables(catalog, "silver", (grown,))
    assert (change.added_columns, change.changed_docs) == (("team",), ("tenant_id",))
    assert change.describe() == "agents: added team; new text for tenant_id"
    # An older checkout drops nothing.
    (back,) = provision_tables(catalog, "silver", (AGENTS,))
    assert back.added_columns == ()
    assert "team" in catalog.load_table(("silver", "agents")).schema().column_names


def test_another_type_is_refused(catalog: SqlCatalog) -> None:
    provision_tables(catalog, "silver", (AGENTS,))
    columns = (dataclasses.replace(AGENTS.columns[0], type="long"), *AGENTS.columns[1:])
    with pytest.raises(TypeMismatch, match=r"agents\.tenant_id is string, the spec says long"):
        provision_tables(catalog, "silver", (dataclasses.replace(AGENTS, columns=columns),))
