"""What the routes work with, made once per process.

Upstream: api/main.py makes it from the settings.
Downstream: the routers, as dependencies.
Guarantee: a route gets its tenant only from the access key or the session.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, TypeVar, cast

from fastapi import Depends, Request
from sqlalchemy import Engine

from api.access.door import Door
from api.access.login import OidcLogin
from api.access.roles import scope_of
from api.access.session_store import SessionStore
from api.backtest.service import Backtests
from api.kit.frozen import FrozenLists
from api.live.service import LiveService
from api.repositories.access import AuditRepository, KeysRepository, MembersRepository
from api.repositories.agents import AgentsRepository
from api.repositories.alert_marks import AlertMarksRepository
from api.repositories.alerts import AlertsRepository
from api.repositories.budgets import BudgetsRepository
from api.repositories.cards import CardsRepository
from api.repositories.channels import ChannelsRepository
from api.repositories.configs import ConfigsRepository
from api.repositories.engine import TrinoEngine
from api.repositories.erasures import ErasuresRepository
from api.repositories.labelled_runs import LabelledRunsRepository
from api.repositories.orders import OrdersRepository
from api.repositories.policies import PoliciesRepository
from api.repositories.priced_calls import PricedCallsRepository
from api.repositories.prices import PricesRepository
from api.repositories.reprices import RepricesRepository
from api.repositories.retention import RetentionRepository
from api.repositories.rules import RulesRepository
from api.repositories.scope import Scope
from api.repositories.scores import ScoresRepository
from api.repositories.sessions import SessionsRepository
from api.repositories.spans import SpansRepository
from api.repositories.sql import SqlRepository
from api.repositories.stored_events import StoredEventsRepository
from api.repositories.traces import TraceKey, TracesRepository
from api.repositories.usage import UsageRepository
from api.repositories.verdicts import VerdictsRepository
from api.reprice.service import Repricing
from api.settings import ApiSettings
from infra.runtime.access_keys import read_pepper
from infra.runtime.database import make_engine
from infra.runtime.key_store import KeyStore
from lakehouse.contracts.retention import default_days
from lakehouse.settings import LakeSettings
from stream_jobs.admin import BudgetsSettings, LearnerSettings, NotifierSettings, StitcherSettings

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
    login: OidcLogin | None
    traces: TracesRepository
    frozen: FrozenLists[TraceKey]
    spans: SpansRepository
    cards: CardsRepository
    alerts: AlertsRepository
    alert_marks: AlertMarksRepository
    access_keys: KeysRepository
    members: MembersRepository
    audit: AuditRepository
    agents: AgentsRepository
    configs: ConfigsRepository
    sessions: SessionsRepository
    usage: UsageRepository
    sql: SqlRepository
    rules: RulesRepository
    budgets: BudgetsRepository
    verdicts: VerdictsRepository
    policies: PoliciesRepository
    orders: OrdersRepository
    channels: ChannelsRepository
    prices: PricesRepository
    reprices: RepricesRepository
    repricing: Repricing
    backtests: Backtests
    retention: RetentionRepository
    erasures: ErasuresRepository
    scores: ScoresRepository
    labelled_runs: LabelledRunsRepository


@asynccontextmanager
async def open_services(settings: ApiSettings) -> AsyncIterator[Services]:
    """Make the services; close them at the end."""
    database = make_engine(settings)
    pepper = read_pepper(settings.key_pepper_file)
    keys = KeyStore(database, pepper)
    trino = TrinoEngine(settings)
    sessions = SessionStore(database, pepper, lifetime=timedelta(hours=settings.api_session_hours))
    door = Door(keys, sessions, database)
    login = OidcLogin(settings, pepper, sessions) if settings.oidc_issuer else None
    live = LiveService(settings, database)
    # What the other processes were told of where things are, as far as it is not the API's own.
    home, port_base = settings.home, settings.port_base
    files = StitcherSettings(home=home, port_base=port_base)
    days = default_days(LakeSettings(home=home, port_base=port_base).retention_days)
    access_keys, reprices = KeysRepository(database, pepper), RepricesRepository(database)
    prices = PricesRepository(database, files.prices_file)
    repricing = Repricing(
        reprices, PricedCallsRepository(trino), prices, access_keys, settings.api_gateway_url or settings.gateway_url
    )
    notifier = NotifierSettings(home=home, port_base=port_base)
    guard = BudgetsSettings(
        home=home, port_base=port_base, kafka_bootstrap=settings.kafka_bootstrap, topic_prefix=settings.topic_prefix
    )
    try:
        yield Services(
            settings=settings,
            database=database,
            keys=keys,
            door=door,
            live=live,
            login=login,
            traces=TracesRepository(trino),
            frozen=FrozenLists(),
            spans=SpansRepository(trino),
            cards=CardsRepository(trino),
            alerts=AlertsRepository(trino),
            alert_marks=AlertMarksRepository(database),
            access_keys=access_keys,
            members=MembersRepository(database),
            audit=AuditRepository(database),
            agents=AgentsRepository(trino),
            configs=ConfigsRepository(trino),
            sessions=SessionsRepository(trino),
            usage=UsageRepository(trino),
            sql=SqlRepository(trino),
            rules=RulesRepository(database, files.rules_file),
            budgets=BudgetsRepository(database),
            verdicts=VerdictsRepository(trino),
            policies=PoliciesRepository(database),
            orders=OrdersRepository(database, guard),
            channels=ChannelsRepository(database, notifier),
            prices=prices,
            reprices=reprices,
            repricing=repricing,
            backtests=Backtests(database, StoredEventsRepository(trino), AlertsRepository(trino), files),
            retention=RetentionRepository(database, trino, days),
            erasures=ErasuresRepository(database),
            scores=ScoresRepository(trino, database, LearnerSettings(home=home, port_base=port_base)),
            labelled_runs=LabelledRunsRepository(trino),
        )
    finally:
        await repricing.close()
        await live.close()
        if login is not None:
            await login.close()
        await door.close()
        trino.close()
        keys.close()
        database.dispose()


def services_of(request: Request) -> Services:
    """The services of this process."""
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(services_of)]

ScopeDep = Annotated[Scope, Depends(scope_of)]


class ClientGone(Exception):
    """The client hung up while its answer was made; there is nobody to answer."""


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """Wait for the work, and cancel it (which ends its query in Trino) when the client hangs up.

    Raises:
        ClientGone: it did. Not the work's CancelledError: that would look like the end of this process's own task.
    """
    task = asyncio.ensure_future(work)
    try:
        while True:
            done, _ = await asyncio.wait({task}, timeout=_DISCONNECT_CHECK_S)
            if done:
                return task.result()
            if await request.is_disconnected():
                raise ClientGone
    finally:
        if not task.done():
            task.cancel()
            # Its end is waited for, whatever it is: nobody wants it any more.
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()
