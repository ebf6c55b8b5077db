"""The API over real Trino and Postgres: shapes, pages, errors, limits."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
import requests
from prometheus_client import REGISTRY

from api.kit.cursor import decode_cursor
from api.metrics import QUERIES_RUNNING
from infra.runtime.settings import StackSettings
from infra.runtime.trino_connection import MAINTENANCE, OPERATOR, sign_token, tenant_user
from tests.integration.api.conftest import BASE_AT, Client, Tenant, api_settings, run_sql, served
from tests.integration.doors import wait_until

# Never ends by itself within a test, reads no table, needs no memory.
SLOW = (
    "SELECT count(*) FROM UNNEST(sequence(1, 10000)) AS a(x) CROSS JOIN UNNEST(sequence(1, 10000)) AS b(y) "
    "CROSS JOIN UNNEST(sequence(1, 10000)) AS c(z) WHERE x + y + z = 7"
)


def test_pages_partition_the_traces_newest_first(large: Client, tenants: tuple[Tenant, Tenant]) -> None:
    whole = large.get("/v1/traces", limit=200).json()
    assert whole["next_cursor"] is None
    seen, cursor = [], None
    for _ in range(20):
        page = large.get("/v1/traces", limit=2, **({"cursor": cursor} if cursor else {})).json()
        seen += [item["trace_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [item["trace_id"] for item in whole["items"]]
    assert seen == sorted((tenants[1].trace_id(number) for number in range(11)), reverse=True)


def test_a_list_without_a_window_finds_old_traces(small: Client, tenants: tuple[Tenant, Tenant]) -> None:
    # The rows are of March 2026: more than 90 days before the captures, and before any day this test runs on.
    page = small.get("/v1/traces", limit=1).json()
    assert [item["trace_id"] for item in page["items"]] == [tenants[0].trace_id(2)]
    assert decode_cursor(page["next_cursor"], "traces", num_keys=5).to_at is not None


def test_window_and_agent_filter(small: Client) -> None:
    day = BASE_AT.date().isoformat()
    assert len(small.get("/v1/traces", **{"from": f"{day}T12:00:00Z", "to": f"{day}T13:00:00Z"}).json()["items"]) == 2
    assert len(small.get("/v1/traces", **{"from": f"{day}T12:00:01Z"}).json()["items"]) == 1
    assert small.get("/v1/traces", **{"from": "2026-04-01T00:00:00Z"}).json()["items"] == []
    agent_id = small.get("/v1/traces").json()["items"][0]["agent_id"]
    assert {item["agent_id"] for item in small.get("/v1/traces", agent_id=agent_id).json()["items"]} == {agent_id}
    assert small.get("/v1/traces", agent_id="nobody").json() == {"items": [], "next_cursor": None}


def test_a_trace_and_its_spans(small: Client, tenants: tuple[Tenant, Tenant]) -> None:
    own = tenants[0]
    detail = small.get(f"/v1/traces/{own.trace_id(0)}").json()
    assert detail["trace"]["trace_id"] == own.trace_id(0)
    assert detail["trace"]["cost_usd"] == "0.0125"
    assert set(detail["trace"]["tokens"]) == {"input", "cache_read", "cache_write", "output"}
    assert detail["truncated"] is False
    spans = detail["spans"]
    assert len(spans) == len([number for number in range(own.num_spans) if own.trace_of_span(number) == 0])
    ids = {span["span_id"] for span in spans}
    assert all(span["parent_span_id"] in ids for span in spans if span["kind"] == "model_call")
    assert all("input" not in span for span in spans)
    place = f"/v1/traces/{own.trace_id(0)}/spans/{spans[0]['span_id']}"
    assert small.get(place).json()["input"] is None
    step = small.get(place, payloads=True).json()
    assert step["input"].startswith(own.canary)
    assert step["output"].startswith(own.canary)
    assert step["next_offset"] is None
    parts, offset = "", 0
    while offset is not None:
        part = small.get(place, payloads=True, offset=offset, limit=7).json()
        assert part["input_chars"] == len(step["input"])
        parts, offset = parts + part["input"], part["next_offset"]
    assert parts == step["input"]


def test_foreign_and_unknown_ids_are_the_same_404(small: Client, tenants: tuple[Tenant, Tenant]) -> None:
    own, foreign = tenants
    span_id = f"{foreign.canary}-span_id-0"
    for path in (
        f"/v1/traces/{foreign.trace_id(0)}",
        "/v1/traces/unknown",
        f"/v1/traces/{foreign.trace_id(0)}/spans/{span_id}",
        f"/v1/traces/{own.trace_id(0)}/spans/{span_id}",
        *(f"/v1/traces/{foreign.trace_id(0)}/{view}" for view in ("skeleton", "timeline", "graph", "card")),
        f"/v1/traces/{own.trace_id(0)}/diff/{foreign.trace_id(0)}",
        "/v1/traces/x'%20OR%20true%20--",
    ):
        answer = small.get(path)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:clawtrace:problem:not-found"


def test_alerts_come_in_pages(large: Client, small: Client, tenants: tuple[Tenant, Tenant]) -> None:
    whole = large.get("/v1/alerts", limit=200).json()["items"]
    assert len(whole) == tenants[1].num_traces
    first = large.get("/v1/alerts", limit=6).json()
    second = large.get("/v1/alerts", limit=6, cursor=first["next_cursor"]).json()
    assert second["next_cursor"] is None
    assert first["items"] + second["items"] == whole
    assert {"alert_id", "rule", "severity", "state", "trace_id", "span_id", "at"} <= set(whole[0])
    assert len(small.get("/v1/alerts").json()["items"]) == tenants[0].num_traces


def test_sql_says_columns_rows_and_snapshots(
    small: Client, tenants: tuple[Tenant, Tenant], stack: StackSettings
) -> None:
    text = "SELECT trace_id, cost_usd, started_at FROM traces ORDER BY started_at, trace_id LIMIT 1"
    before = _heads(stack, "traces")
    answer = small.sql(text).json()
    assert [column["name"] for column in answer["columns"]] == ["trace_id", "cost_usd", "started_at"]
    assert answer["columns"][1]["type"] == "decimal(24, 12)"
    assert answer["rows"] == [[tenants[0].trace_id(0), "0.0125", "2026-03-01T12:00:00Z"]]
    assert answer["truncated"] is False
    assert answer["snapshots"].keys() == {"silver.traces"}
    # The sink and the upkeep may commit at any moment: it is the head of before, or one that came since.
    assert answer["snapshots"]["silver.traces"] in {before[-1], *(set(_heads(stack, "traces")) - set(before))}
    joined = small.sql("SELECT count(*) FROM traces t JOIN spans s ON s.trace_id = t.trace_id").json()
    assert joined["snapshots"].keys() == {"silver.traces", "silver.spans"}
    assert joined["rows"] == [[tenants[0].num_spans]]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("SELECT nam FROM spans", "column_not_found", "tool_call_id"),
        ("DESCRIBE spans", "not_a_query", "tool_call_id"),
        ("SELECT * FROM spns", "unknown_table", "Did you mean spans?"),
        ("SELECT CAST(name AS integer) FROM spans", "invalid_cast_argument", "try_cast"),
        ("SELECT 1/0", "division_by_zero", "nullif"),
        ("SELECT sum(name) FROM spans", "function_not_found", "sum"),
    ],
)
def test_a_text_that_cannot_run_is_a_422_that_teaches(
    small: Client, tenants: tuple[Tenant, Tenant], text: str, code: str, words: str
) -> None:
    answer = small.sql(text)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == code
    assert words in problem["detail"]
    assert problem["errors"][0]["field"] == "body.sql"
    assert tenants[0].canary not in answer.text


@pytest.mark.parametrize(
    ("path", "parameters", "field"),
    [
        ("/v1/traces", {"cursor": "nonsense"}, "query.cursor"),
        ("/v1/traces", {"limit": 0}, "query.limit"),
        ("/v1/traces", {"from": "2026-01-01", "to": "2026-12-31"}, "from"),
        ("/v1/traces", {"from": "yesterday"}, "query.from"),
        ("/v1/alerts", {"limit": 1000}, "query.limit"),
    ],
)
def test_a_wrong_parameter_is_a_422_that_names_it(
    small: Client, path: str, parameters: dict[str, object], field: str
) -> None:
    answer = small.get(path, **parameters)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in {error["field"] for error in answer.json()["errors"]}


def test_keys_decide_who_gets_in(
    api: httpx2.Client, tenants: tuple[Tenant, Tenant], read_key: Callable[[str, str], str]
) -> None:
    assert api.get("/v1/traces").status_code == 401
    assert api.get("/v1/traces", headers={"Authorization": "Bearer ct_read_nope"}).status_code == 401
    ingest = Client(api, read_key(tenants[0].tenant_id, "ingest"))
    for answer in (ingest.get("/v1/traces"), ingest.get("/v1/alerts"), ingest.sql("SELECT 1")):
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"


def test_health(api: httpx2.Client) -> None:
    assert api.get("/healthz").json() == {"ok": True}
    # Trino has a second to answer that it is there; a busy machine may need another look.
    wait_until(lambda: api.get("/readyz").json(), lambda said: said == {"ready": True, "missing": []}, "it is ready")
    metrics = api.get("/metrics").text
    assert 'clawtrace_api_requests_total{method="GET",route="/healthz",status="200"}' in metrics


def test_trino_away_is_a_503_with_retry_after(
    stack: StackSettings, tenants: tuple[Tenant, Tenant], read_key: Callable[[str, str], str]
) -> None:
    with served(api_settings(stack, trino_url="https://127.0.0.1:9")) as http:
        client = Client(http, read_key(tenants[0].tenant_id, "read"))
        for answer in (client.get("/v1/traces"), client.sql("SELECT count(*) FROM spans")):
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.headers["content-type"] == "application/problem+json"
        ready = http.get("/readyz")
        assert ready.status_code == 503
        assert "Trino" in ready.json()["missing"][0]


def test_a_slow_query_is_ended_and_a_tenants_surplus_waits_its_turn(
    stack: StackSettings, tenants: tuple[Tenant, Tenant], read_key: Callable[[str, str], str]
) -> None:
    settings = api_settings(stack, api_query_timeout_s=10, api_max_queries_per_tenant=1, api_queue_timeout_s=0.2)
    keys = [read_key(tenant.tenant_id, "read") for tenant in tenants]

    async def ask(base_url: str) -> tuple[httpx2.Response, httpx2.Response, httpx2.Response]:
        async with httpx2.AsyncClient(base_url=base_url, timeout=60, trust_env=False) as http:

            def sql(key: str, text: str) -> "asyncio.Task[httpx2.Response]":
                headers = {"Authorization": f"Bearer {key}"}
                return asyncio.create_task(http.post("/v1/sql", json={"sql": text}, headers=headers))

            before = QUERIES_RUNNING._value.get()
            slow = sql(keys[0], SLOW)
            await asyncio.to_thread(wait_until, QUERIES_RUNNING._value.get, lambda now: now > before, "it has its turn")
            surplus, other = sql(keys[0], "SELECT 1 AS a"), sql(keys[1], "SELECT 1 AS a")
            await asyncio.to_thread(wait_until, lambda: _running(stack), lambda count: count > 0, "slow query runs")
            return await surplus, await other, await slow

    with served(settings) as http:
        surplus, other, slow = asyncio.run(ask(str(http.base_url)))
    assert surplus.status_code == 429
    assert int(surplus.headers["Retry-After"]) > 0
    assert other.status_code == 200
    assert slow.status_code == 422
    assert slow.json()["type"] == "urn:clawtrace:problem:query-timeout"
    wait_until(lambda: _running(stack), lambda count: count == 0, "query ended in Trino")


def test_a_client_that_hangs_up_ends_its_query(
    stack: StackSettings, api: httpx2.Client, small: Client, tenants: tuple[Tenant, Tenant]
) -> None:
    def cancelled() -> float:
        return REGISTRY.get_sample_value("clawtrace_api_queries_total", {"outcome": "cancelled"}) or 0

    before = cancelled()
    headers = {"Authorization": f"Bearer {small.key}"}
    with pytest.raises(httpx2.ReadTimeout):
        api.post("/v1/sql", json={"sql": SLOW}, headers=headers, timeout=2)
    wait_until(cancelled, lambda count: count > before, "query given up")
    wait_until(lambda: _running(stack), lambda count: count == 0, "query ended in Trino")


def test_each_tenant_waits_in_its_own_resource_group(
    stack: StackSettings, small: Client, tenants: tuple[Tenant, Tenant]
) -> None:
    user = tenant_user(tenants[0].tenant_id)
    assert small.sql(f"SELECT '{user}' AS who").status_code == 200
    groups = [query["resourceGroupId"] for query in _queries(stack) if f"'{user}' AS who" in query["query"]]
    assert groups == [["tenants", user]]


def _heads(stack: StackSettings, table: str) -> list[str]:
    """Ids of the snapshots of a silver table, the newest last."""
    sql = f'SELECT snapshot_id FROM silver."{table}$snapshots" ORDER BY committed_at, snapshot_id'
    return [str(row[0]) for row in run_sql(stack, sql, MAINTENANCE)]


def _running(stack: StackSettings) -> int:
    """Slow queries that Trino still works on."""
    ended = {"FINISHED", "FAILED"}
    return sum(query["state"] not in ended and "sequence" in query["query"].lower() for query in _queries(stack))


def _queries(stack: StackSettings) -> list[dict[str, Any]]:
    """Queries that Trino remembers, as the operator may see."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(stack.trino_ca_file)
        headers = {"Authorization": f"Bearer {sign_token(stack, OPERATOR)}", "X-Trino-User": OPERATOR}
        answer = session.get(f"{stack.trino_url}/v1/query", headers=headers, timeout=60)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found
