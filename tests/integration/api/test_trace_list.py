"""The list of traces over real Trino: conditions, orders, pages."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from infra.runtime.settings import StackSettings
from tests.integration.api.conftest import BASE_AT, Client, change_silver, insert_rows, new_tenant_id

NUM_TRACES = 12


@dataclass(frozen=True)
class Listed:
    """The client of a tenant and what it stored."""

    client: Client
    rows: list[dict[str, Any]]

    def ids(self, **query: Any) -> list[str]:
        """Ids of the traces that a query lists."""
        answer = self.client.get("/v1/traces", **query)
        assert answer.status_code == 200, answer.text
        return [item["trace_id"] for item in answer.json()["items"]]

    def paged(self, limit: int, **query: Any) -> list[tuple[str, str]]:
        """The whole list, read in pages."""
        seen: list[tuple[str, str]] = []
        page = self.client.get("/v1/traces", limit=limit, **query).json()
        for _ in range(NUM_TRACES + 1):
            seen += [(item["trace_id"], item["agent_id"]) for item in page["items"]]
            if page["next_cursor"] is None:
                return seen
            page = self.client.get("/v1/traces", limit=limit, cursor=page["next_cursor"]).json()
        raise AssertionError("the pages do not end")


def _trace(tenant_id: str, number: int) -> dict[str, Any]:
    at = BASE_AT + timedelta(minutes=number // 3)
    return {
        "tenant_id": tenant_id,
        # Two agents with traces of the same ids.
        "agent_id": f"agent-{number % 2}",
        "trace_id": f"trace-{number // 2:02}",
        "trace_date": BASE_AT.date(),
        "name": f"Task {number}: 100% done_",
        "category": "heartbeat" if number % 4 == 0 else "work",
        "status": "error" if number % 3 == 0 else "ok",
        "session_key": f"session-{number % 5}",
        "started_at": at,
        "ended_at": None if number == 5 else at + timedelta(seconds=number),
        "duration_ms": None if number == 5 else (number % 4) * 1000,
        "models": ["openai/gpt-5"] if number % 2 else ["anthropic/claude"],
        "num_errors": 1 if number % 3 == 0 else 0,
        "input_tokens": 100 * (number % 3),
        "output_tokens": 1,
        "cost_usd": None if number in (3, 7) else Decimal(number % 5) / 100,
        "has_error": number % 3 == 0,
        "is_open": number == 5,
    }


def _span(trace: dict[str, Any], number: int) -> dict[str, Any]:
    return {
        **{name: trace[name] for name in ("tenant_id", "agent_id", "trace_id", "trace_date", "started_at", "status")},
        "span_id": f"span-{number}",
        "kind": "tool_call",
        "name": "execute_tool",
        "operation_name": "execute_tool",
        "tool_name": f"tool-{number % 3}",
        "error": "No such FILE" if trace["has_error"] else None,
    }


@pytest.fixture(scope="module")
def listed(
    stack: StackSettings, written_rules: None, api: httpx2.Client, read_key: Callable[[str, str], str]
) -> Iterator[Listed]:
    tenant_id = new_tenant_id()
    rows = [_trace(tenant_id, number) for number in range(NUM_TRACES)]
    insert_rows(stack, "traces", rows)
    insert_rows(stack, "spans", [_span(row, number) for number, row in enumerate(rows)])
    yield Listed(Client(api, read_key(tenant_id, "read")), rows)
    for table in ("traces", "spans"):
        change_silver(stack, f"DELETE FROM silver.{table} WHERE tenant_id = '{tenant_id}'")


_SORT_VALUES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "started_at": lambda row: row["started_at"],
    "cost_usd": lambda row: row["cost_usd"],
    "duration_ms": lambda row: row["duration_ms"],
    "tokens": lambda row: row["input_tokens"] + row["output_tokens"],
}


@pytest.mark.parametrize("sort", [sign + name for name in _SORT_VALUES for sign in ("", "-")])
def test_pages_of_every_order_are_the_whole_list(listed: Listed, sort: str) -> None:
    value = _SORT_VALUES[sort.removeprefix("-")]
    down = sort.startswith("-")
    key = lambda row: (value(row), row["trace_id"], row["agent_id"])  # noqa: E731
    valued = sorted((row for row in listed.rows if value(row) is not None), key=key, reverse=down)
    without = [row for row in listed.rows if value(row) is None]
    without.sort(key=lambda row: (row["trace_id"], row["agent_id"]), reverse=down)
    expected = [(row["trace_id"], row["agent_id"]) for row in valued + without]
    assert listed.paged(5, sort=sort) == expected


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ({"agent_id": "agent-1"}, lambda row, number: number % 2 == 1),
        ({"session_key": "session-2"}, lambda row, number: number % 5 == 2),
        ({"category": "heartbeat"}, lambda row, number: number % 4 == 0),
        ({"status": "error"}, lambda row, number: number % 3 == 0),
        ({"has_error": "false"}, lambda row, number: number % 3 != 0),
        ({"min_cost_usd": "0.02"}, lambda row, number: row["cost_usd"] is not None and number % 5 >= 2),
        ({"max_cost_usd": "0.01"}, lambda row, number: row["cost_usd"] is not None and number % 5 <= 1),
        ({"min_tokens": 101, "max_tokens": 101}, lambda row, number: number % 3 == 1),
        ({"min_duration_ms": 3000}, lambda row, number: number % 4 == 3),
        ({"max_duration_ms": 0}, lambda row, number: number % 4 == 0),
        ({"model": "gpt-5"}, lambda row, number: number % 2 == 1),
        ({"model": "openai/gpt-5"}, lambda row, number: number % 2 == 1),
        ({"model": "gpt"}, lambda row, number: False),
        ({"tool": "tool-1"}, lambda row, number: number % 3 == 1),
        ({"text": "task 11"}, lambda row, number: number == 11),
        ({"text": "such file"}, lambda row, number: number % 3 == 0),
        ({"text": "100%"}, lambda row, number: True),
        ({"text": "0_0"}, lambda row, number: False),
        ({"tool": "tool-0", "agent_id": "agent-0"}, lambda row, number: number % 6 == 0),
    ],
)
def test_conditions(listed: Listed, query: dict[str, Any], matches: Callable[[dict[str, Any], int], bool]) -> None:
    expected = {(row["trace_id"], row["agent_id"]) for number, row in enumerate(listed.rows) if matches(row, number)}
    assert set(listed.paged(200, **query)) == expected


def test_conditions_hold_on_every_page(listed: Listed) -> None:
    query = {"category": "work", "text": "TASK", "max_cost_usd": "0.03", "sort": "-cost_usd"}
    whole = listed.paged(200, **query)
    assert len(whole) > 3
    assert listed.paged(1, **query) == whole


def test_new_traces_do_not_shift_the_pages(
    stack: StackSettings, written_rules: None, api: httpx2.Client, read_key: Callable[[str, str], str]
) -> None:
    tenant_id = new_tenant_id()
    client = Client(api, read_key(tenant_id, "read"))
    insert_rows(stack, "traces", [_trace(tenant_id, number) for number in range(6)])
    first = client.get("/v1/traces", limit=3, sort="-cost_usd", **{"from": "2026-03-01T00:00:00Z"}).json()
    later = {**_trace(tenant_id, 11), "cost_usd": Decimal("0.011"), "started_at": BASE_AT + timedelta(days=400)}
    insert_rows(stack, "traces", [later])
    second = client.get("/v1/traces", limit=10, cursor=first["next_cursor"]).json()
    seen = [(item["trace_id"], item["agent_id"]) for item in first["items"] + second["items"]]
    assert len(seen) == len(set(seen)) == 6
    assert later["trace_id"] not in {trace_id for trace_id, _ in seen}
    change_silver(stack, f"DELETE FROM silver.traces WHERE tenant_id = '{tenant_id}'")


@pytest.mark.parametrize("sort", ["-cost_usd", "cost_usd", "-duration_ms", "-tokens"])
def test_traces_that_grow_do_not_shift_the_pages(
    stack: StackSettings, written_rules: None, api: httpx2.Client, read_key: Callable[[str, str], str], sort: str
) -> None:
    """After each page every trace gets dearer, longer and larger, some beyond all that was shown."""
    tenant_id = new_tenant_id()
    client = Client(api, read_key(tenant_id, "read"))
    rows = [_trace(tenant_id, number) for number in range(NUM_TRACES)]
    insert_rows(stack, "traces", rows)
    query = {"sort": sort, "from": "2026-03-01T00:00:00Z"}
    whole = [(it["trace_id"], it["agent_id"]) for it in client.get("/v1/traces", limit=200, **query).json()["items"]]
    page = client.get("/v1/traces", limit=3, **query).json()
    pages = [page["items"]]
    for rev in range(1, NUM_TRACES):
        if page["next_cursor"] is None:
            break
        grown = [
            {
                **row,
                "rev": rev,
                "cost_usd": Decimal(rev * 10 + (NUM_TRACES - number)),
                "duration_ms": 10_000 * rev + NUM_TRACES - number,
                "output_tokens": 1_000_000 * rev + NUM_TRACES - number,
            }
            for number, row in enumerate(rows)
            if number % 2 == rev % 2
        ]
        insert_rows(stack, "traces", grown)
        page = client.get("/v1/traces", limit=3, cursor=page["next_cursor"]).json()
        pages.append(page["items"])
    seen = [(item["trace_id"], item["agent_id"]) for items in pages for item in items]
    assert page["next_cursor"] is None
    assert len(seen) == len(set(seen))
    assert set(seen) == set(whole)
    # What is shown is as it is now, although it stays in its place.
    assert any(Decimal(item["cost_usd"] or 0) > 1 for item in pages[-1])
    change_silver(stack, f"DELETE FROM silver.traces WHERE tenant_id = '{tenant_id}'")


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "name"},
        {"min_cost_usd": "NaN"},
        {"min_cost_usd": "-1"},
        {"status": "broken"},
        {"colour": "red"},
        {"text": ""},
        {"cursor": "WzIsInRyYWNlcyIsIi1uYW1lIiwwLFsiMjAyNi0wMS0wMSIsIngiLCJ5Il0sMCwwLHt9XQ"},
    ],
)
def test_a_wrong_condition_is_a_422(listed: Listed, query: dict[str, Any]) -> None:
    answer = listed.client.get("/v1/traces", **query)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
