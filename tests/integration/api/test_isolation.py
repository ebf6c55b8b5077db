"""Whatever SQL arrives, a tenant sees its own rows: with the guard, past the guard, and by the views alone."""

import re
from typing import Any

import pytest
from trino.exceptions import TrinoQueryError

from infra.runtime.settings import StackSettings
from infra.runtime.trino_connection import API, MAINTENANCE, OPERATOR, tenant_user
from infra.trino.rules import VIEWS
from tests.integration.api.conftest import Client, Tenant, run_sql
from tests.unit.api.sql_corpus import CROSSING, LEGITIMATE, REFUSED

# Only said to the engine: what the guard knows no words for.
_ENGINE_ONLY = (
    "SHOW STATS FOR clawtrace.spans",
    "SHOW STATS FOR (SELECT * FROM clawtrace.spans WHERE tenant_id = '{foreign}')",
    "SHOW STATS FOR clawtrace.traces",
    "EXPLAIN ANALYZE SELECT * FROM clawtrace.spans WHERE tenant_id = '{foreign}'",
    "EXPLAIN (TYPE IO, FORMAT JSON) SELECT * FROM clawtrace.spans",
    "SELECT * FROM iceberg.information_schema.columns WHERE table_schema = 'silver'",
    "SELECT * FROM iceberg.information_schema.table_privileges",
    "SHOW TABLES FROM silver",
    "SHOW COLUMNS FROM silver.spans",
    "SHOW CREATE TABLE silver.spans",
    "SHOW CREATE VIEW clawtrace.spans",
    "SELECT * FROM TABLE(exclude_columns(input => TABLE(clawtrace.spans), columns => DESCRIPTOR(name)))",
    "CREATE OR REPLACE VIEW clawtrace.spans AS SELECT 1 AS a",
    "ALTER VIEW clawtrace.spans SET AUTHORIZATION t_{own}",
    "COMMENT ON VIEW clawtrace.spans IS 'x'",
    "ALTER TABLE silver.agents EXECUTE expire_snapshots(retention_threshold => '7d')",
    "MERGE INTO silver.spans a USING clawtrace.spans b ON a.name = b.name WHEN MATCHED THEN DELETE",
    "SET SESSION iceberg.expire_snapshots_min_retention = '0s'",
    "SET SESSION query_max_run_time = '5h'",
)
_TEXTS = [*(text for texts in REFUSED.values() for text in texts if text.strip(" ;-")), *CROSSING, *_ENGINE_ONLY]
_ECHOES = re.compile(r"^\s*explain", re.IGNORECASE)


def _fill(template: str, tenants: tuple[Tenant, Tenant]) -> str:
    return template.format(own=tenants[0].tenant_id, foreign=tenants[1].tenant_id)


def _assert_clean(sql: str, said: Any, tenants: tuple[Tenant, Tenant], *, is_rows: bool) -> None:
    """Nothing of the large tenant may be in what was said to the small one."""
    foreign = tenants[1]
    assert foreign.canary not in str(said), sql
    if not is_rows or _ECHOES.match(sql):
        return
    # Its id may stand in a message or a plan that repeats the question, but never in a row.
    assert foreign.tenant_id not in str(said), sql
    numbers = {value for row in said for value in row if isinstance(value, int | float)}
    assert not numbers & {foreign.num_spans, foreign.num_spans + tenants[0].num_spans}, sql


@pytest.mark.parametrize("template", _TEXTS)
def test_past_the_guard_no_foreign_row_or_value(
    stack: StackSettings, tenants: tuple[Tenant, Tenant], template: str
) -> None:
    sql = _fill(template, tenants)
    try:
        said: Any = run_sql(stack, sql, API, tenant_user(tenants[0].tenant_id))
        is_rows = True
    except TrinoQueryError as error:
        said, is_rows = f"{error.message} {error.failure_info}", False
    _assert_clean(sql, said, tenants, is_rows=is_rows)


@pytest.mark.parametrize("template", [text for text in _TEXTS if text not in _ENGINE_ONLY])
def test_with_the_guard_no_foreign_row_or_value(small: Client, tenants: tuple[Tenant, Tenant], template: str) -> None:
    sql = _fill(template, tenants)
    answer = small.sql(sql)
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 200:
        _assert_clean(sql, answer.json()["rows"], tenants, is_rows=True)
        assert template in CROSSING
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        _assert_clean(sql, answer.text, tenants, is_rows=False)


def test_all_of_that_changed_nothing(operator_counts: dict[str, int], tenants: tuple[Tenant, Tenant]) -> None:
    other = tenants[1]
    assert operator_counts["spans"] == operator_counts["events"] == other.num_spans
    assert operator_counts["traces"] == operator_counts["alerts"] == other.num_traces
    assert operator_counts["agents"] == operator_counts["tenants"] == 1


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_shows_exactly_the_own_rows(stack: StackSettings, tenants: tuple[Tenant, Tenant], view: str) -> None:
    for tenant in tenants:
        rows = run_sql(stack, f"SELECT tenant_id FROM {view}", API, tenant_user(tenant.tenant_id))
        expected = {"spans": tenant.num_spans, "events": tenant.num_spans, "agents": 1, "tenants": 1}
        assert rows == [[tenant.tenant_id]] * expected.get(view, tenant.num_traces)


@pytest.mark.parametrize("view", VIEWS)
def test_the_views_alone_isolate_where_no_rule_filters(
    stack: StackSettings, tenants: tuple[Tenant, Tenant], view: str
) -> None:
    # Maintenance may read everything by the rules; the filter inside the view still leaves it nothing.
    assert run_sql(stack, f"SELECT count(*) FROM {view}", MAINTENANCE) == [[0]]


def test_the_operator_sees_both_and_changes_nothing(stack: StackSettings, tenants: tuple[Tenant, Tenant]) -> None:
    ids = ", ".join(f"'{tenant.tenant_id}'" for tenant in tenants)
    counts = run_sql(stack, f"SELECT tenant_id, count(*) FROM spans WHERE tenant_id IN ({ids}) GROUP BY 1", OPERATOR)
    assert dict(counts) == {tenant.tenant_id: tenant.num_spans for tenant in tenants}
    for sql in (
        "DELETE FROM silver.spans",
        "ALTER TABLE silver.spans EXECUTE optimize",
        "CREATE VIEW clawtrace.x AS SELECT 1 AS a",
        "SELECT * FROM system.runtime.queries",
    ):
        with pytest.raises(TrinoQueryError):
            run_sql(stack, sql, OPERATOR)


@pytest.mark.parametrize(
    ("principal", "user"),
    [
        (API, MAINTENANCE),
        (API, OPERATOR),
        (API, "t_UPPER1"),
        (API, "t_abc"),
        (OPERATOR, "own"),
        (MAINTENANCE, "own"),
        ("own", "foreign"),
        ("own", MAINTENANCE),
        ("own", API),
    ],
)
def test_only_the_api_becomes_tenants_and_only_tenants(
    stack: StackSettings, tenants: tuple[Tenant, Tenant], principal: str, user: str
) -> None:
    names = {"own": tenant_user(tenants[0].tenant_id), "foreign": tenant_user(tenants[1].tenant_id)}
    with pytest.raises(TrinoQueryError, match="cannot impersonate"):
        run_sql(stack, "SELECT 1", names.get(principal, principal), names.get(user, user))


def test_a_person_with_a_token_is_its_tenant(stack: StackSettings, tenants: tuple[Tenant, Tenant]) -> None:
    own = tenant_user(tenants[0].tenant_id)
    assert run_sql(stack, "SELECT count(*) FROM spans", own) == [[tenants[0].num_spans]]


def test_the_api_itself_reads_only_snapshot_ids(stack: StackSettings, tenants: tuple[Tenant, Tenant]) -> None:
    assert run_sql(stack, """SELECT count(*) FROM silver."spans$refs" WHERE name = 'main'""", API) == [[1]]
    for sql in (
        "SELECT * FROM spans",
        "SELECT * FROM silver.spans",
        'SELECT * FROM silver."spans$files"',
        "ALTER TABLE silver.spans EXECUTE optimize",
    ):
        with pytest.raises(TrinoQueryError):
            run_sql(stack, sql, API)


@pytest.mark.parametrize("text", LEGITIMATE)
def test_what_people_ask_runs(small: Client, text: str) -> None:
    answer = small.sql(text)
    assert answer.status_code == 200, answer.text


def test_maintenance_can_do_the_upkeep(stack: StackSettings, tenants: tuple[Tenant, Tenant]) -> None:
    run_sql(stack, "ALTER TABLE silver.cards EXECUTE optimize", MAINTENANCE)
    run_sql(stack, "ALTER TABLE silver.cards EXECUTE expire_snapshots(retention_threshold => '1d')", MAINTENANCE)
