"""A misspelt query parameter is refused by name, on every route of data."""

import re
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.main import create_app
from api.settings import ApiSettings

_OTHERS = re.compile(r"/healthz|/readyz|/v1/session(/.*)?")


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(ApiSettings())


@pytest.fixture(scope="module")
def client(app: FastAPI) -> TestClient:
    # Not entered: what is refused needs nothing that runs.
    return TestClient(app)


def refused(client: TestClient, method: str, path: str, query: str) -> list[dict[str, Any]]:
    answer = client.request(method, f"{path.replace('{', '').replace('}', '')}?{query}")
    assert answer.status_code == 422, (method, path)
    errors: list[dict[str, Any]] = answer.json()["errors"]
    return errors


def test_every_route_refuses_what_it_does_not_have_and_nothing_else(app: FastAPI, client: TestClient) -> None:
    num_routes = 0
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items() if not _OTHERS.fullmatch(path) else ():
            named = [f"{it['name']}=1" for it in operation.get("parameters", []) if it["in"] == "query"]
            errors = refused(client, method, path, "&".join([*named, "no_such=1"]))
            assert [it["field"] for it in errors] == ["query.no_such"], (method, path)
            num_routes += 1
    assert num_routes > 60


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("/v1/alerts", "agent=mac", "Did you mean agent_id?"),
        ("/v1/agents/mac/trends", "from_at=2026-11-01", "Did you mean from?"),
        ("/v1/agents/mac/trends", "step=day", "there are bucket, from, to."),
        ("/v1/budgets", "agent_id=mac", "this route has none"),
    ],
)
def test_the_likely_one_is_named(client: TestClient, path: str, query: str, words: str) -> None:
    (error,) = refused(client, "get", path, query)
    assert words in error["message"]
