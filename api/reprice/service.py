"""Prices history again in the background: reads calls page by page, and asks the stitcher for the changes.

Upstream: api/routers/reprices.py.
Downstream: the tables, the price list, the gateway; api/repositories/reprices.py hears how far it is.
Guarantee: one job a tenant at a time; a dry run writes nothing; an apply sends events like any other of the agent, with
a key that is made for it and revoked at its end, so the gateway stays the only writer of events. A job that is cut off
has done what it has sent: asked for again, it does the rest.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import httpx2
import structlog

from api.kit.values import decimal_text
from api.repositories.access import KeysRepository
from api.repositories.priced_calls import PricedCallsRepository
from api.repositories.prices import PricesBroken, PricesRepository
from api.repositories.reprices import RepricesRepository
from api.repositories.scope import Scope
from producers.contracts.pricing.book import PriceBook
from producers.contracts.reprice import MAX_SPANS
from stream_jobs.prices.history import LONGEST_TRACE, Change, change_of
from stream_jobs.prices.reprice import ModelSums, NotSent, add_change, send_changes

_log = structlog.get_logger(__name__)

_TIMEOUT_S: Final = 60.0
_STOPPED: Final = "the API was stopped; start it again"
_ALL_MODELS: Final = 1_000


@dataclass(slots=True)
class _Progress:
    """How far a job is, and what changes."""

    num_calls_total: int | None = None
    num_calls_read: int = 0
    num_requests_sent: int = 0
    agents: set[str] = field(default_factory=set)
    sums: dict[str, ModelSums] = field(default_factory=dict)

    def add(self, change: Change) -> None:
        """Count a change."""
        self.agents.add(change.agent_id)
        add_change(self.sums, change)

    def as_json(self) -> dict[str, Any]:
        """All of it, dollars as text."""
        models = dict(sorted(self.sums.items())[:_ALL_MODELS])
        return {
            "num_calls_total": self.num_calls_total,
            "num_calls_read": self.num_calls_read,
            "num_requests_sent": self.num_requests_sent,
            "num_calls_changed": sum(it.num_calls for it in self.sums.values()),
            "was_usd": decimal_text(sum((it.was_usd for it in self.sums.values()), Decimal(0))),
            "now_usd": decimal_text(sum((it.now_usd for it in self.sums.values()), Decimal(0))),
            "agents": sorted(self.agents),
            "models": [
                {
                    "model": model,
                    "num_calls": it.num_calls,
                    "num_were_unpriced": it.num_were_unpriced,
                    "num_get_unpriced": it.num_get_unpriced,
                    "was_usd": decimal_text(it.was_usd),
                    "now_usd": decimal_text(it.now_usd),
                }
                for model, it in models.items()
            ],
        }


class Repricing:
    """The jobs of this process. Use it from one event loop."""

    def __init__(
        self,
        jobs: RepricesRepository,
        calls: PricedCallsRepository,
        prices: PricesRepository,
        keys: KeysRepository,
        gateway_url: str,
    ) -> None:
        self._jobs, self._calls, self._prices, self._keys = jobs, calls, prices, keys
        self._gateway_url = gateway_url
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, scope: Scope, kind: str, values: dict[str, Any], *, actor: str) -> dict[str, Any]:
        """Begin a job over ``since``, ``until`` and ``agent_id``; return its row.

        Raises:
            RepriceBusy: one of the tenant runs already.
        """
        row = await self._jobs.begin(scope, kind, values, _Progress().as_json(), actor=actor)
        task = asyncio.create_task(self._run(scope, row, actor), name=f"reprice-{row['job_id']}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return row

    async def close(self) -> None:
        """End what runs, and say so."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, scope: Scope, row: dict[str, Any], actor: str) -> None:
        progress, error = _Progress(), ""
        try:
            if row["kind"] == "apply":
                await self._apply(scope, row, progress, actor)
            else:
                async for change in self._changes(scope, row, progress):
                    progress.add(change)
        except asyncio.CancelledError:
            await self._jobs.end(scope, row["job_id"], progress.as_json(), error=_STOPPED)
            raise
        except (NotSent, PricesBroken) as refused:
            error = str(refused)
        except Exception:
            _log.exception("reprice_failed", job_id=row["job_id"])
            error = "it failed here, not with you; the log has the reason"
        await self._jobs.end(scope, row["job_id"], progress.as_json(), error=error)

    async def _changes(self, scope: Scope, row: dict[str, Any], progress: _Progress) -> AsyncIterator[Change]:
        book = await self._prices.read_book(scope)
        since: date = row["since"]
        until: date = row["until"]
        period = {"since": since, "until": until, "agent_id": row["agent_id"]}
        progress.num_calls_total = await self._calls.count(scope, first_day=since - LONGEST_TRACE, **period)
        day = since - LONGEST_TRACE
        while day <= until:
            async for page in self._calls.pages(scope, day=day, **period):
                progress.num_calls_read += len(page)
                for change in await asyncio.to_thread(_changes_of, book, page):
                    yield change
                await self._jobs.tell(scope, row["job_id"], progress.as_json())
            day += timedelta(days=1)

    async def _apply(self, scope: Scope, row: dict[str, Any], progress: _Progress, actor: str) -> None:
        waiting: dict[str, list[Change]] = defaultdict(list)
        keys: dict[str, tuple[str, str]] = {}

        async def send(client: httpx2.Client, agent_id: str) -> None:
            if agent_id not in keys:
                made = await self._keys.create(scope, actor=actor, key_scope="ingest", agent_id=agent_id)
                keys[agent_id] = (made.principal.key_id, made.key)
            changes = waiting.pop(agent_id)
            key = keys[agent_id][1]
            progress.num_requests_sent += await asyncio.to_thread(send_changes, client, key, changes, row["reason"])

        try:
            with httpx2.Client(base_url=self._gateway_url, timeout=_TIMEOUT_S, trust_env=False) as client:
                async for change in self._changes(scope, row, progress):
                    progress.add(change)
                    waiting[change.agent_id].append(change)
                    if len(waiting[change.agent_id]) == MAX_SPANS:
                        await send(client, change.agent_id)
                for agent_id in list(waiting):
                    await send(client, agent_id)
        finally:
            for key_id, _ in keys.values():
                await self._keys.revoke(scope, key_id, actor=actor)


def _changes_of(book: PriceBook, rows: list[dict[str, Any]]) -> list[Change]:
    return [change for row in rows if (change := change_of(book, row)) is not None]
