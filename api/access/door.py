"""Finds out who a request speaks for: by its access key, or by its session.

Upstream: api/access/roles.py for each request, api/live/stream.py again and again while a stream lasts.
Downstream: the stores of keys and sessions; the audit log hears of refusals.
Guarantee: a key in the header goes before a cookie. A cookie alone changes nothing: the header ``x-clawtrace-ui``,
which no foreign page can send, must come with it. Of refusals to somebody known, one a minute per caller and target is
written down.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog
from fastapi import Request
from sqlalchemy import Connection, Engine

from api.access.caller import Caller, Role
from api.access.session_store import SessionStore
from api.repositories.control import note, transact
from infra.runtime.access_keys import Principal
from infra.runtime.database import DatabaseAway
from infra.runtime.key_store import KeyRefused, KeyStore
from infra.runtime.problem import Problem, forbidden, unauthorised

_log = structlog.get_logger(__name__)

SESSION_COOKIE: Final = "clawtrace_session"
UI_HEADER: Final = "x-clawtrace-ui"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
NOTE_EVERY_S: Final = 60.0
_MAX_NOTED: Final = 10_000


class Door:
    """The one way in. One per process."""

    def __init__(
        self,
        keys: KeyStore,
        sessions: SessionStore,
        database: Engine,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys, self.sessions = keys, sessions
        self._database, self._clock = database, clock
        self._noted_at_s: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._notes: set[asyncio.Task[None]] = set()

    async def identify(self, request: Request) -> Caller:
        """Return who the request speaks for.

        Raises:
            Problem: 401 without a good key or session, 403 for a key of another scope or a cookie without the header
                of the UI, 503 when it cannot be looked up.
        """
        authorization = request.headers.get("authorization")
        if authorization:
            return Caller.of_key(await self.identify_key(request, authorization))
        token = request.cookies.get(SESSION_COOKIE)
        if not token:
            raise unauthorised(
                "send the header Authorization: Bearer <key> (clawtrace keys create makes one), or sign in"
            )
        caller = await self.sessions.authenticate(token)
        if request.method not in SAFE_METHODS and UI_HEADER not in request.headers:
            self._note(caller.scope.tenant_id, caller.actor, request, 403, "no UI header")
            raise Problem(
                403, "missing-header", "Not from the UI", f"a session changes things only with the header {UI_HEADER}"
            )
        return caller

    async def identify_key(self, request: Request, authorization: str) -> Principal:
        """Return what the key of an ``Authorization`` header stands for, see :meth:`identify`."""
        try:
            return await self.keys.authenticate(authorization, "read", "operate", "admin")
        except KeyRefused as refused:
            principal = refused.principal
            self._note(principal.tenant_id, f"key:{principal.key_id}", request, refused.status, refused.reason)
            raise

    async def admit(self, request: Request, role: Role) -> Caller:
        """Return who the request speaks for, if the role is enough.

        Raises:
            Problem: see :meth:`identify`; 403 also when the role is too low.
        """
        caller = await self.identify(request)
        if not caller.may(role):
            self._note(caller.scope.tenant_id, caller.actor, request, 403, f"needs {role}")
            raise forbidden(f"this needs the role {role}; yours is {caller.role}")
        return caller

    async def close(self) -> None:
        """Wait until what was to be written down is."""
        await asyncio.gather(*self._notes)

    def _note(self, tenant_id: str, actor: str, request: Request, status: int, reason: str) -> None:
        # The template and not the path: ids are in it that a stranger may have made up.
        route = getattr(request.scope.get("route"), "path", request.url.path)
        target = f"{request.method} {route}"
        now_s = self._clock()
        if now_s - self._noted_at_s.get((actor, target), float("-inf")) < NOTE_EVERY_S:
            return
        self._noted_at_s[actor, target] = now_s
        while len(self._noted_at_s) > _MAX_NOTED:
            self._noted_at_s.popitem(last=False)
        task = asyncio.ensure_future(self._write(tenant_id, actor, target, {"status": status, "reason": reason}))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _write(self, tenant_id: str, actor: str, target: str, details: dict[str, object]) -> None:
        def work(connection: Connection) -> None:
            note(connection, tenant_id, actor, "access.refused", target, details)

        try:
            await transact(self._database, work)
        except DatabaseAway as error:
            _log.warning("refusal_not_noted", actor=actor, target=target, reason=str(error))
