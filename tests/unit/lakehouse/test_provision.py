"""Provisioning says what differs, and does no more than that."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog

from lakehouse.catalog.provision import TypeMismatch, provision_tables
from lakehouse.contracts.columns import ColumnSpec
from lakehouse.contracts.tables import TABLES, TableSpec, table_named
from lakehouse.sink.committer import TableCommitter
from lakehouse.sink.feeds import FEEDS, SeenState
from lakehouse.sink.progress import TableProgress
from lakehouse.sink.rows import build_rows
from tests.unit.lakehouse import records as make

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


def test_a_lake_of_an_older_release_takes_rows_with_the_new_column(catalog: SqlCatalog) -> None:
    spec, new = table_named("spans"), "cache_write_1h_tokens"
    older = dataclasses.replace(spec, columns=tuple(it for it in spec.columns if it.name != new))
    provision_tables(catalog, "silver", (older,))
    _append_call(catalog, older, "a", cache_write_1h_tokens=40)
    (change,) = provision_tables(catalog, "silver", (spec,))
    assert change.added_columns == (new,)
    # The column stands last in this table, and in the middle of its spec.
    _append_call(catalog, spec, "b", cache_write_1h_tokens=40)
    rows = catalog.load_table(("silver", "spans")).scan().to_arrow().to_pylist()
    assert {row["span_id"]: (row["cache_write_tokens"], row[new], row["output_tokens"]) for row in rows} == {
        "a": (100, None, 7),
        "b": (100, 40, 7),
    }


def test_traces_of_an_older_release_have_no_labels_and_newer_ones_do(catalog: SqlCatalog) -> None:
    spec = table_named("traces")
    older = dataclasses.replace(spec, columns=tuple(it for it in spec.columns if it.name != "labels"))
    provision_tables(catalog, "silver", (older,))
    _append_trace(catalog, older, "a")
    (change,) = provision_tables(catalog, "silver", (spec,))
    assert change.added_columns == ("labels",)
    _append_trace(catalog, spec, "b", labels={"skill": "c0f8cf095936", "variant": "a"})
    _append_trace(catalog, spec, "c")
    rows = catalog.load_table(("silver", "traces")).scan().to_arrow().to_pylist()
    assert {row["trace_id"]: row["labels"] for row in rows} == {
        "a": None,
        "b": [("skill", "c0f8cf095936"), ("variant", "a")],
        "c": [],
    }


def _append_trace(catalog: SqlCatalog, spec: TableSpec, trace_id: str, **more: Any) -> None:
    trace = make.trace(trace_id, 1, **more)
    (feed,) = (it for it in FEEDS if spec.name in it.tables and it.topic.endswith("traces.v1"))
    columns = feed.tables[spec.name](make.trace_batch(1, [trace]), 1, SeenState(0))
    committer = TableCommitter(catalog, ("silver", spec.name), spec, lambda _: True)
    committer.check()
    committer.commit(committer.write(build_rows(spec, columns, 1)), TableProgress(epoch=1, commit_id=trace_id))


def _append_call(catalog: SqlCatalog, spec: TableSpec, span_id: str, **tokens: int) -> None:
    span = make.span("t1", span_id, 1, cache_write_tokens=100, output_tokens=7, **tokens)
    (feed,) = (it for it in FEEDS if spec.name in it.tables and it.topic.endswith("spans.v1"))
    columns = feed.tables[spec.name](make.span_batch(1, [span]), 1, SeenState(0))
    committer = TableCommitter(catalog, ("silver", spec.name), spec, lambda _: True)
    committer.check()
    committer.commit(committer.write(build_rows(spec, columns, 1)), TableProgress(epoch=1, commit_id=span_id))


def test_another_type_is_refused(catalog: SqlCatalog) -> None:
    provision_tables(catalog, "silver", (AGENTS,))
    columns = (dataclasses.replace(AGENTS.columns[0], type="long"), *AGENTS.columns[1:])
    with pytest.raises(TypeMismatch, match=r"agents\.tenant_id is string, the spec says long"):
        provision_tables(catalog, "silver", (dataclasses.replace(AGENTS, columns=columns),))
