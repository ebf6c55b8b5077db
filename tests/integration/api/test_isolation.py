"""Who may read what in Trino: tenants, the operator, the API, upkeep. Hostile SQL is tried in test_wall.py."""

import pytest
from trino.exceptions import TrinoQueryError

from infra.runtime.settings import StackSettings
from infra.runtime.trino_connection import API, MAINTENANCE, OPERATOR, tenant_user
from infra.trino.rules import VIEWS
from tests.integration.api.conftest import Client, Tenant, change_silver, run_sql
from tests.unit.api.sql_corpus import LEGITIMATE


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
    change_silver(stack, "ALTER TABLE silver.cards EXECUTE optimize")
    change_silver(stack, "ALTER TABLE silver.cards EXECUTE expire_snapshots(retention_threshold => '1d')")
