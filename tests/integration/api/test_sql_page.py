"""infra/sql.md: what it shows works, its questions answer what they promise; and `clawtrace sql` in every format."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from api.client import EXIT_AWAY, EXIT_QUESTION
from api.sql_command import sql_app
from infra.runtime.settings import StackSettings
from infra.runtime.trino_connection import sign_token, tenant_user
from tests.integration.api.conftest import Client, change_silver, insert_rows, new_tenant_id

PAGE = (Path(__file__).resolve().parents[3] / "infra/sql.md").read_text()
QUESTIONS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
# span → parent, kind, dollars: a run with a call, a helper with a call and a helper of its own.
TREE: dict[str, tuple[str | None, str, str | None]] = {
    "run-main": (None, "run", None),
    "call-main": ("run-main", "model_call", "0.1"),
    "tool-main": ("run-main", "tool_call", None),
    "run-help": ("tool-main", "run", None),
    "call-help": ("run-help", "model_call", "0.02"),
    "run-deep": ("run-help", "run", None),
    "call-deep": ("run-deep", "model_call", "0.003"),
    "call-free": ("run-deep", "model_call", None),
}


def _path(span: str) -> list[str]:
    parent = TREE[span][0]
    return [] if parent is None else [*_path(parent), parent]


@pytest.fixture(scope="module")
def client(
    stack: StackSettings, written_rules: None, api: httpx2.Client, read_key: Callable[[str, str], str]
) -> Iterator[tuple[Client, str]]:
    """The API as a tenant with one trace, and the tenant's id."""
    tenant_id = new_tenant_id()
    head: dict[str, Any] = {"tenant_id": tenant_id, "agent_id": "a", "trace_id": "trace-1", "trace_date": AT.date()}
    spans = [
        {
            **head, "span_id": span, "parent_span_id": parent, "path": _path(span), "depth": len(_path(span)),
            "kind": kind, "name": f"name of {span}", "status": "ok", "started_at": AT, "openclaw_agent_id": span,
            "cost_usd": None if cost is None else Decimal(cost),
        }
        for span, (parent, kind, cost) in TREE.items()
    ]  # fmt: skip
    insert_rows(stack, "spans", spans)
    edges = [
        {**head, "kind": "CHILD_OF", "src_id": span, "dst_id": parent}
        for span, (parent, _, _) in TREE.items()
        if parent is not None
    ]
    insert_rows(stack, "edges", edges)
    insert_rows(stack, "traces", [{**head, "name": 'a "name", with\nlines', "status": "ok", "started_at": AT}])
    yield Client(api, read_key(tenant_id, "read")), tenant_id
    for table in ("spans", "edges", "traces"):
        change_silver(stack, f"DELETE FROM silver.{table} WHERE tenant_id = '{tenant_id}'")


def _answer(client: tuple[Client, str], number: int) -> list[list[Any]]:
    answer = client[0].sql(QUESTIONS[number])
    assert answer.status_code == 200, answer.text
    rows: list[list[Any]] = answer.json()["rows"]
    return rows


def test_all_questions_of_the_page_are_here() -> None:
    assert len(QUESTIONS) == 5


def test_all_descendants_of_a_span(client: tuple[Client, str]) -> None:
    assert {row[0] for row in _answer(client, 0)} == set(TREE) - {"run-main"}


def test_the_way_from_the_root(client: tuple[Client, str]) -> None:
    assert [row[2] for row in _answer(client, 1)] == [f"name of {span}" for span in _path("call-deep")]


def test_cost_by_subtree(client: tuple[Client, str]) -> None:
    found = {row[0]: (Decimal(row[4]), row[5], row[6]) for row in _answer(client, 2)}
    assert found == {
        "run-main": (Decimal("0.123"), 4, 1),
        "run-help": (Decimal("0.023"), 3, 1),
        "run-deep": (Decimal("0.003"), 2, 1),
    }


def test_which_run_started_which(client: tuple[Client, str]) -> None:
    assert _answer(client, 3) == [["run-deep", "run-help"], ["run-help", "run-main"]]


def test_the_walk_by_recursion_finds_the_same(client: tuple[Client, str]) -> None:
    expected = {span: len(_path(span)) for span in TREE if span != "run-main"}
    assert dict(_answer(client, 4)) == expected


def test_the_python_of_the_page(stack: StackSettings, client: tuple[Client, str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    user = tenant_user(client[1])
    names: dict[str, Any] = {
        "CA_FILE": str(stack.trino_ca_file),
        "PORT": urlsplit(stack.trino_url).port,
        "USER": user,
        "TOKEN": sign_token(stack, user),
    }
    exec(code, names)
    assert names["rows"] == [['a "name", with\nlines', None]]


@pytest.fixture
def run(client: tuple[Client, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("CLAWTRACE_API_URL", str(client[0].http.base_url))
    monkeypatch.setenv("CLAWTRACE_READ_KEY", client[0].key)
    return lambda *arguments, **more: CliRunner().invoke(sql_app, list(arguments), **more)


VALUES = (
    "SELECT span_id, cost_usd, started_at, trace_date, depth, path, MAP(ARRAY['a'], ARRAY[1]) AS counts, "
    "CAST(ROW(1, 'x') AS row(n integer, s varchar)) AS pair, 0.5e0 AS half, NULL AS nothing "
    "FROM spans ORDER BY span_id"
)


def test_tabs_csv_and_json(run: Callable[..., Result]) -> None:
    lines = run("SELECT name, status FROM traces").stdout.splitlines()
    assert lines == ["name\tstatus", 'a "name", with lines\tok']
    text = run("SELECT name, '=1+1' AS a, -num_spans - 1 AS b FROM traces", "--format", "csv").stdout
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows == [["name", "a", "b"], ['a "name", with\nlines', "'=1+1", "-1"]]
    document = json.loads(run("-", "--json", input="SELECT sum(cost_usd) AS cost_usd FROM spans").stdout)
    assert (document["rows"], document["truncated"]) == ([["0.123"]], False)
    assert set(document["snapshots"]) == {"silver.spans"}


def test_parquet_keeps_types_and_digits(run: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "spans.parquet"
    done = run(VALUES, "--output", str(file))
    assert (done.exit_code, done.stdout) == (0, ""), done.output
    table = pq.read_table(file)
    types = {field.name: field.type for field in table.schema}
    assert types["cost_usd"] == pa.decimal128(24, 12)
    assert types["started_at"] == pa.timestamp("us", tz="UTC")
    assert types["path"] == pa.list_(pa.string())
    assert types["counts"] == pa.map_(pa.string(), pa.int32())
    rows = {row["span_id"]: row for row in table.to_pylist()}
    assert set(rows) == set(TREE)
    deep = rows["call-deep"]
    assert (deep["cost_usd"], deep["started_at"], deep["trace_date"]) == (Decimal("0.003"), AT, date(2026, 3, 1))
    assert (deep["path"], deep["counts"]) == (_path("call-deep"), [("a", 1)])
    assert (json.loads(deep["pair"]), deep["half"], deep["nothing"]) == ([1, "x"], 0.5, None)


def test_limits_and_words(run: Callable[..., Result], tmp_path: Path) -> None:
    few = run("SELECT span_id FROM spans ORDER BY 1", "--limit", "2")
    assert len(few.stdout.splitlines()) == 3
    assert "There are more rows" in few.stderr
    for arguments, words in (
        (["DESCRIBE traces"], "num_tool_calls"),
        (["DROP TABLE x"], "Write one SELECT"),
        (["SELECT nam FROM traces"], "num_tool_calls"),
        (["SELECT * FROM silver.spans"], "The tables are"),
        (["SELECT CAST(name AS integer) FROM traces"], "try_cast"),
        (["SELECT 1 AS a", "--format", "xml"], "json, csv, parquet"),
        (["SELECT 1 AS a", "--output", str(tmp_path / "no" / "x.csv")], "cannot be written"),
        (["SELECT 1 AS a", "--key", "wrong"], "key"),
    ):
        done = run(*arguments)
        assert (done.exit_code, done.stdout) == (EXIT_QUESTION, ""), done.output
        assert words in done.stderr
    away = run("SELECT 1 AS a", "--url", "http://127.0.0.1:9")
    assert (away.exit_code, "clawtrace status" in away.stderr) == (EXIT_AWAY, True)


def test_the_operator_asks_through_the_same_guard(
    run: Callable[..., Result], stack: StackSettings, client: tuple[Client, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAWTRACE_HOME", str(stack.home))
    monkeypatch.setenv("CLAWTRACE_PORT_BASE", str(stack.port_base))
    monkeypatch.setenv("CLAWTRACE_API_MAX_SQL_ROWS", "3")
    done = run(f"SELECT span_id FROM spans WHERE tenant_id = '{client[1]}'", "--operator", "--format", "csv")
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 4), done.output
    assert "There are more rows" in done.stderr
    refused = run("SELECT * FROM silver.spans", "--operator")
    assert (refused.exit_code, refused.stdout) == (EXIT_QUESTION, "")
    assert "The tables are" in refused.stderr
