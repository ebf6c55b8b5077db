"""The gateway as an HTTP application: routes, health, metrics, and what they stand on.

Upstream: ``clawtrace gateway run``.
Downstream: ``producers.gateway.ingest``, ``guard`` and ``blobs``.
Guarantee: starts without Kafka and Postgres and says on /readyz what is missing; at a stop, requests under way get
their answer and the producer is flushed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import State
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.runtime.access_keys import read_pepper
from infra.runtime.collector import collect_seldom
from infra.runtime.database import make_engine, missing_from_database
from infra.runtime.fail_points import arm
from infra.runtime.key_store import KeyStore
from infra.runtime.metrics import readiness_body, render_metrics
from infra.runtime.problem import Problem, document_problems, install_problem_handlers, problem_responses
from producers.contracts.guard import GuardState, Verdict
from producers.contracts.wire import IngestReceipt, WireBatch, WireEvent
from producers.gateway.blobs import Blobs
from producers.gateway.guard import EVENT_STREAM, Guard, read_number
from producers.gateway.guard_board import GuardBoard
from producers.gateway.ingest import Ingest
from producers.gateway.publisher import Publisher
from producers.gateway.reference_door import add_reference_route
from producers.gateway.ticker import Ticker
from producers.settings import GatewaySettings

EVENTS_PATH = "/v1/events"
GUARD_PATH = "/v1/guard"
BLOBS_PATH = "/v1/blobs/{sha256}"
_SCHEMAS = "#/components/schemas/"


def create_app(settings: GatewaySettings | None = None) -> FastAPI:
    """Make the application.

    Raises:
        DatabaseAway: the secrets of the stack are not there.
    """
    settings = settings or GatewaySettings()
    engine = make_engine(settings)
    pepper = read_pepper(settings.key_pepper_file)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        arm(settings.fail_point)
        keys = KeyStore(engine, pepper)
        publisher = Publisher(settings, asyncio.get_running_loop())
        app.state.publisher = publisher
        collect_seldom()
        app.state.ingest = Ingest(
            keys, publisher, settings.gateway_events_topic, tenant_events_per_s=settings.gateway_tenant_events_per_s
        )
        board = GuardBoard(settings, engine)
        # Streams never end by themselves in time: a stop would wait for them.
        board.is_stopping = lambda: bool(app.state.is_stopping())
        app.state.guard = Guard(keys, board, settings)
        app.state.blobs = Blobs(keys, settings.blobs_folder)
        ticker = Ticker(settings)
        ticker.start()
        try:
            yield
        finally:
            await asyncio.to_thread(ticker.close)
            await board.close()
            await asyncio.to_thread(publisher.close)
            keys.close()
            engine.dispose()

    # No /docs page: it loads its scripts from another host.
    app = FastAPI(title="ClawTrace gateway", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.is_stopping = lambda: False
    install_problem_handlers(app)
    _document(app)
    app.add_middleware(_IngestFirst, state=app.state)

    @app.post(
        EVENTS_PATH,
        summary="Send a batch of events",
        status_code=202,
        response_class=Response,
        responses={
            202: {
                "description": "The broker has every accepted event; rejected ones are in the dead letters.",
                "content": {"application/json": {"schema": {"$ref": _SCHEMAS + "IngestReceipt"}}},
            },
            **problem_responses(401, 403, 413, 415, 422, 429, 503),
        },
        openapi_extra={
            "security": [{"key": []}],
            "requestBody": {
                "required": True,
                "description": "A wire batch; Content-Encoding gzip is welcome.",
                "content": {"application/json": {"schema": {"$ref": _SCHEMAS + "WireBatch"}}},
            },
        },
    )
    async def post_events(request: Request) -> Response:
        return await cast(Ingest, app.state.ingest).answer(request)

    add_reference_route(app)

    @app.get(
        GUARD_PATH,
        summary="What an agent's guard must know: policy, prices, allowances, verdicts",
        response_class=Response,
        responses={
            200: {
                "description": "The state; as a stream, the events `state` (id: its rev) and `verdict`.",
                "content": {
                    "application/json": {"schema": {"$ref": _SCHEMAS + "GuardState"}},
                    EVENT_STREAM: {"schema": {"type": "string"}},
                },
            },
            204: {"description": "The state is still `since`."},
            **problem_responses(401, 403, 422, 429, 503),
        },
        openapi_extra={
            "security": [{"key": []}],
            "parameters": [
                _parameter("since", "query", "Rev that is known: answer when it is another."),
                _parameter("wait_s", "query", "Seconds to wait for another rev; 0 to 60."),
                _parameter("Last-Event-ID", "header", "Rev that is known, for a stream that goes on."),
            ],
        },
    )
    async def get_guard(request: Request) -> Response:
        since = read_number(request, "since")
        guard = cast(Guard, app.state.guard)
        return await guard.answer(
            request, since=None if since is None else int(since), wait_s=read_number(request, "wait_s") or 0
        )

    @app.put(
        BLOBS_PATH,
        summary="Store a payload that is too big for an event",
        status_code=201,
        response_class=Response,
        responses={
            200: {"description": "It is there already."},
            201: {"description": "It is stored."},
            **problem_responses(401, 403, 413, 415, 422, 503),
        },
        openapi_extra={
            "security": [{"key": []}],
            "requestBody": {
                "required": True,
                "description": "The bytes that have this SHA-256, up to 16 MiB.",
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            },
        },
    )
    async def put_blob(request: Request, sha256: str) -> Response:
        return await cast(Blobs, app.state.blobs).answer(request, sha256)

    async def look() -> list[str]:
        publisher = cast(Publisher, app.state.publisher)
        return publisher.missing() + await asyncio.to_thread(missing_from_database, engine)

    @app.get("/healthz", summary="The process lives")
    async def healthz() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/readyz", summary="The gateway can take events", response_class=JSONResponse)
    async def readyz() -> JSONResponse:
        missing = await look()
        return JSONResponse(readiness_body(missing), status_code=503 if missing else 200)

    @app.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics() -> Response:
        body, content_type = render_metrics(await look())
        return Response(body, media_type=content_type)

    return app


class _IngestFirst:
    """Answers ``POST /v1/events`` before routing and dependency injection, which take longer than a small batch."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != EVENTS_PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            response = await cast(Ingest, self._state.ingest).answer(Request(scope, receive))
        except Problem as problem:
            response = problem.response(EVENTS_PATH)
        await response(scope, receive, send)


def _parameter(name: str, where: str, description: str) -> dict[str, Any]:
    schema = {"type": "string"} if where == "header" else {"type": "number", "minimum": 0}
    return {"name": name, "in": where, "required": False, "description": description, "schema": schema}


def _document(app: FastAPI) -> None:
    """Put the msgspec contracts into the OpenAPI document; FastAPI knows pydantic only."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = document_problems(generate())
        _, schemas = msgspec.json.schema_components(
            (WireBatch, WireEvent, IngestReceipt, GuardState, Verdict), ref_template=_SCHEMAS + "{name}"
        )
        schemas["WireBatch"]["properties"]["events"]["items"] = {"$ref": _SCHEMAS + "WireEvent"}
        for part in ("event", "ctx"):
            schemas["WireEvent"]["properties"][part] |= {"type": "object", "default": {}}
        document["components"]["schemas"].update(schemas)
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own documented way
