"""Which rows an erasure is about."""

import pyarrow as pa
import pytest

from infra.runtime.tombstones import NO_TOMBSTONES, Tombstone, Tombstones
from lakehouse.contracts.tables import TABLES, TableSpec, table_named
from lakehouse.sink.refusals import naming_columns, refused, without_refused

TENANT = "acme01"
AT_US = 1_772_600_400_000_000


def events(*rows: dict[str, object]) -> pa.Table:
    """Rows of events with the naming columns."""
    empty = {"tenant_id": TENANT, "agent_id": "laptop", "at": AT_US}
    names = naming_columns(table_named("events"))
    values = {name: [(empty | row).get(name) for row in rows] for name in names}
    schema = pa.schema([(name, pa.timestamp("us", tz="UTC") if name == "at" else pa.string()) for name in names])
    return pa.table(values, schema=schema)


def found(rows: pa.Table, *stones: Tombstone) -> list[bool]:
    """What is refused of events."""
    return refused(table_named("events"), rows, Tombstones.of(1, stones)).to_pylist()


def test_a_trace_and_its_runs() -> None:
    rows = events({"trace_id": "t"}, {"trace_id": "u"}, {"run_id": "r"}, {"trace_id": "t", "tenant_id": "other0"}, {})
    assert found(rows, Tombstone(TENANT, "trace", "t"), Tombstone(TENANT, "run", "r")) == [
        True,
        False,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(("agent_id", "expected"), [("", [True, True]), ("laptop", [True, False])])
def test_one_install_or_all(agent_id: str, expected: list[bool]) -> None:
    rows = events({"trace_id": "t"}, {"trace_id": "t", "agent_id": "desktop"})
    assert found(rows, Tombstone(TENANT, "trace", "t", agent_id)) == expected


def test_a_session_until_it_was_erased() -> None:
    rows = events(
        {"session_key": "s"},
        {"session_id": "s", "trace_id": "t"},
        {"session_key": "s", "at": AT_US + 10},
        {"session_key": "another"},
    )
    assert found(rows, Tombstone(TENANT, "session", "s", before_us=AT_US + 10)) == [True, True, False, False]


def test_a_window_takes_only_what_has_no_name_of_its_own() -> None:
    rows = events(
        {"session_key": "s"},
        {"session_key": "s", "run_id": "r"},
        {"session_key": "s", "trace_id": "t"},
        {"session_key": "s", "at": AT_US - 1},
        {"session_key": "s", "at": AT_US + 5},
    )
    window = Tombstone(TENANT, "window", "s", "laptop", AT_US, AT_US + 5)
    assert found(rows, window) == [True, False, False, False, False]


def test_the_tenant_is_all_of_it() -> None:
    rows = events({}, {"tenant_id": "other0"})
    assert found(rows, Tombstone(TENANT, "tenant", TENANT)) == [True, False]
    kept = without_refused(table_named("events"), rows, Tombstones.of(1, [Tombstone(TENANT, "tenant", TENANT)]))
    assert kept["tenant_id"].to_pylist() == ["other0"]


def test_nothing_was_erased() -> None:
    rows = events({"trace_id": "t"})
    assert without_refused(table_named("events"), rows, NO_TOMBSTONES) is rows


@pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.name)
def test_every_table_can_be_asked(spec: TableSpec) -> None:
    assert set(naming_columns(spec)) <= {column.name for column in spec.columns}
