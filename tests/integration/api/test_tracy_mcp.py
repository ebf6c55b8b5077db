"""The MCP door, tried with the SDK's own client: over HTTP and over standard input and output."""

import json
import os
import re
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent
from sqlalchemy import Engine

from infra.runtime.settings import StackSettings
from tests.integration.api.conftest import change_silver
from tests.integration.api.tracy_stack import new_key, own_database, served_tracy, write_run
from tests.stack import ROOT

NAMES = {"describe_schema", "run_sql", "get_trace", "get_card", "list_alerts", "budget_status"}


@dataclass(frozen=True)
class Place:
    """An API, and two tenants with a run each."""

    stack: StackSettings
    database: Engine
    url: str
    tenants: tuple[str, str]
    traces: tuple[str, str]

    def key(self, number: int, scope: str = "read") -> str:
        """A key of one of the tenants."""
        return new_key(self.stack, self.database, self.tenants[number], scope)


@pytest.fixture(scope="module")
def place(stack: StackSettings, written_rules: None) -> Iterator[Place]:
    tenants = (f"mcpa{secrets.token_hex(5)}", f"mcpb{secrets.token_hex(5)}")
    traces = (f"tr{secrets.token_hex(8)}", f"tr{secrets.token_hex(8)}")
    for tenant_id, trace_id in zip(tenants, traces, strict=True):
        write_run(stack, tenant_id, trace_id)
    with own_database(stack) as database, served_tracy(stack, database) as http:
        yield Place(stack, database, str(http.base_url).rstrip("/"), tenants, traces)
    for tenant_id in tenants:
        change_silver(stack, f"DELETE FROM silver.traces WHERE tenant_id = '{tenant_id}'")


@asynccontextmanager
async def connected(place: Place, key: str, mode: str) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http,
        Client(streamable_http_client(f"{place.url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


def text_of(result: CallToolResult) -> str:
    return "".join(part.text for part in result.content if isinstance(part, TextContent))


def body_of(result: CallToolResult) -> dict[str, object]:
    match = re.search(r"<recorded_data[^>]*>\n(.*)\n</recorded_data>", text_of(result), re.S)
    assert match, text_of(result)
    body: dict[str, object] = json.loads(match[1])
    return body


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_tools_answer_for_the_tokens_tenant(place: Place, mode: str) -> None:
    for number in (0, 1):
        async with connected(place, place.key(number), mode) as client:
            tools = (await client.list_tools()).tools
            assert {tool.name for tool in tools} == NAMES
            assert all(tool.annotations is not None and tool.annotations.read_only_hint for tool in tools)
            result = await client.call_tool("run_sql", {"sql": "SELECT trace_id, tenant_id FROM traces"})
            assert not result.is_error
            assert body_of(result)["rows"] == [[place.traces[number], place.tenants[number]]]
            foreign = await client.call_tool("get_trace", {"trace_id": place.traces[1 - number]})
            assert body_of(foreign)["rows"] == []
            # A tenant cannot be said, and what the guard refuses comes back as an error with the fix.
            named = await client.call_tool("run_sql", {"sql": "SELECT 1", "tenant_id": place.tenants[1 - number]})
            assert named.is_error
            refused = await client.call_tool("run_sql", {"sql": "DROP TABLE traces"})
            assert refused.is_error
            assert "only be read" in text_of(refused)


async def test_every_tool_can_be_called(place: Place) -> None:
    async with connected(place, place.key(0), "auto") as client:
        trace = await client.call_tool("get_trace", {"trace_id": place.traces[0]})
        assert "1.2345" in text_of(trace)
        assert "silver.traces" in text_of(trace)
        assert "cost_usd decimal" in text_of(await client.call_tool("describe_schema", {"table": "spans"}))
        assert not (await client.call_tool("get_card", {"trace_id": place.traces[0]})).is_error
        assert not (await client.call_tool("list_alerts", {})).is_error
        assert "No budgets or limits are set" in text_of(await client.call_tool("budget_status", {}))


def test_without_a_good_token_there_is_nothing(place: Place) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accept = {"Accept": "application/json, text/event-stream"}
    with httpx2.Client(timeout=60, trust_env=False) as http:
        for token, status in (("", 401), ("Bearer nonsense", 401), (f"Bearer {place.key(0, 'ingest')}", 403)):
            answer = http.post(f"{place.url}/mcp", json=body, headers={**accept, "Authorization": token})
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"
        rebound = {**accept, "Authorization": f"Bearer {place.key(0)}", "Host": "evil.example"}
        assert http.post(f"{place.url}/mcp", json=body, headers=rebound).status_code == 421
        foreign = {**accept, "Authorization": f"Bearer {place.key(0)}", "Origin": "http://evil.example"}
        assert http.post(f"{place.url}/mcp", json=body, headers=foreign).status_code == 403


async def test_stdio_passes_on(place: Place) -> None:
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "api.cli", "mcp", "--url", place.url],
        env={**os.environ, "CLAWTRACE_READ_KEY": place.key(0)},
        cwd=str(ROOT),
    )
    async with Client(parameters) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == NAMES
        result = await client.call_tool("run_sql", {"sql": "SELECT trace_id FROM traces"})
        assert body_of(result)["rows"] == [[place.traces[0]]]
