"""Two tenants of different size with rows in every silver table, and the API of this checkout over them."""

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
import uvicorn

from api.main import create_app
from api.settings import ApiSettings
from infra.runtime.access_keys import create_key, read_pepper
from infra.runtime.database import make_engine, migrate
from infra.runtime.settings import StackSettings
from infra.runtime.trino_connection import MAINTENANCE, OPERATOR, connect
from infra.trino.rules import access_rules, rules_json
from lakehouse.contracts.columns import ColumnSpec
from lakehouse.contracts.tables import TABLES, TableSpec, table_named
from lakehouse.maintenance.lock import tables_lock
from tests.integration.doors import DEADLINE_S, wait_until

BASE_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_WORDS = {
    "status": "ok",
    "category": "work",
    "severity": "critical",
    "state": "alert",
    "rule": "run_cost",
    "usage_source": "message",
    "source": "rule",
}


# Columns of cards that hold JSON, with the texts of one item.
_NESTED = {
    "top_cost_spans": ("span_id", "role_hint"),
    "redundant_tool_calls": ("tool_name",),
    "sub_agents": ("span_id",),
    "critical_path": ("span_id",),
    "reread_bill": ("span_id",),
}


@dataclass(frozen=True)
class Tenant:
    """One tenant of the test; ``canary`` is in every text of its rows and nowhere else."""

    tenant_id: str
    canary: str
    num_traces: int
    num_spans: int

    def trace_id(self, number: int) -> str:
        """Id of a trace; the later ones are newer."""
        return f"{self.canary}{number:04d}"

    def trace_of_span(self, number: int) -> int:
        """Spans are dealt out to the traces in turn."""
        return number % self.num_traces


def new_tenant_id() -> str:
    """Id of a tenant that nobody else has."""
    return f"iso{secrets.token_hex(6)}"


def _new_tenant(num_traces: int, num_spans: int) -> Tenant:
    return Tenant(new_tenant_id(), f"canary{secrets.token_hex(6)}", num_traces, num_spans)


def _rows(tenant: Tenant, table: TableSpec) -> list[dict[str, Any]]:
    count = {"spans": tenant.num_spans, "events": tenant.num_spans, "tenants": 1, "agents": 1}.get(
        table.name, tenant.num_traces
    )
    return [_row(tenant, table, number) for number in range(count)]


def _row(tenant: Tenant, table: TableSpec, number: int) -> dict[str, Any]:
    trace = tenant.trace_of_span(number)
    # Two traces share each instant, so that pages have to use the id as well.
    at = BASE_AT + timedelta(hours=trace // 2)
    row = {column.name: _value(tenant, column, number, at) for column in table.columns}
    if "trace_id" in row:
        row["trace_id"] = tenant.trace_id(trace)
        if row.get("agent_id"):
            # A trace and its spans are one agent's.
            row["agent_id"] = f"{tenant.canary}-agent_id-{trace}"
    if table.name == "spans":
        is_root = number < tenant.num_traces
        row["kind"] = "run" if is_root else "model_call"
        row["parent_span_id"] = None if is_root else f"{tenant.canary}-span_id-{trace}"
    if table.name == "edges":
        row["kind"] = "CHILD_OF"
    return row


def _value(tenant: Tenant, column: ColumnSpec, number: int, at: datetime) -> Any:
    if column.name == "tenant_id":
        return tenant.tenant_id
    if column.name in ("epoch", "rev", "link_rev"):
        return 0
    if word := _WORDS.get(column.name):
        return word
    text = f"{tenant.canary}-{column.name}-{number}"
    if nested := _NESTED.get(column.name):
        item: dict[str, Any] = dict.fromkeys(nested, text)
        # The one number that an item must have.
        return json.dumps([item | ({"count": 2} if column.name == "redundant_tool_calls" else {})])
    values: dict[str, Any] = {
        "string": text,
        "long": number,
        "double": 0.5,
        "boolean": False,
        "date": at.date(),
        "timestamptz": at,
        "decimal(24,12)": Decimal("0.0125"),
        "list<string>": [text],
        "map<string,string>": {"key": text},
    }
    return values[column.type]


def _literal(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool() | int() | float():
            return str(value).lower()
        case str():
            return "'" + value.replace("'", "''") + "'"
        case Decimal():
            return f"DECIMAL '{value:f}'"
        case datetime():
            return f"TIMESTAMP '{value:%Y-%m-%d %H:%M:%S.%f} UTC'"
        case date():
            return f"DATE '{value.isoformat()}'"
        case list():
            return f"ARRAY[{', '.join(map(_literal, value))}]"
        case dict():
            return f"MAP({_literal(list(value))}, {_literal(list(value.values()))})"
    raise TypeError(value)


def run_sql(settings: StackSettings, sql: str, principal: str, user: str | None = None) -> list[list[Any]]:
    """Run one statement in Trino, with nothing of ours in between."""
    connection = connect(settings, principal, user)
    try:
        rows: list[list[Any]] = connection.cursor().execute(sql).fetchall()
        return rows
    finally:
        connection.close()


@pytest.fixture(scope="session")
def written_rules(stack: StackSettings) -> None:
    """Check that the running Trino has the rules of this checkout."""
    written = (stack.home / "trino" / "etc" / "rules.json").read_text()
    assert written == rules_json(access_rules(stack.catalog_name)), "run: clawtrace trino rules --write"


@pytest.fixture(scope="session")
def tenants(stack: StackSettings, written_rules: None) -> Iterator[tuple[Tenant, Tenant]]:
    """A small tenant and a large one: a leak and a dropped row both show in the counts."""
    pair = (_new_tenant(3, 7), _new_tenant(11, 53))
    for table in TABLES:
        insert_rows(stack, table.name, [row for tenant in pair for row in _rows(tenant, table)])
    yield pair
    ids = ", ".join(f"'{tenant.tenant_id}'" for tenant in pair)
    for table in TABLES:
        change_silver(stack, f"DELETE FROM silver.{table.name} WHERE tenant_id IN ({ids})")


def insert_rows(settings: StackSettings, table_name: str, rows: list[dict[str, Any]]) -> None:
    """Write rows; required columns that a row does not name get 0, false or nothing, the others NULL."""
    table = table_named(table_name)
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    values = ", ".join(
        f"({', '.join(_literal(row.get(column.name, _empty(column))) for column in table.columns)})" for row in rows
    )
    change_silver(settings, f"INSERT INTO silver.{table_name} ({names}) VALUES {values}")


def _empty(column: ColumnSpec) -> Any:
    if not column.required:
        return None
    empty: dict[str, Any] = {
        "string": "",
        "long": 0,
        "double": 0.0,
        "boolean": False,
        "list<string>": [],
        "map<string,string>": {},
    }
    return empty.get(column.type)


def change_silver(settings: StackSettings, sql: str) -> None:
    """Write a silver table; the sink or the upkeep may commit at the same moment, then it is done again."""

    def attempt() -> Exception | None:
        try:
            run_sql(settings, sql, MAINTENANCE)
        except Exception as error:
            return error
        return None

    wait_until(attempt, lambda error: error is None, sql[:60])


@pytest.fixture(scope="module")
def nothing_is_erased(stack: StackSettings) -> Iterator[None]:
    """Erasures that a module asks for are not done: they would move tables that other tests look at."""
    engine = make_engine(stack)
    with tables_lock(engine, within_s=120):
        yield
        with engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM control.erasures WHERE tenant_id LIKE 'iso%' AND state = 'asked'"))
    engine.dispose()


@pytest.fixture(scope="session")
def read_key(stack: StackSettings) -> Callable[[str, str], str]:
    """Make an access key: ``read_key(tenant_id, scope)``."""
    engine = make_engine(stack)
    migrate(engine)
    pepper = read_pepper(stack.key_pepper_file)

    def make(tenant_id: str, scope: str) -> str:
        return create_key(engine, pepper, tenant_id=tenant_id, agent_id="agent", scope=scope).key

    return make


@dataclass(frozen=True)
class Client:
    """The API as one tenant sees it."""

    http: httpx2.Client
    key: str

    def get(self, path: str, **parameters: Any) -> httpx2.Response:
        """GET with the tenant's key."""
        return self.http.get(path, params=parameters, headers={"Authorization": f"Bearer {self.key}"})

    def send(self, method: str, path: str, body: Any = None, **parameters: Any) -> httpx2.Response:
        """Any other request with the tenant's key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.http.request(method, path, params=parameters, json=body, headers=headers)

    def sql(self, text: str) -> httpx2.Response:
        """POST /v1/sql with the tenant's key."""
        return self.http.post("/v1/sql", json={"sql": text}, headers={"Authorization": f"Bearer {self.key}"})


@dataclass(frozen=True)
class People:
    """A viewer, an operator and an admin of a tenant of the test's own, and the admin of another one."""

    tenant_id: str
    viewer: Client
    operator: Client
    admin: Client
    stranger: Client

    def audited(self, action: str) -> list[dict[str, Any]]:
        """Entries of the audit log about an action, newest first."""
        entries = self.admin.get("/v1/audit", limit=200).json()["items"]
        return [entry for entry in entries if entry["action"] == action]


def people_of(http: httpx2.Client, make_key: Callable[[str, str], str]) -> People:
    """Make keys for two new tenants."""
    tenant_id = new_tenant_id()
    of_role = [Client(http, make_key(tenant_id, scope)) for scope in ("read", "operate", "admin")]
    return People(tenant_id, *of_role, Client(http, make_key(new_tenant_id(), "admin")))


def api_settings(stack: StackSettings, **changes: Any) -> ApiSettings:
    """Settings of an API over the running stack."""
    return ApiSettings(home=stack.home, port_base=stack.port_base, **changes)


@contextmanager
def served(settings: ApiSettings) -> Iterator[httpx2.Client]:
    """Serve the API of this checkout on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None, access_log=False))
        thread = threading.Thread(target=lambda: server.run(sockets=[free]), daemon=True)
        thread.start()
        deadline_s = time.monotonic() + DEADLINE_S
        while not server.started:
            assert time.monotonic() < deadline_s, "the API did not start"
            thread.join(0.05)
        try:
            address = "http://{}:{}".format(*free.getsockname())
            with httpx2.Client(base_url=address, timeout=60, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(DEADLINE_S)


@pytest.fixture(scope="session")
def api(stack: StackSettings) -> Iterator[httpx2.Client]:
    """The API of this checkout."""
    with served(api_settings(stack)) as client:
        yield client


@pytest.fixture(scope="session")
def small(tenants: tuple[Tenant, Tenant], api: httpx2.Client, read_key: Callable[[str, str], str]) -> Client:
    """The API as the small tenant."""
    return Client(api, read_key(tenants[0].tenant_id, "read"))


@pytest.fixture(scope="session")
def large(tenants: tuple[Tenant, Tenant], api: httpx2.Client, read_key: Callable[[str, str], str]) -> Client:
    """The API as the large tenant."""
    return Client(api, read_key(tenants[1].tenant_id, "admin"))


@pytest.fixture
def people(api: httpx2.Client, written_rules: None, read_key: Callable[[str, str], str]) -> People:
    """People of a tenant that nobody else has."""
    return people_of(api, read_key)


@pytest.fixture
def operator_counts(stack: StackSettings, tenants: tuple[Tenant, Tenant]) -> dict[str, int]:
    """Rows of the large tenant by table, as the operator sees them."""
    other = tenants[1].tenant_id
    return {
        table.name: run_sql(stack, f"SELECT count(*) FROM silver.{table.name} WHERE tenant_id = '{other}'", OPERATOR)[
            0
        ][0]
        for table in TABLES
    }
