"""The JDBC of infra/sql.md, with Trino's own driver: it connects as the page says, and sees one tenant's rows."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra.local.artifacts import ensure_driver
from infra.local.layout import Layout
from infra.local.progress import Progress
from infra.runtime.settings import StackSettings
from infra.runtime.trino_connection import sign_token, tenant_user
from tests.integration.api.conftest import Tenant
from tests.java_clients import answer_of

ROOT = Path(__file__).resolve().parents[3]
(_PROPERTIES,) = re.findall(r"```properties\n(.*?)```", (ROOT / "infra/sql.md").read_text(), re.DOTALL)

Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def ask(stack: StackSettings, tenants: tuple[Tenant, Tenant]) -> Ask:
    """Run statements over one connection as the small tenant; ``changes`` are of the page's properties."""
    jar = ensure_driver(Layout.of(stack), Progress(quiet=True))
    user = tenant_user(tenants[0].tenant_id)

    def run(*sql: str, **changes: str) -> list[dict[str, Any]]:
        text = _PROPERTIES.replace("<home>", str(stack.home)).replace("<token>", sign_token(stack, user))
        text = text.replace("4602", str(urlsplit(stack.trino_url).port)).replace("t_clawdemo", user)
        properties = dict(line.split("=", 1) for line in text.splitlines()) | changes
        question = {
            "jar": str(jar),
            "url": properties.pop("url"),
            "properties": properties,
            "sql": sql,
        }
        answers: list[dict[str, Any]] = answer_of("tests.jdbc_client", question)
        return answers

    return run


def test_a_tenant_reads_its_own_rows_and_no_others(ask: Ask, tenants: tuple[Tenant, Tenant]) -> None:
    small, large = tenants
    own, costs, foreign, silver, change, listed = ask(
        "SELECT tenant_id, count(*) FROM spans GROUP BY 1 ORDER BY 1",
        "SELECT cost_usd FROM iceberg.clawtrace.spans ORDER BY cost_usd LIMIT 1",
        f"SELECT count(*) FROM spans WHERE tenant_id = '{large.tenant_id}'",
        "SELECT count(*) FROM iceberg.silver.spans",
        "DELETE FROM spans",
        "SHOW TABLES",
    )
    assert own == {"rows": [[small.tenant_id, str(small.num_spans)]]}
    assert costs == {"rows": [["0.012500000000"]]}
    assert foreign == {"rows": [["0"]]}
    assert "Access Denied" in silver["error"]
    assert "error" in change
    assert {"spans", "traces", "events"} <= {row[0] for row in listed["rows"]}


def test_the_token_is_good_for_its_own_user_only(ask: Ask, tenants: tuple[Tenant, Tenant]) -> None:
    (refused,) = ask("SELECT 1", user=tenant_user(tenants[1].tenant_id))
    assert "Access Denied" in refused["error"]
