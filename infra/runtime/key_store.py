"""Looks up the key of a request: from memory for two seconds, then again from Postgres.

Upstream: ``infra.runtime.access_keys``.
Downstream: the gateway and the API, per request.
Guarantee: a key made or revoked counts everywhere within five seconds, without a restart; while Postgres is away, keys
seen before go on working for a grace period, and nobody else gets in.
"""

import asyncio
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import Engine

from infra.runtime.access_keys import KeyRecord, Principal, Scope, find_key, hash_secret, note_use, parse_key
from infra.runtime.database import DatabaseAway
from infra.runtime.metrics import KEY_LOOKUPS
from infra.runtime.problem import Problem, forbidden, unauthorised, unavailable

_log = structlog.get_logger(__name__)

FRESH_S: Final = 2.0
GRACE_S: Final = 600.0
# While Postgres is away, ask it only so often: each try may take the whole connect timeout.
RETRY_S: Final = 1.0
NOTE_USE_EVERY_S: Final = 60.0
MAX_ENTRIES: Final = 10_000
NUM_THREADS: Final = 4
# Compared with when there is no such key, so that both ways take the same time.
_NO_HASH: Final = bytes(32)


@dataclass(slots=True)
class _Entry:
    record: KeyRecord | None
    loaded_at_s: float


class KeyRefused(Problem):
    """The key is known, but does not count here: revoked, or of another scope. ``principal`` is who it spoke for."""

    def __init__(self, problem: Problem, principal: Principal, reason: str) -> None:
        super().__init__(problem.status, problem.code, problem.title, problem.detail, headers=problem.headers)
        self.principal = principal
        self.reason = reason


class KeyStore:
    """The keys that this process has seen lately. One per process; use it from one event loop."""

    def __init__(
        self,
        engine: Engine,
        pepper: bytes,
        *,
        clock: Callable[[], float] = time.monotonic,
        grace_s: float = GRACE_S,
    ) -> None:
        self._engine = engine
        self._pepper = pepper
        self._clock = clock
        self._grace_s = grace_s
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._loading: dict[str, asyncio.Future[None]] = {}
        self._noted_at_s: dict[str, float] = {}
        self._away_until_s = float("-inf")
        self._threads = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="keys")

    async def authenticate(self, authorization: str | None, *scopes: Scope) -> Principal:
        """Return who the ``Authorization`` header speaks for.

        Raises:
            Problem: 401 without a good key, 403 when its scope is none of ``scopes``, 503 when it cannot be looked up.
        """
        try:
            principal = await self._identify(authorization)
        except Problem as problem:
            KEY_LOOKUPS.labels("unavailable" if problem.status == 503 else "rejected").inc()
            raise
        if principal.scope not in scopes:
            KEY_LOOKUPS.labels("rejected").inc()
            wanted = " or ".join(scopes)
            refusal = forbidden(f"this key has the scope {principal.scope}; use a key with the scope {wanted}")
            raise KeyRefused(refusal, principal, f"scope {principal.scope}")
        self._note_use(principal.key_id)
        return principal

    def close(self) -> None:
        """Stop the threads; look-ups under way are finished first."""
        self._threads.shutdown()

    async def _identify(self, authorization: str | None) -> Principal:
        if not authorization:
            raise unauthorised("send the header Authorization: Bearer <key>; clawtrace keys create makes one")
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise unauthorised("the Authorization header must be: Bearer <key>")
        parts = parse_key(key.strip())
        if parts is None:
            raise unauthorised("the key is not well formed: a part is missing or mistyped")
        record = await self._record(parts.key_id)
        expected = record.hash if record else _NO_HASH
        matches = hmac.compare_digest(expected, hash_secret(self._pepper, parts.secret))
        if record is None or not matches or record.principal.scope != parts.scope:
            raise unauthorised("the key is unknown; clawtrace keys list shows the keys there are")
        if record.revoked_at is not None:
            problem = unauthorised("the key was revoked; make a new one with clawtrace keys create")
            raise KeyRefused(problem, record.principal, "revoked")
        return record.principal

    async def _record(self, key_id: str) -> KeyRecord | None:
        entry = self._entries.get(key_id)
        if entry is not None and self._clock() - entry.loaded_at_s <= FRESH_S:
            KEY_LOOKUPS.labels("hit").inc()
            return entry.record
        if self._clock() >= self._away_until_s:
            try:
                await self._load_once(key_id)
                KEY_LOOKUPS.labels("loaded").inc()
                return self._entries[key_id].record
            except DatabaseAway as error:
                _log.warning("keys_database_away", reason=str(error))
                self._away_until_s = self._clock() + RETRY_S
        return self._within_grace(key_id)

    def _within_grace(self, key_id: str) -> KeyRecord | None:
        """Return a key that was good when Postgres was last seen; a cached "no such key" is no answer now."""
        entry = self._entries.get(key_id)
        if entry is None or entry.record is None or self._clock() - entry.loaded_at_s > self._grace_s:
            raise unavailable(
                "the key cannot be looked up because Postgres does not answer; send the same request again later",
                retry_after_s=2,
            )
        KEY_LOOKUPS.labels("grace").inc()
        return entry.record

    async def _load_once(self, key_id: str) -> None:
        """Load one key; requests that ask for it meanwhile wait for the same answer."""
        loading = self._loading.get(key_id)
        if loading is None:
            loading = asyncio.ensure_future(self._load(key_id))
            self._loading[key_id] = loading
            loading.add_done_callback(lambda _: self._loading.pop(key_id, None))
        # Shielded: a client that hangs up must not take the answer away from the others.
        await asyncio.shield(loading)

    async def _load(self, key_id: str) -> None:
        asked_at_s = self._clock()
        record = await asyncio.get_running_loop().run_in_executor(self._threads, find_key, self._engine, key_id)
        self._entries[key_id] = _Entry(record, asked_at_s)
        self._entries.move_to_end(key_id)
        while len(self._entries) > MAX_ENTRIES:
            forgotten, _ = self._entries.popitem(last=False)
            self._noted_at_s.pop(forgotten, None)

    def _note_use(self, key_id: str) -> None:
        now_s = self._clock()
        if now_s - self._noted_at_s.get(key_id, float("-inf")) < NOTE_USE_EVERY_S:
            return
        self._noted_at_s[key_id] = now_s
        self._threads.submit(self._write_use, key_id)

    def _write_use(self, key_id: str) -> None:
        try:
            note_use(self._engine, key_id)
        except DatabaseAway as error:
            # last_used_at is for people who tidy up keys; a minute more or less does no harm.
            _log.debug("key_use_not_noted", key_id=key_id, reason=str(error))
