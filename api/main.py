"""The API: from tables to people and agents.

Upstream: `clawtrace api run`.
Downstream: the routers; Trino and Postgres behind them.
Guarantee: every error is a problem document; every answer is described in api/schemas/openapi.json, which a test
compares with this app.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from trino.exceptions import TrinoQueryError

from api.access.roles import ROLE_FIELD, role_of
from api.kit.cursor import InvalidCursor
from api.kit.known_query import refuse_unknown_query
from api.kit.limits import RequestLimits
from api.learn.distiller import Distiller
from api.learn.judge import ModelJudge
from api.mcp import server as mcp_server
from api.metrics import REQUEST_SECONDS, REQUESTS
from api.repositories.errors import QueryTimeout, TooManyQueries, TrinoAway
from api.repositories.prices import PricesBroken
from api.routers import (
    access,
    agents,
    alerts,
    backtests,
    budgets,
    channels,
    compare,
    configs,
    erasures,
    evolve,
    export,
    guard,
    health,
    live,
    plugin_file,
    policies,
    prices,
    reprices,
    retention,
    rules,
    scores,
    session,
    sessions,
    skills,
    sql,
    trace_costs,
    trace_views,
    traces,
    tracy,
    usage,
    web,
)
from api.services import ClientGone, open_services
from api.settings import ApiSettings
from api.sqlguard.errors import SqlError
from api.tracy.model import Model
from api.tracy.own_trace import OwnTraces
from api.tracy.service import Tracy
from api.tracy.settings import TracySettings
from infra.runtime.database import DatabaseAway
from infra.runtime.problem import (
    FieldError,
    Problem,
    document_problems,
    install_problem_handlers,
    invalid,
    problem_responses,
    too_busy,
    unavailable,
)

_log = structlog.get_logger(__name__)

API_VERSION = "1"
_RETRY_AFTER_AWAY_S = 5
_RETRY_AFTER_BUSY_S = 1
# A person has to mend the file.
_RETRY_AFTER_PRICES_S = 30
_CLIENT_GONE = 499
_MODULES = (
    traces,
    trace_views,
    scores,
    compare,
    trace_costs,
    export,
    agents,
    configs,
    sessions,
    usage,
    alerts,
    rules,
    backtests,
    budgets,
    guard,
    plugin_file,
    policies,
    channels,
    prices,
    reprices,
    retention,
    erasures,
    live,
    access,
    session,
    sql,
    tracy,
    evolve,
    skills,
    health,
)
# Of every route behind a key; a route adds its own.
_REFUSALS = problem_responses(401, 403, 422, 429, 503)
_ROUTERS: tuple[APIRouter, ...] = tuple(module.router for module in _MODULES)


def create_app(settings: ApiSettings, tracy_settings: TracySettings | None = None) -> FastAPI:
    """Make the app. Connections are opened when it starts, not here."""
    about_tracy = tracy_settings or TracySettings(home=settings.home, port_base=settings.port_base)
    mcp_door = mcp_server.McpDoor()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            open_services(settings) as services,
            aclosing(Model(about_tracy)) as model,
            aclosing(OwnTraces(about_tracy)) as own_traces,
        ):
            app.state.tracy = Tracy(about_tracy, services, model, own_traces)
            app.state.distiller = Distiller(about_tracy, services, model, own_traces)
            app.state.judge = ModelJudge(about_tracy, model)
            app.state.services = services
            app.state.door = services.door
            mcp_door.open(services.keys, app.state.tracy)
            yield
            await mcp_door.close()

    app = FastAPI(
        title="ClawTrace",
        version=API_VERSION,
        description="What OpenClaw agents did, what it cost, and what went wrong. The key decides whose.",
        lifespan=lifespan,
        docs_url="/docs",
        redoc_url=None,
    )
    for router in _ROUTERS:
        # An OpenID provider may bring parameters of its own along, a probe may have one against caches.
        is_strict = router not in (session.router, health.router)
        strict = [Depends(refuse_unknown_query)] if is_strict else []
        app.include_router(router, dependencies=strict, responses={} if router is health.router else _REFUSALS)
    # A route and not a mount: a mount would send clients from /mcp to /mcp/.
    app.router.routes.append(Route(mcp_server.PATH, endpoint=mcp_door, include_in_schema=False))
    # Last of the routes: it answers every address that is nobody else's.
    app.include_router(plugin_file.router)
    app.include_router(web.router)
    install_problem_handlers(app)
    for error, to_problem in _PROBLEMS.items():
        app.add_exception_handler(error, _handler(to_problem))
    app.add_exception_handler(ClientGone, _on_client_gone)
    app.add_middleware(GZipMiddleware, minimum_size=1_000, compresslevel=settings.api_gzip_level)
    app.add_middleware(
        RequestLimits,
        max_body_bytes=settings.api_max_body_bytes,
        per_s=settings.api_requests_per_s,
        burst=settings.api_request_burst,
    )
    # Added last, so it stands in front of the others and counts what they refuse.
    app.add_middleware(CountRequests)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's own documented way
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    if not app.openapi_schema:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for route in (route for router in _ROUTERS for route in router.routes):
            if isinstance(route, APIRoute) and route.include_in_schema and (role := role_of(route)) is not None:
                for method in route.methods or ():
                    document["paths"][route.path_format][method.lower()][ROLE_FIELD] = role
        app.openapi_schema = document_problems(document)
    return app.openapi_schema


def _on_sql(error: Exception) -> Problem:
    assert isinstance(error, SqlError)
    fields = [FieldError("body.sql", error.message)]
    return Problem(
        422,
        "sql",
        "The SQL cannot run",
        str(error),
        errors=fields,
        extra={"code": error.code, "hint": error.hint},
    )


def _on_timeout(error: Exception) -> Problem:
    return Problem(422, "query-timeout", "The query took too long", str(error))


def _on_cursor(error: Exception) -> Problem:
    return invalid(str(error), FieldError("query.cursor", str(error)))


def _on_busy(error: Exception) -> Problem:
    return too_busy(str(error), retry_after_s=_RETRY_AFTER_BUSY_S)


def _on_away(error: Exception) -> Problem:
    return unavailable("the tables cannot be read now: Trino does not answer", retry_after_s=_RETRY_AFTER_AWAY_S)


def _on_own_query(error: Exception) -> Problem:
    """Handle a query of ours that Trino could not run: tables not provisioned yet, rules not written, no memory."""
    assert isinstance(error, TrinoQueryError)
    _log.error("own_query_failed", query_id=error.query_id, error=error.error_name, message=error.message)
    return unavailable(f"the tables cannot be read now ({error.error_name})", retry_after_s=_RETRY_AFTER_AWAY_S)


def _on_database(error: Exception) -> Problem:
    _log.warning("database_away", reason=str(error))
    return unavailable("Postgres does not answer", retry_after_s=_RETRY_AFTER_AWAY_S)


def _on_prices(error: Exception) -> Problem:
    return unavailable(str(error), retry_after_s=_RETRY_AFTER_PRICES_S)


async def _on_client_gone(request: Request, error: Exception) -> Response:
    """Nobody reads it; the status is for the metrics, as other servers count it."""
    return Response(status_code=_CLIENT_GONE)


_PROBLEMS: dict[type[Exception], Callable[[Exception], Problem]] = {
    SqlError: _on_sql,
    QueryTimeout: _on_timeout,
    InvalidCursor: _on_cursor,
    TooManyQueries: _on_busy,
    TrinoAway: _on_away,
    DatabaseAway: _on_database,
    TrinoQueryError: _on_own_query,
    PricesBroken: _on_prices,
}


def _handler(to_problem: Callable[[Exception], Problem]) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def handle(request: Request, error: Exception) -> JSONResponse:
        return to_problem(error).response(request.url.path)

    return handle


class CountRequests:
    """Counts and times requests by route. A plain ASGI wrapper, so that a client that hangs up is still seen."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at_s, status = time.monotonic(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            # The template and not the path: ids would make endless series.
            route = getattr(scope.get("route"), "path", "none")
            REQUESTS.labels(scope["method"], route, str(status)).inc()
            REQUEST_SECONDS.labels(route).observe(time.monotonic() - started_at_s)
