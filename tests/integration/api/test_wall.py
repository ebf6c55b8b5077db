"""Hostile SQL and its mutations at three levels: no foreign row, value, name, count or error gets through.

(a) everything on: POST /v1/sql with a read key.
(b) the guard off: Trino alone, logged in as the tenant's own user. Asked before and after the other tenant has rows:
    nothing that it gets may change, nor how many rows are read for it, which is what timing could tell.
(c) the rules off: what the guard lets through, as it has written it, run by the maintenance user, to whom access
    control refuses no table and for whom it filters no row. It must show no row of anybody (views filter by the asker,
    and maintenance is no tenant), and nothing may be left for the rules to refuse.

CLAWTRACE_WALL_MUTATIONS and CLAWTRACE_WALL_SEED ask for more, or for others.
"""

import logging
import os
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
import requests

from api.sqlguard.admit import admit_sql
from api.sqlguard.errors import SqlRefused
from api.sqlguard.manifest import view_columns
from infra.runtime.settings import StackSettings
from infra.runtime.trino_connection import MAINTENANCE, OPERATOR, connect, sign_token, tenant_user
from infra.trino.rules import VIEWS
from tests.integration.api.conftest import Client, api_settings, run_sql, served
from tests.integration.api.wall import (
    NUM_FOREIGN,
    NUM_OWN,
    Pair,
    Said,
    ask_all,
    ask_door,
    ask_engine,
    empty_tables,
    fill_tables,
    leaks,
    new_pair,
)
from tests.unit.api.sql_corpus import CROSSING, ENGINE_ONLY, REFUSED
from tests.unit.api.sql_mutations import mutations

NUM_MUTATIONS = int(os.environ.get("CLAWTRACE_WALL_MUTATIONS", "100"))
SEED = int(os.environ.get("CLAWTRACE_WALL_SEED", "20260301"))
PREPARED = "p=" + quote("SELECT * FROM silver.spans")
# These name what no tenant may read: nearly all fail, so that there is nothing to compare.
CLOSED = ("metadata_table", "unknown_table", "time_travel", "not_one_statement")
FORMS = [*(text for texts in REFUSED.values() for text in texts), *CROSSING, *ENGINE_ONLY]


@pytest.fixture(scope="module")
def pair(stack: StackSettings, written_rules: None) -> Iterator[Pair]:
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    pair = new_pair()
    fill_tables(stack, pair, foreign=False)
    yield pair
    empty_tables(stack, pair)


@pytest.fixture(scope="module")
def forms(pair: Pair) -> list[str]:
    return [pair.fill(template) for template in FORMS if template.strip(" ;")]


@pytest.fixture(scope="module")
def mutants(pair: Pair) -> list[str]:
    return mutations(FORMS, NUM_MUTATIONS, own=pair.own, foreign=pair.foreign, seed=SEED)


@pytest.fixture(scope="module")
def alone(stack: StackSettings, pair: Pair, forms: list[str]) -> dict[str, Said]:
    """What the engine says while the other tenant has nothing."""
    closed = {pair.fill(text) for code in CLOSED for text in REFUSED[code]}
    return ask_all(
        lambda sql: ask_engine(stack, tenant_user(pair.own), sql), [sql for sql in forms if sql not in closed]
    )


@pytest.fixture(scope="module")
def crowded(stack: StackSettings, pair: Pair, alone: dict[str, Said]) -> None:
    """Let the other tenant have rows."""
    fill_tables(stack, pair, foreign=True)
    for view in VIEWS:
        counted = run_sql(stack, f"SELECT count(*) FROM silver.{view} WHERE tenant_id = '{pair.foreign}'", OPERATOR)
        assert counted == [[NUM_FOREIGN]], view


@pytest.fixture(scope="module")
def door(stack: StackSettings, pair: Pair, read_key: Callable[[str, str], str]) -> Iterator[Client]:
    """The API as the small tenant; patient, since many questions come at once."""
    with served(api_settings(stack, api_queue_timeout_s=60, api_query_timeout_s=60)) as http:
        yield Client(http, read_key(pair.own, "read"))


def test_there_are_enough_forms() -> None:
    assert len(FORMS) >= 60
    assert NUM_MUTATIONS >= 100


def test_b_past_the_guard_the_other_tenant_changes_nothing(
    stack: StackSettings, pair: Pair, forms: list[str], alone: dict[str, Said], crowded: None
) -> None:
    breaches = []
    for sql, said in ask_all(lambda sql: ask_engine(stack, tenant_user(pair.own), sql), forms).items():
        before = alone.get(sql)
        found = leaks(sql, said, pair)
        if before is None:
            # Names that the engine folds to a view of the asker's own run, with its own rows.
            found += [] if said.error or said.num_read < NUM_FOREIGN else [f"{said.num_read} rows were read for it"]
        elif said.outline(sql) != before.outline(sql):
            found.append(f"before the other had rows it was {before}")
        elif before.num_read >= 0 and said.num_read >= before.num_read + NUM_FOREIGN:
            found.append(f"{said.num_read} rows were read for it, {before.num_read} before")
        if found:
            breaches.append((sql, found, said))
    assert breaches == []


def test_b_mutations_past_the_guard(stack: StackSettings, pair: Pair, mutants: list[str], crowded: None) -> None:
    answers = ask_all(lambda sql: ask_engine(stack, tenant_user(pair.own), sql), mutants)
    assert [(sql, found, said) for sql, said in answers.items() if (found := leaks(sql, said, pair))] == []
    # Some must have run, some must have been refused by the rules: otherwise only the parser was tried.
    assert sum(not said.error for said in answers.values()) > len(mutants) / 20
    assert sum(said.error == "PERMISSION_DENIED" for said in answers.values()) > len(mutants) / 20


def test_a_with_the_guard(pair: Pair, forms: list[str], mutants: list[str], door: Client, crowded: None) -> None:
    answers = ask_all(lambda sql: ask_door(door, sql), [*forms, *mutants])
    assert [(sql, found, said) for sql, said in answers.items() if (found := leaks(sql, said, pair))] == []
    refused = {pair.fill(text) for texts in REFUSED.values() for text in texts} | set(map(pair.fill, ENGINE_ONLY))
    assert [sql for sql, said in answers.items() if sql in refused and not said.error] == []
    assert not answers["SELECT count(*) FROM spans"].error
    assert answers["SELECT count(*) FROM spans"].rows == ((NUM_OWN,),)


def test_c_the_guard_alone(
    stack: StackSettings, pair: Pair, forms: list[str], mutants: list[str], crowded: None
) -> None:
    written = []
    for sql in [*forms, *mutants]:
        try:
            written.append(admit_sql(sql, view_columns(), 100).sql)
        except SqlRefused:
            continue
    assert len(written) >= len(CROSSING)
    breaches = []
    for sql, said in ask_all(lambda sql: ask_engine(stack, MAINTENANCE, sql), written).items():
        found = leaks(sql, said, pair)
        if "mine-" in str(said.rows) or (pair.own not in sql and pair.own in str(said.rows)):
            found.append("rows of the asker, which maintenance is not")
        if said.error == "PERMISSION_DENIED":
            found.append("the guard left it to the rules")
        if found:
            breaches.append((sql, found, said))
    assert breaches == []


def test_the_checks_would_see_a_leak(stack: StackSettings, pair: Pair, crowded: None) -> None:
    for sql in (
        "SELECT * FROM spans",
        "SELECT count(*) FROM traces",
        "SELECT max(duration_ms) FROM spans",
        "SELECT avg(cost_usd) FROM traces",
        "SELECT max(started_at) FROM traces",
        "SELECT CAST(name AS integer) FROM spans",
    ):
        said = ask_engine(stack, tenant_user(pair.foreign), sql)
        assert leaks(sql, said, pair), (sql, said)


def test_all_of_that_changed_nothing(stack: StackSettings, pair: Pair, crowded: None) -> None:
    for view in VIEWS:
        counts = run_sql(
            stack,
            f"SELECT tenant_id, count(*) FROM silver.{view} "
            f"WHERE tenant_id IN ('{pair.own}', '{pair.foreign}') GROUP BY 1",
            OPERATOR,
        )
        assert dict(counts) == {pair.own: NUM_OWN, pair.foreign: NUM_FOREIGN}, view


@pytest.mark.parametrize(
    ("sql", "headers"),
    [
        ("SELECT * FROM spans", {"X-Trino-User": "t_{foreign}"}),
        ("SELECT * FROM spans", {"X-Trino-User": "maintenance"}),
        ("SELECT * FROM spans", {"X-Trino-Original-User": "t_{foreign}"}),
        ("SELECT * FROM spans", {"X-Trino-User": "t_{foreign}", "X-Trino-Original-User": "t_{own}"}),
        ("SELECT * FROM spans", {"X-Trino-Schema": "silver"}),
        ("SELECT * FROM queries", {"X-Trino-Catalog": "system", "X-Trino-Schema": "runtime"}),
        ("SELECT * FROM tables", {"X-Trino-Schema": "information_schema"}),
        ("EXECUTE p", {"X-Trino-Prepared-Statement": PREPARED}),
        ("DESCRIBE OUTPUT p", {"X-Trino-Prepared-Statement": PREPARED}),
        ("EXECUTE p USING '{foreign}'", {"X-Trino-Prepared-Statement": PREPARED + quote(" WHERE tenant_id = ?")}),
        ("SELECT * FROM spans", {"X-Trino-Session": "query_max_run_time=5h"}),
        ("SELECT * FROM spans", {"X-Trino-Session": "iceberg.projection_pushdown_enabled=false"}),
        ("SELECT * FROM silver.spans", {"X-Trino-Role": "system=ALL"}),
        ("SELECT * FROM silver.spans", {"X-Trino-Role": "iceberg=ROLE{admin}"}),
        ("SELECT * FROM spans", {"X-Trino-Path": "iceberg.silver"}),
        ("SELECT * FROM spans", {"X-Trino-Extra-Credential": "user=t_{foreign}"}),
        ("SET SESSION AUTHORIZATION t_{foreign}", {"X-Trino-Client-Capabilities": "SESSION_AUTHORIZATION"}),
    ],
)  # fmt: skip
def test_b_headers_of_the_protocol(
    stack: StackSettings, pair: Pair, crowded: None, sql: str, headers: dict[str, str]
) -> None:
    with _session(stack, pair) as session:
        filled = {name: pair.fill(value) for name, value in headers.items()}
        answer = session.post(f"{stack.trino_url}/v1/statement", data=pair.fill(sql), headers=filled, timeout=60)
        told = [answer.text]
        while answer.ok and (next_uri := answer.json().get("nextUri")):
            answer = session.get(next_uri, timeout=60)
            told.append(answer.text)
    everything = "".join(told)
    for word in (pair.canary, "2077-", "7777777"):
        assert word not in everything
    assert '"state":"FINISHED"' in everything or '"error"' in everything or not answer.ok, everything


@pytest.mark.parametrize(
    "path", ["/v1/query", "/v1/query/{query_id}", "/v1/query/{query_id}?pretty=true", "/ui/api/query",
             "/ui/api/query/{query_id}", "/v1/node", "/v1/jmx/mbean", "/v1/resourceGroupState/global", "/v1/thread"]
)  # fmt: skip
def test_b_other_doors_of_the_engine_tell_nothing_of_others(
    stack: StackSettings, pair: Pair, crowded: None, path: str
) -> None:
    query_id = _ask_as_the_other(stack, pair)
    with _session(stack, pair) as session:
        answer = session.get(stack.trino_url + path.replace("{query_id}", query_id), timeout=60)
        ended = session.delete(f"{stack.trino_url}/v1/query/{query_id}", timeout=60)
    assert pair.canary not in answer.text
    if "{query_id}" in path:
        assert answer.status_code in (401, 403, 404)
    elif answer.ok:
        # The asker's own queries, and nobody else's.
        assert {one["session"]["user"] for one in answer.json()} <= {tenant_user(pair.own)}
    assert ended.status_code in (401, 403, 404, 405)


def _ask_as_the_other(stack: StackSettings, pair: Pair) -> str:
    """Let the other tenant ask for its canary; return the id of its query."""
    connection = connect(stack, tenant_user(pair.foreign))
    cursor = connection.cursor()
    cursor.execute(f"SELECT '{pair.canary}', name FROM spans")
    cursor.fetchall()
    connection.close()
    return str(cursor.query_id)


def _session(stack: StackSettings, pair: Pair) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.verify = str(stack.trino_ca_file)
    user = tenant_user(pair.own)
    session.headers.update(
        {
            "Authorization": f"Bearer {sign_token(stack, user)}",
            "X-Trino-User": user,
            "X-Trino-Catalog": stack.catalog_name,
            "X-Trino-Schema": "clawtrace",
        }
    )
    return session
