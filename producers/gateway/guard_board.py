"""The state of every agent's guard, and who waits for its next change.

Upstream: policies in Postgres, verdicts and allowances from the guard topic, the price list.
Downstream: ``producers.gateway.guard``.
Guarantee: a changed policy is seen within two seconds; another content is another rev, and a rev only grows, over a
restart too as long as clocks do not go back; used from one event loop, Postgres from a thread.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
import structlog
from sqlalchemy import Engine

from infra.runtime.database import DatabaseAway
from infra.runtime.problem import too_busy, unavailable
from producers.contracts.guard import GuardMessage, GuardPolicy, GuardState, Verdict
from producers.gateway.guard_feed import GuardFeed
from producers.gateway.guard_ledger import Agent, GuardLedger
from producers.gateway.guard_policies import (
    NO_POLICY,
    StoredPolicy,
    changed_policies,
    database_now,
    find_policy,
)
from producers.gateway.guard_prices import PriceList
from producers.metrics import GUARD_WAITING
from producers.settings import GatewaySettings

_log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 1.0
MAX_AGENTS: Final = 10_000
MAX_WAITING_PER_AGENT: Final = 16
RETRY_S: Final = 2

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Known:
    policy: GuardPolicy
    changed_at_us: int
    rev: int = 0
    digest: bytes = b""


class GuardBoard:
    """One per process."""

    def __init__(self, settings: GatewaySettings, engine: Engine) -> None:
        self._engine = engine
        self._prices = PriceList(settings.prices_file)
        self._ledger = GuardLedger()
        self._known: OrderedDict[Agent, _Known] = OrderedDict()
        self._waiting: dict[Agent, set[asyncio.Event]] = {}
        self._num_waiting = 0
        self._max_waiting = settings.gateway_guard_streams
        self._looked_at: datetime | None = None
        self.is_stopping: Callable[[], bool] = lambda: False
        loop = asyncio.get_running_loop()

        def on_messages(messages: list[GuardMessage]) -> None:
            try:
                loop.call_soon_threadsafe(self._take, messages)
            except RuntimeError:
                _log.debug("guard_messages_after_stop", num_messages=len(messages))

        self._feed = GuardFeed(settings.kafka_bootstrap, settings.gateway_guard_topic, on_messages)
        self._looking = asyncio.create_task(self._look_for_changes())

    async def close(self) -> None:
        """Stop looking and reading."""
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)
        await asyncio.to_thread(self._feed.close)

    async def state(self, agent: Agent) -> GuardState:
        """Return what an agent's guard must know now.

        Raises:
            Problem: 503 while verdicts or the policy cannot be known; an answer without them would lift what they hold.
        """
        if not self._feed.is_caught_up:
            raise unavailable(
                "the guard topic has not been read yet; ask again after Retry-After", retry_after_s=RETRY_S
            )
        known = self._known.get(agent) or await self._learn(agent)
        verdicts, allowances, said_at_us = self._ledger.in_force(agent, time.time_ns() // 1000)
        prices = self._prices.of_tenant(agent[0])
        state = GuardState(rev=0, policy=known.policy, prices=prices, allowances=allowances, verdicts=verdicts)
        digest = hashlib.sha256(_encode(state)).digest()
        if digest != known.digest:
            # The newest time of its parts, so that a restarted gateway comes to the same number.
            newest_us = max(known.changed_at_us, said_at_us, self._prices.changed_at_us)
            known.rev = max(newest_us, known.rev + 1 if known.digest else 0)
            known.digest = digest
        return msgspec.structs.replace(state, rev=known.rev)

    def check_room(self, agent: Agent) -> None:
        """Refuse to let more wait than may.

        Raises:
            Problem: 429.
        """
        if self._num_waiting >= self._max_waiting or len(self._waiting.get(agent, ())) >= MAX_WAITING_PER_AGENT:
            raise too_busy("too many guards are waiting here; ask again after Retry-After", retry_after_s=RETRY_S)

    @contextmanager
    def waiting(self, agent: Agent) -> Iterator[asyncio.Event]:
        """Give an event that is set when the agent's state may have changed, or the process stops.

        Raises:
            Problem: 429, when as many wait as may.
        """
        self.check_room(agent)
        mine = self._waiting.setdefault(agent, set())
        event = asyncio.Event()
        mine.add(event)
        self._num_waiting += 1
        GUARD_WAITING.set(self._num_waiting)
        try:
            yield event
        finally:
            mine.discard(event)
            if not mine:
                self._waiting.pop(agent, None)
            self._num_waiting -= 1
            GUARD_WAITING.set(self._num_waiting)

    def _take(self, messages: list[GuardMessage]) -> None:
        now_us = time.time_ns() // 1000
        changed = {(it.tenant_id, it.agent_id) for it in messages if self._ledger.add(it, now_us)}
        for agent in changed if messages else list(self._waiting):
            self._wake(agent)

    def _wake(self, agent: Agent) -> None:
        for event in self._waiting.get(agent, ()):
            event.set()

    async def _learn(self, agent: Agent) -> _Known:
        try:
            stored = await asyncio.to_thread(find_policy, self._engine, *agent)
        except DatabaseAway as error:
            raise unavailable(f"{error}; ask again after Retry-After", retry_after_s=RETRY_S) from None
        return self._note(agent, stored)

    def _note(self, agent: Agent, stored: StoredPolicy | None) -> _Known:
        policy, changed_at_us = NO_POLICY, 0
        if stored is not None:
            policy, changed_at_us = stored.policy, int(stored.updated_at.timestamp() * 1_000_000)
        known = self._known.get(agent)
        if known is None:
            known = self._known[agent] = _Known(policy, changed_at_us)
        elif changed_at_us >= known.changed_at_us:
            known.policy, known.changed_at_us = policy, changed_at_us
        self._known.move_to_end(agent)
        if len(self._known) > MAX_AGENTS:
            self._forget_one()
        return known

    def _forget_one(self) -> None:
        # One that somebody waits for must keep its rev.
        for agent in self._known:
            if agent not in self._waiting:
                del self._known[agent]
                return

    async def _look_for_changes(self) -> None:
        was_away = False
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self.is_stopping():
                for agent in list(self._waiting):
                    self._wake(agent)
                continue
            if await asyncio.to_thread(self._prices.refresh):
                for agent in list(self._waiting):
                    self._wake(agent)
            try:
                await self._take_changed_policies()
                was_away = False
            except DatabaseAway as error:
                if not was_away:
                    _log.warning("guard_policies_away", reason=str(error))
                was_away = True
            except Exception:
                _log.exception("guard_look_failed")

    async def _take_changed_policies(self) -> None:
        if self._looked_at is None:
            # Everything known was read later than this, or is read again now.
            self._looked_at = await asyncio.to_thread(database_now, self._engine)
        for stored in await asyncio.to_thread(changed_policies, self._engine, self._looked_at):
            self._looked_at = max(self._looked_at, stored.updated_at)
            known = self._known.get(stored.agent)
            if known is not None and known.changed_at_us < int(stored.updated_at.timestamp() * 1_000_000):
                self._note(stored.agent, stored)
                self._wake(stored.agent)


def new_verdicts(before: GuardState | None, after: GuardState) -> list[Verdict]:
    """Return the verdicts of a state that the one before it has not."""
    seen = set(before.verdicts) if before else set()
    return [it for it in after.verdicts if it not in seen] if before else []
