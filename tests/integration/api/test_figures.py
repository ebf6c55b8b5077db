"""Agents, sessions and usage over real Trino: sums that can be checked by hand."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from infra.runtime.settings import StackSettings
from tests.integration.api.conftest import BASE_AT, Client, change_silver, insert_rows, new_tenant_id

MAIN, CHAT = "agent:main:main", "agent:main:web/chat?1"
FROM, TO = "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"
WINDOW = {"from": FROM, "to": TO}


def _trace(tenant_id: str, number: int, **changes: Any) -> dict[str, Any]:
    at = BASE_AT + timedelta(minutes=40 * number)
    return {
        "tenant_id": tenant_id,
        "agent_id": "one" if number < 4 else "two",
        "trace_id": f"trace-{number}",
        "trace_date": BASE_AT.date(),
        "name": f"Task {number}",
        "category": "work",
        "status": "error" if number == 1 else "ok",
        "session_key": MAIN if number % 2 else CHAT,
        "started_at": at,
        "ended_at": at + timedelta(seconds=number + 1),
        "duration_ms": (number + 1) * 1000,
        "num_runs": 2,
        "num_spans": 4,
        "num_model_calls": 2,
        "num_errors": int(number == 1),
        "input_tokens": 30,
        "output_tokens": 3,
        "cost_usd": Decimal("0.11") if number else None,
        "is_open": False,
        **changes,
    }


def _spans(trace: dict[str, Any]) -> list[dict[str, Any]]:
    base = {name: trace[name] for name in ("tenant_id", "agent_id", "trace_id", "trace_date", "started_at", "ended_at")}
    base |= {"status": "ok", "operation_name": "x"}
    run, sub = f"{trace['trace_id']}-run", f"{trace['trace_id']}-sub"
    priced = trace["cost_usd"] is not None
    return [
        {**base, "span_id": run, "kind": "run", "name": "run", "session_key": trace["session_key"],
         "run_input_tokens": 10, "run_output_tokens": 1, "run_cost_usd": Decimal("0.01") if priced else None},
        {**base, "span_id": sub, "kind": "run", "name": "sub", "parent_span_id": run, "path": [run], "depth": 1,
         "session_key": f"agent:main:subagent:{trace['trace_id']}",
         "run_input_tokens": 20, "run_output_tokens": 2, "run_cost_usd": Decimal("0.1") if priced else None},
        {**base, "span_id": f"{run}-call", "kind": "model_call", "name": "chat", "parent_span_id": run, "path": [run],
         "provider": "p", "model": "small", "input_tokens": 10, "output_tokens": 1,
         "cost_usd": Decimal("0.01") if priced else None},
        {**base, "span_id": f"{sub}-call", "kind": "model_call", "name": "chat", "parent_span_id": sub,
         "path": [run, sub], "provider": "p", "model": "large", "input_tokens": 20, "output_tokens": 2,
         "cost_usd": Decimal("0.1") if priced else None},
    ]  # fmt: skip


@pytest.fixture(scope="module")
def client(
    stack: StackSettings, written_rules: None, api: httpx2.Client, read_key: Callable[[str, str], str]
) -> Iterator[Client]:
    tenant_id = new_tenant_id()
    traces = [_trace(tenant_id, number) for number in range(6)]
    traces[3] |= {"is_open": True, "status": "running", "ended_at": None, "duration_ms": None}
    insert_rows(stack, "traces", traces)
    insert_rows(stack, "spans", [span for trace in traces for span in _spans(trace)])
    seen = {"tenant_id": tenant_id, "first_seen_at": BASE_AT, "last_seen_at": BASE_AT}
    insert_rows(stack, "agents", [{**seen, "agent_id": name} for name in ("one", "two", "idle")])
    yield Client(api, read_key(tenant_id, "read"))
    for table in ("traces", "spans", "agents"):
        change_silver(stack, f"DELETE FROM silver.{table} WHERE tenant_id = '{tenant_id}'")


def _get(client: Client, path: str, **query: Any) -> dict[str, Any]:
    answer = client.get(path, **query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_agents_and_their_figures(client: Client) -> None:
    items = {item["agent_id"]: item["figures"] for item in _get(client, "/v1/agents", **WINDOW)["items"]}
    assert items.keys() == {"one", "two", "idle"}
    one = items["one"]
    assert (one["num_traces"], one["num_open"], one["num_failed"], one["num_runs"]) == (4, 1, 1, 8)
    assert one["error_rate"] == pytest.approx(1 / 3)
    assert one["cost_usd"] == "0.33"
    assert one["tokens"] == {"input": 120, "cache_read": 0, "cache_write": 0, "output": 12}
    assert one["p50_duration_ms"] == 2000
    assert (items["idle"]["num_traces"], items["idle"]["cost_usd"], items["idle"]["error_rate"]) == (0, None, None)


def test_figures_of_one_agent_and_of_the_time_before(client: Client) -> None:
    found = _get(client, "/v1/agents/two/metrics", **{"from": "2026-03-01T14:40:00Z", "to": "2026-03-01T15:40:00Z"})
    assert (found["figures"]["num_traces"], found["before"]["num_traces"]) == (2, 0)
    later = _get(client, "/v1/agents/two/metrics", **{"from": "2026-03-01T15:40:00Z", "to": "2026-03-01T16:40:00Z"})
    assert (later["figures"]["num_traces"], later["before"]["num_traces"]) == (0, 2)


def test_trends_have_no_gaps_and_add_up(client: Client) -> None:
    points = _get(client, "/v1/agents/one/trends", bucket="hour", **WINDOW)["points"]
    assert len(points) == 24
    counts = {point["at"]: point["figures"]["num_traces"] for point in points if point["figures"]["num_traces"]}
    assert counts == {"2026-03-01T12:00:00Z": 2, "2026-03-01T13:00:00Z": 1, "2026-03-01T14:00:00Z": 1}
    days = _get(client, "/v1/agents/one/trends", bucket="day", **WINDOW)["points"]
    assert [(day["at"], day["figures"]["cost_usd"]) for day in days] == [("2026-03-01T00:00:00Z", "0.33")]
    wide = {"from": "2026-01-01T00:00:00Z", "to": "2026-06-01T00:00:00Z"}
    assert client.get("/v1/agents/one/trends", bucket="hour", **wide).status_code == 422


def test_sessions_come_in_pages_with_all_they_cost(client: Client) -> None:
    whole = _get(client, "/v1/sessions", **WINDOW)["items"]
    assert [(item["session_key"], item["agent_id"], item["num_traces"], item["cost_usd"]) for item in whole] == [
        (MAIN, "two", 1, "0.11"),
        (CHAT, "two", 1, "0.11"),
        (MAIN, "one", 2, "0.22"),
        (CHAT, "one", 2, "0.11"),
    ]
    assert whole[2]["last_name"] == "Task 3"
    first = _get(client, "/v1/sessions", limit=3, **WINDOW)
    second = _get(client, "/v1/sessions", limit=3, cursor=first["next_cursor"])
    assert first["items"] + second["items"] == whole
    only = _get(client, "/v1/sessions", limit=1, agent_id="one", **WINDOW)
    assert _get(client, "/v1/sessions", limit=1, cursor=only["next_cursor"])["items"] == [whole[3]]


def test_runs_of_a_session_hold_their_sub_agents(client: Client) -> None:
    runs = _get(client, f"/v1/sessions/{quote(CHAT, safe='')}", agent_id="one", **WINDOW)["runs"]
    assert [(run["trace_id"], run["cost_usd"], run["own_cost_usd"], run["num_sub_runs"]) for run in runs] == [
        ("trace-2", "0.11", "0.01", 1),
        ("trace-0", None, None, 1),
    ]
    assert runs[0]["tokens"]["input"] == 30
    assert client.get("/v1/sessions/nobody", **WINDOW).status_code == 404


@pytest.mark.parametrize("by", ["day", "agent", "category", "session", "model"])
def test_usage_adds_up_whatever_it_is_by(client: Client, by: str) -> None:
    report = _get(client, "/v1/usage", by=by, **WINDOW)
    assert report["listed_cost_usd"] == "0.55"
    assert sum(item["tokens"]["input"] for item in report["items"]) == 180
    assert sum(Decimal(item["cost_usd"]) for item in report["items"]) == Decimal("0.55")


def test_usage_by_model_and_agent(client: Client) -> None:
    items = _get(client, "/v1/usage", by="model", agent_id="one", **WINDOW)["items"]
    assert [(item["key"], item["cost_usd"], item["num_model_calls"], item["num_unpriced_calls"]) for item in items] == [
        ("p/large", "0.3", 4, 1),
        ("p/small", "0.03", 4, 1),
    ]
    assert _get(client, "/v1/usage", by="tool", **WINDOW)["items"] == []
    assert client.get("/v1/usage", by="colour").status_code == 422
