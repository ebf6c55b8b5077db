"""What the routes work with, made once per process.

Upstream: api/main.py makes it from the settings.
Downstream: the routers, as dependencies.
Guarantee: a route gets its tenant only from the access key or the session.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, TypeVar, cast

from fastapi import Depends, Request
from sqlalchemy import Engine

from api.access.door import Door
from api.access.roles import scope_of
from api.access.session_store import SessionStore
from api.live.service import LiveService
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
    door: Door
    live: LiveService
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
    sessions = SessionStore(database, pepper, lifetime=timedelta(hours=settings.api_session_hours))
    door = Door(keys, sessions, database)
    live = LiveService(settings)
    try:
        yield Services(
            settings=settings,
            database=database,
            keys=keys,
            door=door,
            live=live,
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
        await live.close()
        await door.close()
        trino.close()
        keys.close()
        database.dispose()


def services_of(request: Request) -> Services:
    """The services of this process."""
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(services_of)]

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
