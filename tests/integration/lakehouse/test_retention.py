"""Rows that are older than their tenant keeps them go; nothing else does, and the sink goes on meanwhile."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import Engine

from infra.runtime import retention_rows
from infra.runtime.database import make_engine
from lakehouse.contracts.tables import table_named
from lakehouse.maintenance.procedures import Upkeep
from stream_jobs.contracts.topics import ALERTS, SPANS
from tests.integration.lakehouse.lake import Lake, wait_until
from tests.unit.lakehouse import records as make

TODAY = datetime.now(UTC).date()
SHORT, LONG = "short00", "long000"
OLD, YOUNG = TODAY - timedelta(days=40), TODAY - timedelta(days=2)


@pytest.fixture
def database(lake: Lake) -> Iterator[Engine]:
    """Postgres, without what the test has set afterwards."""
    engine = make_engine(lake.stack)
    yield engine
    with engine.begin() as connection:
        for table in ("spans", "alerts"):
            retention_rows.remove_days(connection, SHORT, table)
    engine.dispose()


def _spans(lake: Lake, tenant_id: str, day: date, rev: int) -> None:
    spans = [
        msgspec.structs.replace(
            make.span(f"{day}-trace", f"{day}-span-{n}", rev), tenant_id=tenant_id, trace_date=str(day)
        )
        for n in range(3)
    ]
    batch = msgspec.structs.replace(make.span_batch(rev, spans), tenant_id=tenant_id)
    lake.produce(SPANS.name, make.encode(batch))


def _alert(lake: Lake, tenant_id: str, day: date, rev: int) -> None:
    batch = make.alert_batch(rev)
    at_us = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1e6)
    alerts = [
        msgspec.structs.replace(alert, tenant_id=tenant_id, alert_id=f"alert-{day}", at_us=at_us)
        for alert in batch.alerts
    ]
    lake.produce(ALERTS.name, make.encode(msgspec.structs.replace(batch, tenant_id=tenant_id, alerts=alerts)))


def _kept(lake: Lake, table: str, column: str) -> list[tuple[str, str]]:
    rows = lake.rows(table).select(["tenant_id", column]).to_pylist()
    return sorted({(row["tenant_id"], str(row[column])[:10]) for row in rows})


def test_only_that_tenants_old_rows_go_and_the_sink_goes_on(lake: Lake, database: Engine) -> None:
    with database.begin() as connection:
        for table in ("spans", "alerts"):
            retention_rows.set_days(connection, SHORT, table, 30, who="test")
    sink = lake.start_sink()
    rev = 0
    for day in (OLD, YOUNG):
        for tenant_id in (SHORT, LONG):
            rev += 1
            _spans(lake, tenant_id, day, rev)
            _alert(lake, tenant_id, day, rev)
    lake.flush()
    wait_until(lambda: (lake.num_rows("spans"), lake.num_rows("alerts")) == (12, 4), "all rows are in the tables")
    before = lake.progress("spans")

    upkeep = Upkeep(lake.upkeep_settings())
    for table in ("spans", "alerts"):
        outcome = upkeep.run("delete_old_rows", [table_named(table)])[0]
        assert outcome.error is None
        assert not outcome.skipped

    everything_else = [(LONG, str(OLD)), (LONG, str(YOUNG)), (SHORT, str(YOUNG))]
    assert _kept(lake, "spans", "trace_date") == everything_else
    assert lake.num_rows("spans") == 9
    assert _kept(lake, "alerts", "at") == everything_else
    # What the sink knows of itself is in the table still.
    assert lake.progress("spans").sources == before.sources
    assert upkeep.run("delete_old_rows", [table_named("spans")])[0].skipped

    _spans(lake, SHORT, TODAY, rev + 1)
    lake.flush()
    wait_until(lambda: lake.num_rows("spans") == 12, "the sink goes on")
    assert (SHORT, str(TODAY)) in _kept(lake, "spans", "trace_date")
    assert sink.process.poll() is None


def test_the_defaults_hold_for_tenants_that_set_nothing(lake: Lake, database: Engine) -> None:
    sink = lake.start_sink()
    _spans(lake, LONG, OLD, 1)
    _spans(lake, LONG, YOUNG, 2)
    lake.flush()
    wait_until(lambda: lake.num_rows("spans") == 6, "all rows are in the tables")
    spans = [table_named("spans")]
    assert Upkeep(lake.upkeep_settings()).run("delete_old_rows", spans)[0].skipped
    outcome = Upkeep(lake.upkeep_settings(retention_days={"spans": 10})).run("delete_old_rows", spans)[0]
    assert outcome.error is None
    assert _kept(lake, "spans", "trace_date") == [(LONG, str(YOUNG))]
    assert sink.process.poll() is None
