"""Narrowed queries: payload columns are gone, and only one agent's rows are left, however the text is written."""

import pytest
from sqlglot import exp
from sqlglot.dialects.trino import Trino

from api.sqlguard.admit import admit_sql
from api.sqlguard.errors import SqlRefused
from api.sqlguard.manifest import view_columns
from api.tracy.confine import PAYLOAD_COLUMNS, confine

FORMS = [
    "SELECT * FROM spans",
    "SELECT s.* FROM clawtrace.spans AS s",
    "SELECT a FROM spans AS s(a, b)",
    "TABLE spans",
    "WITH x AS (SELECT * FROM spans) SELECT * FROM x",
    "SELECT * FROM traces t JOIN spans s ON s.trace_id = t.trace_id LEFT JOIN events e ON true",
    "SELECT * FROM traces, spans, events",
    "SELECT (SELECT max(output) FROM spans) AS a",
    "SELECT * FROM traces t CROSS JOIN LATERAL (SELECT * FROM spans s WHERE s.trace_id = t.trace_id) x",
    "SELECT trace_id FROM spans UNION ALL SELECT payload FROM events",
    "SELECT 1 AS a WHERE EXISTS (SELECT * FROM SPANS)",
    'SELECT * FROM "spans"',
    "SELECT * FROM (SELECT * FROM (SELECT * FROM spans) a) b",
]


def run_of(sql: str, agent_id: str | None = None, *, with_payloads: bool = False) -> str:
    admitted = admit_sql(sql, view_columns(), 100)
    return confine(admitted.sql, view_columns(), agent_id=agent_id, with_payloads=with_payloads)[0]


def reads(sql: str) -> list[exp.Select]:
    """The queries that read a view directly."""
    tree = Trino().parse(sql)[0]
    assert tree is not None
    named = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    found = []
    for table in tree.find_all(exp.Table):
        if table.name.lower() not in named:
            select = table.find_ancestor(exp.Select)
            assert select is not None
            found.append(select)
    return found


@pytest.mark.parametrize("sql", FORMS)
def test_payload_columns_are_out_of_reach(sql: str) -> None:
    for select in reads(run_of(sql)):
        view = next(table.name for table in select.find_all(exp.Table))
        if view in PAYLOAD_COLUMNS:
            names = {column.name for column in select.expressions}
            assert names == set(view_columns()[view]) - PAYLOAD_COLUMNS[view]


@pytest.mark.parametrize("sql", FORMS)
@pytest.mark.parametrize("with_payloads", [True, False])
def test_every_view_is_read_for_one_agent(sql: str, with_payloads: bool) -> None:
    found = reads(run_of(sql, "main", with_payloads=with_payloads))
    assert found
    for select in found:
        assert select.args["where"].sql() == "WHERE agent_id = 'main'"
        assert select.args.get("joins") is None


def test_what_is_shown_can_be_sent_to_the_guard_again() -> None:
    admitted = admit_sql("SELECT sum(cost_usd) AS cost_usd FROM spans s", view_columns(), 100)
    _, shown = confine(admitted.sql, view_columns(), agent_id=None, with_payloads=False)
    assert shown == admitted.sql
    _, shown = confine(admitted.sql, view_columns(), agent_id="main", with_payloads=False)
    assert "agent_id = 'main'" in shown
    assert admit_sql(shown, view_columns(), 100).sql == shown


def test_views_without_agents_are_refused_to_an_agent() -> None:
    with pytest.raises(SqlRefused):
        run_of("SELECT * FROM tenants", "main")


@pytest.mark.parametrize("agent_id", ["", "a' OR 'b", "A", "x" * 65, "a\nb"])
def test_no_agent_of_that_name(agent_id: str) -> None:
    with pytest.raises(ValueError, match="agent id"):
        run_of("SELECT * FROM spans", agent_id)
