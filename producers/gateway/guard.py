"""Tells guards what counts: ``GET /v1/guard``, as a stream or as a poll that waits.

Upstream: plugins, with an ingest key.
Downstream: ``producers.gateway.guard_board``.
Guarantee: a change is told at once; a revoked key ends its stream within five seconds; a stream that a client has left
is given up at the next ping; no stream outlives its ten minutes or a stop of the process.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from infra.runtime.key_store import KeyStore
from infra.runtime.problem import FieldError, Problem, forbidden, invalid
from producers import metrics
from producers.contracts.guard import GuardState
from producers.gateway.guard_board import GuardBoard, new_verdicts
from producers.gateway.guard_ledger import Agent
from producers.settings import GatewaySettings

EVENT_STREAM: Final = "text/event-stream"
PING_EVERY_S: Final = 15.0
# With what the key store remembers (2 s) below the five seconds that a revoked key may live.
CHECK_KEY_EVERY_S: Final = 2.5
RETRY_MS: Final = 1_000
MAX_WAIT_S: Final = 60.0


class Guard:
    """The route; one per process."""

    def __init__(self, keys: KeyStore, board: GuardBoard, settings: GatewaySettings) -> None:
        self._keys = keys
        self._board = board
        self._stream_s = settings.gateway_guard_stream_s

    async def answer(self, request: Request, *, since: int | None, wait_s: float) -> Response:
        """Answer with a stream when that is asked for, else with the state as soon as it is not ``since``.

        Raises:
            Problem: see the route's documentation.
        """
        try:
            agent = await self._agent(request)
            if EVENT_STREAM in request.headers.get("accept", ""):
                return await self._open_stream(request, agent)
            return await self._poll(request, agent, since, min(max(wait_s, 0.0), MAX_WAIT_S))
        except Problem as problem:
            metrics.REFUSALS.labels(problem.code).inc()
            raise

    async def _agent(self, request: Request) -> Agent:
        principal = await self._keys.authenticate(request.headers.get("authorization"), "ingest")
        if principal.agent_id is None:
            raise forbidden("this ingest key names no agent; make one with clawtrace keys create --agent")
        return principal.tenant_id, principal.agent_id

    async def _poll(self, request: Request, agent: Agent, since: int | None, wait_s: float) -> Response:
        ends_at_s = time.monotonic() + wait_s
        with self._board.waiting(agent) as changed:
            while True:
                changed.clear()
                state = await self._board.state(agent)
                if state.rev != since:
                    metrics.GUARD_STATES.labels("poll").inc()
                    return Response(msgspec.json.encode(state), media_type="application/json")
                left_s = ends_at_s - time.monotonic()
                if left_s <= 0 or self._board.is_stopping():
                    return Response(status_code=204)
                await _wait(changed, min(left_s, CHECK_KEY_EVERY_S))
                await self._agent(request)

    async def _open_stream(self, request: Request, agent: Agent) -> Response:
        # Before the headers go out: after them no problem can be told any more.
        await self._board.state(agent)
        self._board.check_room(agent)
        seen = _revision(request.headers.get("last-event-id"))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(request, agent, seen), media_type=EVENT_STREAM, headers=headers)

    async def _events(self, request: Request, agent: Agent, seen: int | None) -> AsyncIterator[bytes]:
        # A comment at once: a client behind a proxy that holds streams back can tell that it is.
        yield f"retry: {RETRY_MS}\n: hello\n\n".encode()
        told: GuardState | None = None
        ends_at_s = time.monotonic() + self._stream_s
        pings_at_s = time.monotonic() + PING_EVERY_S
        with self._board.waiting(agent) as changed:
            changed.set()
            while True:
                try:
                    await self._agent(request)
                    state = await self._board.state(agent) if changed.is_set() else None
                    changed.clear()
                except Problem as problem:
                    if problem.status in (401, 403):
                        return
                    # Postgres is away: what was told goes on counting.
                    state = None
                if state is not None:
                    if state.rev != (told.rev if told else seen):
                        for verdict in new_verdicts(told, state):
                            yield _event("verdict", None, msgspec.json.encode(verdict))
                        yield _event("state", state.rev, msgspec.json.encode(state))
                        metrics.GUARD_STATES.labels("stream").inc()
                    told = state
                now_s = time.monotonic()
                if now_s >= ends_at_s or self._board.is_stopping():
                    return
                if now_s >= pings_at_s:
                    pings_at_s = now_s + PING_EVERY_S
                    yield b": ping\n\n"
                await _wait(changed, min(ends_at_s - now_s, CHECK_KEY_EVERY_S))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await event.wait()
    except TimeoutError:
        return


def _event(name: str, rev: int | None, data: bytes) -> bytes:
    head = f"event: {name}\n" if rev is None else f"id: {rev}\nevent: {name}\n"
    return head.encode() + b"data: " + data + b"\n\n"


def _revision(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else None


def read_number(request: Request, name: str) -> float | None:
    """Read a number from the query.

    Raises:
        Problem: 422, when it is none.
    """
    text = request.query_params.get(name)
    if text is None or text == "":
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 <= number < 2**63:
        message = f"{name} must be a number of 0 or more"
        raise invalid(message, FieldError(name, message))
    return number
