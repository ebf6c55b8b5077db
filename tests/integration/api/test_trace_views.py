"""Views of traces over real Trino: a run with a sub-agent, and the same run with one more call."""

import gzip
import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx2
import pyarrow.parquet as pq
import pytest

from api.routers import export
from api.schemas.card import TraceCard
from api.schemas.trace_views import TraceDifference, TraceGraph, TraceSkeleton, TraceTimeline
from infra.runtime.settings import StackSettings
from lakehouse.contracts.tables import SPANS
from tests.integration.api.conftest import (
    BASE_AT,
    Client,
    api_settings,
    change_silver,
    insert_rows,
    new_tenant_id,
    served,
)

# span, parent, kind, what, start and length in milliseconds, cost
STEPS: list[tuple[str, str | None, str, str, int, int, str | None]] = [
    ("r", None, "run", "main", 0, 10_000, None),
    ("m1", "r", "model_call", "sim-1", 100, 900, "0.0100"),
    ("t1", "r", "tool_call", "sessions_spawn", 1_000, 6_000, None),
    ("c", "t1", "run", "helper", 1_100, 5_000, None),
    ("m2", "c", "model_call", "sim-2", 1_200, 4_000, "0.0030"),
    ("m3", "r", "model_call", "sim-1", 8_000, 1_500, "0.000000000001"),
]
MORE = ("m4", "r", "model_call", "sim-1", 9_600, 100, "0.5")


def _span(tenant_id: str, trace_id: str, row: tuple[str, str | None, str, str, int, int, str | None]) -> dict[str, Any]:
    span_id, parent, kind, what, start_ms, length_ms, cost = row
    at = BASE_AT + timedelta(milliseconds=start_ms)
    named = {"run": "openclaw_agent_id", "model_call": "model", "tool_call": "tool_name"}[kind]
    return {
        "tenant_id": tenant_id,
        "agent_id": "agent",
        "trace_id": trace_id,
        "trace_date": BASE_AT.date(),
        "span_id": span_id,
        "parent_span_id": parent,
        "kind": kind,
        "operation_name": kind,
        "name": f"{kind} {what}",
        "status": "ok",
        "started_at": at,
        "ended_at": at + timedelta(milliseconds=length_ms),
        "input_tokens": 10 if kind == "model_call" else None,
        "cost_usd": None if cost is None else Decimal(cost),
        "flags": ["redundant", "late"] if span_id == "m3" else [],
        "input": '{"text": "ä€"}',
        named: what,
    }


def _trace(tenant_id: str, trace_id: str, *, is_open: bool = False) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "agent_id": "agent",
        "trace_id": trace_id,
        "trace_date": BASE_AT.date(),
        "name": "Do it",
        "category": "work",
        "status": "running" if is_open else "ok",
        "started_at": BASE_AT,
        "is_open": is_open,
    }


@pytest.fixture(scope="module")
def client(
    stack: StackSettings, written_rules: None, api: httpx2.Client, read_key: Callable[[str, str], str]
) -> Iterator[Client]:
    tenant_id = new_tenant_id()
    traces = [_trace(tenant_id, "one"), _trace(tenant_id, "two"), _trace(tenant_id, "open", is_open=True)]
    insert_rows(stack, "traces", traces)
    spans = [_span(tenant_id, trace["trace_id"], row) for trace in traces for row in STEPS]
    insert_rows(stack, "spans", [*spans, _span(tenant_id, "two", MORE)])
    card = {
        **{name: traces[0][name] for name in ("tenant_id", "agent_id", "trace_id", "trace_date")},
        "task_id": "agent:main: yes",
        "models": ["sim-1"],
        "total_cost_usd": Decimal("0.013"),
        "top_cost_spans": '[{"span_id": "m1", "role_hint": "final_reply", "cost_usd": "0.01"}]',
        "redundant_tool_calls": '[{"tool_name": "exec", "count": 2, "span_ids": ["t1"]}]',
        "sub_agents": "[]",
    }
    insert_rows(stack, "cards", [card])
    yield Client(api, read_key(tenant_id, "read"))
    for table in ("traces", "spans", "cards"):
        change_silver(stack, f"DELETE FROM silver.{table} WHERE tenant_id = '{tenant_id}'")


def test_skeleton(client: Client) -> None:
    answer = client.get("/v1/traces/one/skeleton")
    assert answer.status_code == 200, answer.text
    skeleton = TraceSkeleton.model_validate_json(answer.content)
    assert skeleton.trace.trace_id == "one"
    assert skeleton.span_id == ["r", "m1", "t1", "c", "m2", "m3"]
    assert skeleton.parent == [-1, 0, 0, 2, 3, 0]
    assert skeleton.start_us == [0, 100_000, 1_000_000, 1_100_000, 1_200_000, 8_000_000]
    assert skeleton.duration_us[0] == 10_000_000
    assert skeleton.cost_e12 == [None, 10**10, None, None, 3 * 10**9, 1]
    assert [skeleton.strings[name] for name in skeleton.name][:2] == ["run main", "model_call sim-1"]
    assert skeleton.strings[skeleton.flags[5]] == "redundant late"
    assert skeleton.truncated is False


def test_timeline(client: Client) -> None:
    timeline = TraceTimeline.model_validate_json(client.get("/v1/traces/one/timeline").content)
    assert timeline.lane == [0, 1, 1, 2, 3, 1]
    assert timeline.num_lanes == 4
    assert timeline.duration_us == 10_000_000
    assert sum(segment.duration_us for segment in timeline.critical_path) == 10_000_000
    assert [segment.span_id for segment in timeline.critical_path] == [
        "r",
        "m1",
        "t1",
        "c",
        "m2",
        "c",
        "t1",
        "r",
        "m3",
        "r",
    ]


def test_graph(client: Client) -> None:
    graph = TraceGraph.model_validate_json(client.get("/v1/traces/one/graph").content)
    edges = {(edge.source, edge.target): edge.totals for edge in graph.edges}
    assert edges["agent:0:main", "model:sim-1"].num_calls == 2
    assert edges["agent:0:main", "model:sim-1"].cost_usd == Decimal("0.010000000001")
    assert edges["agent:0:main", "agent:1:helper"].cost_usd == Decimal("0.003")
    assert edges["agent:0:main", "agent:1:helper"].tokens.input == 10
    assert {node.kind for node in graph.nodes} == {"agent", "model", "tool"}


def test_diff(client: Client) -> None:
    answer = client.get("/v1/traces/one/diff/two")
    diff = TraceDifference.model_validate_json(answer.content)
    assert [(item.change, item.path, item.span_id_after) for item in diff.items] == [
        ("added", ["run main", "model_call sim-1"], "m4")
    ]
    assert diff.cost_delta_usd == diff.items[0].cost_delta_usd == Decimal("0.5")
    assert diff.num_aligned == 6
    assert answer.json()["cost_delta_usd"] == "0.5"
    back = TraceDifference.model_validate_json(client.get("/v1/traces/two/diff/one", limit=1).content)
    assert back.cost_delta_usd == Decimal("-0.5")
    assert back.items[0].change == "removed"


def test_card(client: Client) -> None:
    card = TraceCard.model_validate_json(client.get("/v1/traces/one/card").content)
    assert card.total_cost_usd == Decimal("0.013")
    assert card.top_cost_spans[0].cost_usd == Decimal("0.01")
    headers = {"Authorization": f"Bearer {client.key}", "Accept": "application/yaml"}
    answer = client.http.get("/v1/traces/one/card", headers=headers)
    assert answer.headers["content-type"] == "application/yaml"
    assert 'task_id: "agent:main: yes"\n' in answer.text
    assert "top_cost_spans:\n- {span_id: m1, role_hint: final_reply, cost_usd: 0.01}\n" in answer.text
    none = client.get("/v1/traces/two/card")
    assert (none.status_code, "none was made" in none.json()["detail"]) == (404, True)
    assert "still running" in client.get("/v1/traces/open/card").json()["detail"]


@pytest.mark.parametrize("view", ["", "/skeleton", "/timeline", "/graph", "/diff/two", "/card"])
def test_a_closed_trace_need_not_be_sent_twice(client: Client, view: str) -> None:
    first = client.get(f"/v1/traces/one{view}")
    headers = {"Authorization": f"Bearer {client.key}", "If-None-Match": first.headers["ETag"]}
    again = client.http.get(f"/v1/traces/one{view}", headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    other = client.http.get(f"/v1/traces/two{view}", headers=headers)
    assert other.status_code in (200, 404)


@pytest.mark.parametrize("view", ["", "/skeleton"])
def test_an_open_trace_is_not_kept(client: Client, view: str) -> None:
    answer = client.get(f"/v1/traces/open{view}")
    assert "etag" not in answer.headers
    assert answer.headers["cache-control"] == "private, no-store"


def test_gzip(client: Client) -> None:
    headers = {"Authorization": f"Bearer {client.key}", "Accept-Encoding": "gzip"}
    with client.http.stream("GET", "/v1/traces/one/skeleton", headers=headers) as answer:
        raw = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
    assert TraceSkeleton.model_validate_json(gzip.decompress(raw)).trace.trace_id == "one"


def test_an_agent_can_be_named(client: Client) -> None:
    assert client.get("/v1/traces/one/skeleton", agent_id="agent").status_code == 200
    assert client.get("/v1/traces/one/skeleton", agent_id="other").status_code == 404


def _export(client: Client, trace_id: str, name: str) -> bytes:
    answer = client.get(f"/v1/traces/{trace_id}/export", format=name)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="{trace_id}.')
    return answer.content


def test_export_as_json_lines(client: Client) -> None:
    first, *rest = [json.loads(line) for line in _export(client, "two", "ndjson").splitlines()]
    assert (first["type"], first["trace_id"]) == ("trace", "two")
    assert {line["span_id"] for line in rest} == {"r", "m1", "t1", "c", "m2", "m3", "m4"}
    assert rest[0]["input"] == '{"text": "ä€"}'
    assert sum(Decimal(line["cost_usd"]) for line in rest if line["cost_usd"]) == Decimal("0.513000000001")


def test_export_as_parquet(client: Client) -> None:
    table = pq.read_table(io.BytesIO(_export(client, "two", "parquet")))
    assert table.num_rows == 7
    assert {column.name for column in SPANS.visible_columns} == set(table.column_names)
    assert sum(cost for cost in table["cost_usd"].to_pylist() if cost) == Decimal("0.513000000001")
    assert table["flags"].to_pylist()[5] == ["redundant", "late"]


def test_export_as_otlp(client: Client) -> None:
    document = json.loads(_export(client, "two", "otlp"))
    spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert len(spans) == 7
    ids = {span["spanId"] for span in spans}
    assert all(len(span["traceId"]) == 32 and len(span["spanId"]) == 16 for span in spans)
    assert all(span["parentSpanId"] in ids for span in spans if "parentSpanId" in span)
    call = next(span for span in spans if span["name"] == "model_call sim-2")
    values = {item["key"]: item["value"] for item in call["attributes"]}
    assert values["gen_ai.usage.input_tokens"] == {"intValue": "10"}
    assert values["clawtrace.cost_usd"] == {"stringValue": "0.003"}
    assert int(call["endTimeUnixNano"]) - int(call["startTimeUnixNano"]) == 4 * 10**9
    assert client.get("/v1/traces/two/export", format="xml").status_code == 422


def test_export_goes_on_behind_a_full_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _export(client, "two", "ndjson")
    monkeypatch.setattr(export, "_PAGE_SPANS", 2)
    assert _export(client, "two", "ndjson") == whole
    assert pq.read_table(io.BytesIO(_export(client, "two", "parquet"))).num_rows == 7
    assert len(json.loads(_export(client, "two", "otlp"))["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 7


def test_a_trace_that_is_too_large_is_cut_where_it_began(client: Client, stack: StackSettings) -> None:
    with served(api_settings(stack, api_max_skeleton_spans=3)) as http:
        skeleton = Client(http, client.key).get("/v1/traces/one/skeleton").json()
    assert (skeleton["span_id"], skeleton["truncated"]) == (["r", "m1", "t1"], True)
