"""Which rows a rebuild leaves alone: days whose events are gone, traces that began in them, alerts of budgets."""

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from infra.runtime.tombstones import NO_TOMBSTONES, Tombstone, Tombstones
from lakehouse.catalog.provision import provision_tables
from lakehouse.contracts.tables import table_named
from lakehouse.maintenance.swap import swap_files
from lakehouse.rebuild.tables import KeptUntil, TableInWork
from lakehouse.sink.feeds import FEEDS, SeenState
from tests.unit.lakehouse import records as make

KEPT, NEW = "2026-03-04", "2026-03-05"
UNTIL = {make.TENANT: date(2026, 3, 4)}
_EXTRACTS = {name: extract for feed in FEEDS for name, extract in feed.tables.items() if name in ("spans", "alerts")}


@pytest.fixture
def catalog(tmp_path: Path) -> SqlCatalog:
    """A catalog in a file, with the tables."""
    found = SqlCatalog("test", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}/warehouse")
    provision_tables(found, "silver", (table_named("spans"), table_named("alerts")))
    return found


def spans(*named: tuple[str, str], name: str = "as it was") -> dict[str, Any]:
    """Columns of spans: trace and day."""
    made = [make.span(trace_id, f"{trace_id}-span", 1, name=name) for trace_id, _ in named]
    columns: dict[str, Any] = _EXTRACTS["spans"](make.span_batch(1, made), 1, SeenState(0))
    return columns | {"trace_date": [day for _, day in named]}


def work_on(
    catalog: SqlCatalog, table: str, kept_until: KeptUntil, stones: Tombstones = NO_TOMBSTONES, *, is_dry: bool = False
) -> TableInWork:
    """The table as a rebuild takes it up."""
    return TableInWork(catalog.load_table(("silver", table)), table_named(table), stones, kept_until, is_dry)


def fill(catalog: SqlCatalog, table: str, columns: dict[str, Any]) -> None:
    """Put rows into a table that is empty."""
    first = work_on(catalog, table, {})
    first.take(columns)
    first.finish()


def rows(catalog: SqlCatalog, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """Rows of a table, sorted."""
    found: pa.Table = catalog.load_table(("silver", table)).scan(selected_fields=columns).to_arrow()
    return sorted(tuple(row[column] for column in columns) for row in found.to_pylist())


def test_days_whose_events_are_gone_stay(catalog: SqlCatalog) -> None:
    fill(catalog, "spans", spans(("old", KEPT), ("going-on", KEPT), ("new", NEW)))
    again = work_on(catalog, "spans", UNTIL)
    again.keep_traces({(make.TENANT, make.AGENT, "going-on")})
    # Seen from the first event that is left, the trace that went on begins in the new day.
    again.take(spans(("half", KEPT), ("going-on", NEW), ("new", NEW), name="again"))
    done = again.finish()
    assert (done.num_rows_before, done.num_rows_after, done.num_rows_kept) == (1, 1, 2)
    assert rows(catalog, "spans", "trace_id", "name") == [
        ("going-on", "as it was"),
        ("new", "again"),
        ("old", "as it was"),
    ]


def test_nothing_is_changed_when_it_is_only_looked_at(catalog: SqlCatalog) -> None:
    fill(catalog, "spans", spans(("new", NEW)))
    dry = work_on(catalog, "spans", {}, is_dry=True)
    dry.take(spans(("new", NEW), ("other", NEW), name="again"))
    assert (done := dry.finish()).num_rows_after == 2
    assert done.num_rows_before == 1
    assert rows(catalog, "spans", "trace_id", "name") == [("new", "as it was")]


def test_what_was_erased_is_not_made_again(catalog: SqlCatalog) -> None:
    stones = Tombstones.of(1, [Tombstone(make.TENANT, "trace", "erased")])
    again = work_on(catalog, "spans", {}, stones)
    again.take(spans(("erased", NEW), ("new", NEW)))
    again.finish()
    assert rows(catalog, "spans", "trace_id") == [("new",)]


def test_what_came_meanwhile_stays(catalog: SqlCatalog) -> None:
    fill(catalog, "spans", spans(("first", NEW)))
    again = work_on(catalog, "spans", {})
    later = work_on(catalog, "spans", {})
    later.take(spans(("later", NEW)))
    later._flush()
    swap_files(later.table, (), later._added)
    again.take(spans(("first", NEW), name="again"))
    again.finish()
    assert rows(catalog, "spans", "trace_id", "name") == [("first", "again"), ("later", "as it was")]


def test_alerts_of_budgets_stay(catalog: SqlCatalog) -> None:
    batch = make.alert_batch(1)
    columns: dict[str, Any] = _EXTRACTS["alerts"](batch, 1, SeenState(0))
    both = {name: values * 2 for name, values in columns.items()} | {
        "rule": ["run_cost", "budget"],
        "alert_id": ["by-event", "by-budget"],
    }
    fill(catalog, "alerts", both)
    assert rows(catalog, "alerts", "alert_id") == [("by-budget",), ("by-event",)]
    work_on(catalog, "alerts", {}).finish()
    assert rows(catalog, "alerts", "alert_id") == [("by-budget",)]
