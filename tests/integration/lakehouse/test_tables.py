"""Tables grow with their specs, and the views read little."""

import dataclasses

import msgspec
import pytest

from infra.runtime.trino_connection import MAINTENANCE, connect
from lakehouse.catalog.provision import provision_tables
from lakehouse.catalog.publish_views import publish_views
from lakehouse.contracts.columns import ColumnSpec
from lakehouse.contracts.tables import TABLES, table_named
from lakehouse.contracts.views import TENANT_USER_PREFIX, view_query
from lakehouse.sink.feeds import FEEDS, SeenState
from lakehouse.sink.rows import build_rows
from stream_jobs.contracts.topics import ALERTS
from tests.integration.lakehouse.filling import commit_spans, committer_of
from tests.integration.lakehouse.lake import Lake
from tests.unit.lakehouse import records as make

# A tenant that the maintenance user would be, were its first two letters the prefix of tenants' users.
ITS_TENANT = MAINTENANCE[len(TENANT_USER_PREFIX) :]


def _query_as_its_tenant(lake: Lake, table: str = "spans") -> str:
    query = view_query(table_named(table), f'"{lake.namespace}"."{table}"')
    return query.replace(f"'{TENANT_USER_PREFIX}'", f"'{MAINTENANCE[: len(TENANT_USER_PREFIX)]}'")


def _ask(lake: Lake, query: str) -> list[list[object]]:
    cursor = connect(lake.stack, MAINTENANCE).cursor()
    cursor.execute(query)
    return [list(row) for row in cursor.fetchall()]


def test_a_new_column_of_the_spec_is_added_beside_a_running_committer(lake: Lake) -> None:
    committer = committer_of(lake, "spans")
    commit_spans(committer, rev=1)
    spec = table_named("spans")
    grown = dataclasses.replace(
        spec,
        columns=(
            *spec.columns,
            ColumnSpec("mood", "string", "How the model felt.", required=True),
            ColumnSpec("tags", "map<string,string>", "What people say about it."),
        ),
    )
    (change,) = provision_tables(lake.catalog, lake.namespace, (grown,))
    assert change.added_columns == ("mood", "tags")
    assert provision_tables(lake.catalog, lake.namespace, (grown,))[0].is_empty
    # The committer still has the old schema in mind, and an older sink may run for a while.
    commit_spans(committer, rev=2)
    commit_spans(committer_of(lake, "spans"), rev=3)
    rows = lake.rows("spans")
    assert rows.num_rows == 15
    assert rows["mood"].null_count == 15
    field = lake.table("spans").schema().find_field("mood")
    assert field.doc == "How the model felt."
    assert not field.required


def test_provisioning_again_changes_nothing(lake: Lake) -> None:
    changes = provision_tables(lake.catalog, lake.namespace, TABLES)
    assert all(change.is_empty for change in changes)


def test_a_property_that_somebody_changed_is_set_back(lake: Lake) -> None:
    with lake.table("events").transaction() as transaction:
        transaction.set_properties({"commit.retry.num-retries": "4"})
    changes = {change.table: change for change in provision_tables(lake.catalog, lake.namespace, TABLES)}
    assert changes["events"].set_properties == ("commit.retry.num-retries",)
    assert lake.table("events").properties["commit.retry.num-retries"] == "0"


def test_views_read_the_newest_revision_of_one_tenant_and_nothing_else(lake: Lake) -> None:
    committer = committer_of(lake, "spans")
    for tenant_id in (ITS_TENANT, "other01"):
        for trace_date in ("2026-03-04", "2026-03-05"):
            for rev in (1, 2):
                commit_spans(committer, rev, 5, tenant_id=tenant_id, trace_date=trace_date)
    query = _query_as_its_tenant(lake)
    where = "trace_date >= DATE '2026-03-05' AND trace_id = 'trace-3'"
    rows = _ask(lake, f"SELECT tenant_id, span_id FROM ({query}) WHERE {where}")
    assert rows == [[ITS_TENANT, "span-3"]]
    (plan,) = _ask(lake, f"EXPLAIN SELECT max(agent_id) FROM ({query}) WHERE {where}")
    scan = str(plan[0]).rpartition("$data@")[2]
    assert "constraint on [tenant_id, trace_date]" in scan
    assert "filterPredicate = (trace_id = varchar 'trace-3')" in scan
    assert f":: [[{ITS_TENANT}]]" in scan
    assert ":: [[2026-03-05, <max>)]" in scan


@pytest.mark.parametrize("told", [("alert", "ok"), ("ok", "alert")])
def test_an_alert_that_was_over_within_its_record_reads_as_over(lake: Lake, told: tuple[str, str]) -> None:
    spec = table_named("alerts")
    batch = make.alert_batch(7)
    alerts = [msgspec.structs.replace(batch.alerts[0], tenant_id=ITS_TENANT, state=state) for state in told]
    earlier = [msgspec.structs.replace(alert, rev=6, state="warn") for alert in alerts[:1]]
    committer = committer_of(lake, "alerts")
    for rows in (alerts, earlier):
        feed = next(feed for feed in FEEDS if feed.topic == ALERTS.name)
        columns = feed.tables["alerts"](msgspec.structs.replace(batch, alerts=rows), 7, SeenState(0))
        wanted = committer.progress().following()
        committer.commit(committer.write(build_rows(spec, columns, wanted.epoch)), wanted)
    assert _ask(lake, f"SELECT state FROM ({_query_as_its_tenant(lake, 'alerts')})") == [["ok"]]


def test_views_show_a_stranger_nothing(lake: Lake) -> None:
    commit_spans(committer_of(lake, "spans"), rev=1)
    settings = lake.settings()
    changes = publish_views(settings)
    assert all(change.created for change in changes)
    assert [change.diff for change in publish_views(settings)] == [""] * len(TABLES)
    try:
        # Not even the owner of the view is a tenant.
        assert _ask(lake, f'SELECT * FROM "{settings.view_namespace}"."spans"') == []
        for spec in TABLES:
            columns = _ask(lake, f'SHOW COLUMNS FROM "{settings.view_namespace}"."{spec.name}"')
            assert [column[0] for column in columns] == [column.name for column in spec.visible_columns]
    finally:
        for spec in TABLES:
            _ask(lake, f'DROP VIEW "{settings.view_namespace}"."{spec.name}"')
        _ask(lake, f'DROP SCHEMA "{settings.view_namespace}"')
