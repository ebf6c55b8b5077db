"""The gateway's doors with nothing behind them: no broker, no database. It starts, says so, and lets nobody in."""

import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from infra.runtime.access_keys import new_key_text
from infra.runtime.database import DatabaseAway
from producers.gateway.app import create_app
from producers.settings import GatewaySettings

# Port 9 is "discard": nothing of ours ever listens there.
NOBODY = "127.0.0.1:9"


@pytest.fixture(scope="module", autouse=True)
def feeds() -> Iterator[None]:
    """Wait for the readers of the guard topic: a gateway that stops leaves them asking the broker for some seconds."""
    yield
    for thread in threading.enumerate():
        if thread.name == "guard-feed":
            thread.join(120)
            assert not thread.is_alive(), "a reader never ends"


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    (tmp_path / "pepper").write_text("a pepper of at least sixteen bytes")
    return GatewaySettings(
        home=tmp_path,
        kafka_bootstrap=NOBODY,
        postgres_dsn=SecretStr(f"postgresql+psycopg://nobody:nothing@{NOBODY}/none"),
        key_pepper_file=tmp_path / "pepper",
    )


@pytest.fixture
async def client(settings: GatewaySettings) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://gateway") as client,
    ):
        yield client


async def test_it_lives_and_says_what_is_missing(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"ok": True}
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    kafka, postgres = answer.json()["missing"]
    assert kafka.startswith(f"Kafka at {NOBODY}:")
    assert postgres.startswith("Postgres does not answer")
    assert "clawtrace_gateway_queue_bytes" in (await client.get("/metrics")).text


@pytest.mark.parametrize("door", ["POST /v1/events", "GET /v1/guard", f"PUT /v1/blobs/{64 * 'a'}"])
@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp5"}])
async def test_nobody_gets_in_without_a_key(client: httpx2.AsyncClient, header: dict[str, str], door: str) -> None:
    method, path = door.split()
    answer = await client.request(method, path, content=b"{}", headers=header)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:clawtrace:problem:unauthorised"


async def test_a_key_that_cannot_be_looked_up_is_no_401(client: httpx2.AsyncClient) -> None:
    key, _, _ = new_key_text("ingest")
    answer = await client.post("/v1/events", content=b"{}", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("query", ["since=x", "wait_s=-1", "since=nan", "wait_s=1e400"])
async def test_a_bad_number_is_named(client: httpx2.AsyncClient, query: str) -> None:
    answer = await client.get(f"/v1/guard?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == query.split("=")[0]


async def test_the_route_is_documented_with_its_contracts(settings: GatewaySettings) -> None:
    document = create_app(settings).openapi()
    route = document["paths"]["/v1/events"]["post"]
    assert set(route["responses"]) == {"202", "401", "403", "413", "415", "422", "429", "503"}
    guard = document["paths"]["/v1/guard"]["get"]
    assert set(guard["responses"]) == {"200", "204", "401", "403", "422", "429", "503"}
    assert {it["name"] for it in guard["parameters"]} == {"since", "wait_s", "Last-Event-ID"}
    blobs = document["paths"]["/v1/blobs/{sha256}"]["put"]
    assert set(blobs["responses"]) == {"200", "201", "401", "403", "413", "415", "422", "503"}
    schemas = document["components"]["schemas"]
    assert {
        "WireBatch",
        "WireEvent",
        "IngestReceipt",
        "RejectedEvent",
        "Source",
        "Problem",
        "GuardState",
        "Verdict",
    } <= set(schemas)
    assert _dangling(document, schemas) == set()


def _dangling(node: Any, schemas: dict[str, Any]) -> set[str]:
    if isinstance(node, dict):
        found = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        missing = {ref for ref in found if ref.removeprefix("#/components/schemas/") not in schemas}
        return missing.union(*(_dangling(value, schemas) for value in node.values()))
    if isinstance(node, list):
        return set[str]().union(*(_dangling(value, schemas) for value in node))
    return set()


def test_it_does_not_start_without_its_secrets(tmp_path: Path) -> None:
    with pytest.raises(DatabaseAway, match="make up"):
        create_app(GatewaySettings(home=tmp_path))


def test_create_app_makes_an_app_per_call(settings: GatewaySettings) -> None:
    assert isinstance(create_app(settings), FastAPI)
    assert create_app(settings) is not create_app(settings)
