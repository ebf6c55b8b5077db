"""What the routes work with, made once per process.

Upstream: api/main.py makes it from the settings.
Downstream: the routers, as dependencies.
Guarantee: a route gets its tenant only from the access key.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, TypeVar, cast

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from sqlalchemy import Engine

from api.repositories.access import AuditRepository, KeysRepository, MembersRepository
from api.repositories.agents import AgentsRepository
from api.repositories.alert_marks import AlertMarksRepository
from api.repositories.alerts import AlertsRepository
from api.repositories.cards import CardsRepository
from api.repositories.engine import TrinoEngine
from api.repositories.scope import Scope
from api.repositories.sessions import SessionsRepository
from api.repositories.spans import SpansRepository
from api.repositories.sql import SqlRepository
from api.repositories.traces import TracesRepository
from api.repositories.usage import UsageRepository
from api.settings import ApiSettings
from infra.runtime.access_keys import read_pepper
from infra.runtime.database import make_engine
from infra.runtime.key_store import KeyStore

# How often a long query looks whether its client is still there.
_DISCONNECT_CHECK_S = 0.25

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that lives as long as the process."""

    settings: ApiSettings
    database: Engine
    keys: KeyStore
    traces: TracesRepository
    spans: SpansRepository
    cards: CardsRepository
    alerts: AlertsRepository
    alert_marks: AlertMarksRepository
    access_keys: KeysRepository
    members: MembersRepository
    audit: AuditRepository
    agents: AgentsRepository
    sessions: SessionsRepository
    usage: UsageRepository
    sql: SqlRepository


@asynccontextmanager
async def open_services(settings: ApiSettings) -> AsyncIterator[Services]:
    """Make the services; close them at the end."""
    database = make_engine(settings)
    pepper = read_pepper(settings.key_pepper_file)
    keys = KeyStore(database, pepper)
    trino = TrinoEngine(settings)
    try:
        yield Services(
            settings=settings,
            database=database,
            keys=keys,
            traces=TracesRepository(trino),
            spans=SpansRepository(trino),
            cards=CardsRepository(trino),
            alerts=AlertsRepository(trino),
            alert_marks=AlertMarksRepository(database),
            access_keys=KeysRepository(database, pepper),
            members=MembersRepository(database),
            audit=AuditRepository(database),
            agents=AgentsRepository(trino),
            sessions=SessionsRepository(trino),
            usage=UsageRepository(trino),
            sql=SqlRepository(trino),
        )
    finally:
        trino.close()
        keys.close()
        database.dispose()


def services_of(request: Request) -> Services:
    """The services of this process."""
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(services_of)]

# Only documents the scheme in OpenAPI; the look-up, with our own errors, is scope_of.
_bearer = HTTPBearer(
    auto_error=False, scheme_name="AccessKey", description="A key with the scope read, operate or admin."
)
BearerDep = Annotated[object, Security(_bearer)]


async def scope_of(request: Request, services: ServicesDep, _: BearerDep) -> Scope:
    """The tenant of the request's key."""
    principal = await services.keys.authenticate(request.headers.get("authorization"), "read", "operate", "admin")
    return Scope(principal.tenant_id)


ScopeDep = Annotated[Scope, Depends(scope_of)]


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """Wait for the work, and cancel it (which ends its query in Trino) when the client hangs up."""
    task = asyncio.ensure_future(work)
    try:
        while True:
            done, _ = await asyncio.wait({task}, timeout=_DISCONNECT_CHECK_S)
            if done or await request.is_disconnected():
                break
        if not task.done():
            task.cancel()
        return await task
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
