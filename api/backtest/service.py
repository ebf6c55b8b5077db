"""Tries a rule on what is stored: reads events page by page, and hands them to a process that works on them.

Upstream: api/routers/backtests.py.
Downstream: the tables; ``stream_jobs.backtest``.
Guarantee: the caller's tenant only: its events as its own user of Trino sees them, its settings. Nothing is written.
One backtest of a tenant at a time, two in all. A caller that hangs up ends the process and the query.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import structlog
from sqlalchemy import Engine
from trino.exceptions import TrinoQueryError

from api.kit.instants import from_us, to_us
from api.kit.sse import Event, error_event
from api.repositories.alerts import AlertFilter, AlertsRepository
from api.repositories.errors import QueryTimeout, TooManyQueries, TrinoAway
from api.repositories.scope import Scope
from api.repositories.stored_events import EventsWanted, StoredEventsRepository
from api.schemas.backtests import BacktestAnswer, BacktestRequest
from stream_jobs.admin import StitcherSettings
from stream_jobs.backtest import (
    COMMAND,
    EXIT_ORDER,
    BacktestOrder,
    BacktestResult,
    check_settings,
    decode_result,
    frame_of_batch,
    frame_of_order,
    last_frame,
    read_tenant_rules,
    rules_to_try,
)
from stream_jobs.contracts.alert import AlertRule

_log = structlog.get_logger(__name__)


# What began before the window still stands in it: a trace, a session's spending, a baseline.
WARM_UP: Final = timedelta(days=7)
MAX_RECORDED: Final = 10_000
_MAX_AT_ONCE: Final = 2
# What the process needs of ours to find Python and its packages; no secret is among it.
_PASSED_ON: Final = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "HOME", "TMPDIR", "LANG", "CLAWTRACE_LOG_LEVEL")


class BacktestBusy(Exception):
    """As many run as may; the text says whose."""


class BacktestFailed(Exception):
    """The process ended without a result; the text says why."""


class Backtests:
    """The backtests of this process. Use it from one event loop."""

    def __init__(
        self, database: Engine, events: StoredEventsRepository, alerts: AlertsRepository, files: StitcherSettings
    ) -> None:
        self._database, self._events, self._alerts, self._files = database, events, alerts, files
        self._running: set[str] = set()

    async def start(self, scope: Scope, rule: str, wanted: BacktestRequest, now: datetime) -> AsyncGenerator[Event]:
        """Check what is wanted, and return the events of the answer: progress, then a result or an error.

        Raises:
            InvalidRule, NoSuchRule: see stream_jobs.admin.
            BacktestBusy: try again later.
            ValueError: a setting does not go with those that hold; names it.
        """
        check_settings(rule, wanted.settings)
        since = now - timedelta(days=wanted.days)
        order = BacktestOrder(
            tenant_id=scope.tenant_id,
            rule=cast(AlertRule, rule),
            settings=wanted.settings,
            agent_id=wanted.agent_id,
            since_us=to_us(since),
            until_us=to_us(now),
            prices_toml=await asyncio.to_thread(_text, self._files.prices_file),
            rules_toml=await asyncio.to_thread(_text, self._files.rules_file),
            rows=await asyncio.to_thread(read_tenant_rules, self._database, scope.tenant_id),
        )
        await asyncio.to_thread(rules_to_try, order)
        if scope.tenant_id in self._running:
            raise BacktestBusy("a backtest of this tenant is running; wait for its end")
        if len(self._running) >= _MAX_AT_ONCE:
            raise BacktestBusy("as many backtests are running as may; try again in a minute")
        return self._answer(scope, order, (since, now), wanted.limit)

    async def _answer(
        self, scope: Scope, order: BacktestOrder, window: tuple[datetime, datetime], limit: int
    ) -> AsyncGenerator[Event]:
        if scope.tenant_id in self._running:
            yield error_event("too-busy", "a backtest of this tenant is running; wait for its end")
            return
        self._running.add(scope.tenant_id)
        try:
            async for event in self._work(scope, order, window, limit):
                yield event
        except (TrinoAway, TooManyQueries, QueryTimeout) as error:
            yield error_event("unavailable", str(error))
        except TrinoQueryError as error:
            _log.error("backtest_query_failed", error=error.error_name)
            yield error_event("unavailable", f"Trino could not read the events: {error.error_name}")
        except BacktestFailed as error:
            yield error_event("failed", str(error))
        finally:
            self._running.discard(scope.tenant_id)

    async def _work(
        self, scope: Scope, order: BacktestOrder, window: tuple[datetime, datetime], limit: int
    ) -> AsyncGenerator[Event]:
        since, until = window
        wanted = EventsWanted(since - WARM_UP, until, order.agent_id)
        days = await self._events.count_days(scope, wanted)
        total, done = sum(sum(counts.values()) for counts in days.values()), 0
        yield "progress", {"num_events": 0, "num_events_total": total, "at": None}
        async with _Worker() as worker:
            await worker.send(frame_of_order(order))
            async for batches in self._events.batches(scope, wanted, days):
                for batch in batches:
                    await worker.send(frame_of_batch(batch))
                    done += len(batch.events)
                at = from_us(batches[-1].received_at_us)
                yield "progress", {"num_events": done, "num_events_total": total, "at": at.isoformat()}
            result = await worker.result()
        recorded = await self._recorded(scope, order, since)
        answer = BacktestAnswer.of(order, result, recorded, since=since, until=until, limit=limit)
        yield "result", answer.model_dump(mode="json")

    async def _recorded(self, scope: Scope, order: BacktestOrder, since: datetime) -> list[dict[str, Any]]:
        wanted = AlertFilter(rule=order.rule, agent_id=order.agent_id)
        return await self._alerts.list_newest(
            scope, from_at=since, to_at=None, wanted=wanted, after=None, limit=MAX_RECORDED
        )


class _Worker:
    """The process of one backtest."""

    async def __aenter__(self) -> "_Worker":
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        self._process = await asyncio.create_subprocess_exec(
            *COMMAND, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()

    async def send(self, frame: bytes) -> None:
        """Give it a frame; waits while it has enough to do."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(frame)
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise BacktestFailed(await self._why()) from None

    async def result(self) -> BacktestResult:
        """Tell it that this was all, and wait for what came out."""
        await self.send(last_frame())
        assert self._process.stdout is not None
        told = await self._process.stdout.read()
        if await self._process.wait():
            raise BacktestFailed(await self._why())
        return decode_result(told)

    async def _why(self) -> str:
        code = await self._process.wait()
        if code == EXIT_ORDER:
            return "prices or rules of the install cannot be read; the log of the API has the reason"
        _log.error("backtest_process_ended", exit_code=code)
        return "it failed here, not with you; the log of the API has the reason"


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""
