"""Sessions of people who signed in: rows in Postgres, looked up for each request, from memory for two seconds.

Upstream: api/access/door.py; the routes of /v1/session.
Downstream: table ``control.sessions``, with ``access_keys`` and ``members``.
Guarantee: only the hash of a token is stored. A session counts while it has not expired and its key is not revoked,
or its member is one still, and never gains rights: it has the role of its login or the role of today, whichever is
lower. While Postgres is away, sessions seen before go on for a grace period.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection, Engine

from api.access.caller import ROLE_OF_SCOPE, Caller, Role, lower_role
from api.repositories.control import note, transact
from api.repositories.scope import Scope
from infra.runtime.access_keys import Principal, access_keys, hash_secret
from infra.runtime.database import SCHEMA, DatabaseAway, metadata
from infra.runtime.problem import unauthorised, unavailable

_log = structlog.get_logger(__name__)

FRESH_S: Final = 2.0
GRACE_S: Final = 600.0
# While Postgres is away, ask it only so often: each try may take the whole connect timeout.
RETRY_S: Final = 1.0
MAX_ENTRIES: Final = 10_000
TOKEN_BYTES: Final = 32

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sa.Column("session_id", sa.Text, nullable=False),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text),
    sa.Column("member_id", sa.Text),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
)
members = sa.table(
    "members",
    sa.column("tenant_id", sa.Text),
    sa.column("member_id", sa.Text),
    sa.column("role", sa.Text),
    sa.column("created_at", sa.DateTime(timezone=True)),
    schema=SCHEMA,
)


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session just made; the only moment its token exists on our side."""

    token: str
    caller: Caller


@dataclass(frozen=True, slots=True)
class Membership:
    """What a person is in one tenant."""

    tenant_id: str
    member_id: str
    role: Role


@dataclass(slots=True)
class _Entry:
    caller: Caller
    loaded_at_s: float


class SessionStore:
    """Sessions of all tenants. One per process; use it from one event loop."""

    def __init__(
        self,
        engine: Engine,
        pepper: bytes,
        *,
        lifetime: timedelta,
        clock: Callable[[], float] = time.monotonic,
        grace_s: float = GRACE_S,
    ) -> None:
        self._engine, self._pepper, self._lifetime = engine, pepper, lifetime
        self._clock, self._grace_s = clock, grace_s
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._loading: dict[bytes, asyncio.Future[Caller | None]] = {}
        self._away_until_s = float("-inf")

    async def start_by_key(self, principal: Principal) -> NewSession:
        """Make a session for the holder of a key.

        Raises:
            DatabaseAway: Postgres does not answer.
        """
        caller = Caller.of_key(principal)
        return await self._start(caller.scope, caller.role, caller.name, key_id=principal.key_id)

    async def start_for_member(self, member: Membership, name: str) -> NewSession:
        """Make a session for a person that a provider vouches for.

        Raises:
            DatabaseAway: Postgres does not answer.
        """
        return await self._start(Scope(member.tenant_id), member.role, name, member_id=member.member_id)

    async def find_memberships(self, member_ids: list[str]) -> list[Membership]:
        """Return what a person of these ids is, the oldest membership first.

        Raises:
            DatabaseAway: Postgres does not answer.
        """
        columns = members.c
        statement = (
            sa.select(columns.tenant_id, columns.member_id, columns.role)
            .where(columns.member_id.in_(member_ids))
            .order_by(columns.created_at, columns.tenant_id)
        )

        def work(connection: Connection) -> list[Membership]:
            return [Membership(row.tenant_id, row.member_id, row.role) for row in connection.execute(statement)]

        return await transact(self._engine, work)

    async def authenticate(self, token: str) -> Caller:
        """Return who a session's token speaks for.

        Raises:
            Problem: 401 when the session is over or never was, 503 when it cannot be looked up.
        """
        hashed = hash_secret(self._pepper, token)
        entry = self._entries.get(hashed)
        if entry is not None and self._clock() - entry.loaded_at_s <= FRESH_S:
            return _still_good(entry.caller)
        if self._clock() >= self._away_until_s:
            try:
                caller = await self._load_once(hashed)
            except DatabaseAway as error:
                _log.warning("sessions_database_away", reason=str(error))
                self._away_until_s = self._clock() + RETRY_S
            else:
                return _still_good(caller)
        entry = self._entries.get(hashed)
        if entry is None or self._clock() - entry.loaded_at_s > self._grace_s:
            raise unavailable(
                "the session cannot be looked up because Postgres does not answer; try again later", retry_after_s=2
            )
        return _still_good(entry.caller)

    async def end(self, token: str) -> None:
        """End a session; it is over in this process at once, in others within two seconds.

        Raises:
            DatabaseAway: Postgres does not answer.
        """
        hashed = hash_secret(self._pepper, token)
        statement = sa.delete(sessions).where(sessions.c.hash == hashed)

        def work(connection: Connection) -> None:
            row = connection.execute(
                statement.returning(
                    sessions.c.tenant_id, sessions.c.session_id, sessions.c.key_id, sessions.c.member_id
                )
            ).first()
            if row is not None:
                note(connection, row.tenant_id, _actor(row), "session.end", row.session_id, {})

        await transact(self._engine, work)
        self._entries.pop(hashed, None)

    async def _start(
        self, scope: Scope, role: Role, name: str, *, key_id: str | None = None, member_id: str | None = None
    ) -> NewSession:
        token, session_id = secrets.token_urlsafe(TOKEN_BYTES), secrets.token_hex(8)
        expires_at = datetime.now(UTC) + self._lifetime
        row = {
            "hash": hash_secret(self._pepper, token),
            "session_id": session_id,
            "tenant_id": scope.tenant_id,
            "role": role,
            "key_id": key_id,
            "member_id": member_id,
            "name": name,
            "expires_at": expires_at,
        }
        actor = f"key:{key_id}" if key_id else str(member_id)

        def work(connection: Connection) -> None:
            connection.execute(sa.delete(sessions).where(sessions.c.expires_at < sa.func.now()))
            connection.execute(sessions.insert().values(**row))
            note(connection, scope.tenant_id, actor, "session.start", session_id, {"role": role})

        await transact(self._engine, work)
        return NewSession(token, Caller(scope, role, actor, name, session_id, expires_at))

    async def _load_once(self, hashed: bytes) -> Caller | None:
        """Look one session up; requests that ask for it meanwhile wait for the same answer."""
        loading = self._loading.get(hashed)
        if loading is None:
            loading = asyncio.ensure_future(self._load(hashed))
            self._loading[hashed] = loading
            loading.add_done_callback(lambda _: self._loading.pop(hashed, None))
        # Shielded: a client that hangs up must not take the answer away from the others.
        return await asyncio.shield(loading)

    async def _load(self, hashed: bytes) -> Caller | None:
        asked_at_s = self._clock()
        row = await transact(self._engine, lambda connection: connection.execute(_LOOK_UP, {"hashed": hashed}).first())
        caller = None if row is None else _caller_of(row)
        # Only good ones are remembered: tokens that never were must not fill the memory.
        self._entries.pop(hashed, None)
        if caller is not None:
            self._entries[hashed] = _Entry(caller, asked_at_s)
            while len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)
        return caller


_LOOK_UP = (
    sa.select(
        sessions,
        access_keys.c.scope.label("key_scope"),
        access_keys.c.revoked_at.label("key_revoked_at"),
        members.c.role.label("member_role"),
    )
    .select_from(
        sessions.outerjoin(access_keys, access_keys.c.key_id == sessions.c.key_id).outerjoin(
            members,
            sa.and_(members.c.tenant_id == sessions.c.tenant_id, members.c.member_id == sessions.c.member_id),
        )
    )
    .where(sessions.c.hash == sa.bindparam("hashed"))
)


def _actor(row: Any) -> str:
    return f"key:{row.key_id}" if row.key_id else str(row.member_id)


def _caller_of(row: Any) -> Caller | None:
    """Return the caller of a session's row; None when its key or its member no longer counts."""
    if row.key_id is not None:
        is_good = row.key_scope in ROLE_OF_SCOPE and row.key_revoked_at is None
        today = ROLE_OF_SCOPE.get(row.key_scope)
    else:
        is_good, today = row.member_role is not None, row.member_role
    if not is_good or today is None:
        return None
    role = lower_role(cast(Role, row.role), today)
    return Caller(Scope(row.tenant_id), role, _actor(row), row.name, row.session_id, row.expires_at)


def _still_good(caller: Caller | None) -> Caller:
    if caller is None or caller.expires_at is None or caller.expires_at <= datetime.now(UTC):
        raise unauthorised("the session is over; sign in again")
    return caller
