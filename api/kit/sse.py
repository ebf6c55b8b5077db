"""Events as a stream of server-sent events.

Upstream: events of Tracy, of distillations and of backtests.
Downstream: clients.
Guarantee: a comment every few seconds while nothing happens, so that no proxy takes the stream for dead; a client
that hangs up, signs out or whose key is revoked ends the work within five seconds, its query in Trino included.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import structlog
from starlette.responses import StreamingResponse

from infra.runtime.problem import Problem

_log = structlog.get_logger(__name__)

EVENT_STREAM: Final = "text/event-stream"
PING_EVERY_S: Final = 10.0
# With what the key store remembers (2 s) below the five seconds that a revoked key may live.
CHECK_EVERY_S: Final = 2.5
STREAM_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

# Its name and its data.
Event = tuple[str, dict[str, Any]]
Check = Callable[[], Awaitable[object]]


def error_event(code: str, message: str) -> Event:
    """Make the event that ends a stream without an answer."""
    return "error", {"code": code, "message": message}


def stream_response(description: str) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a route whose answer is such a stream."""
    return {200: {"description": description, "content": {EVENT_STREAM: {"schema": {"type": "string"}}}}}


def event_stream(events: AsyncGenerator[Event], check: Check) -> StreamingResponse:
    """Return the events as they come; ``check`` raises a Problem when the caller may no longer read them."""
    return StreamingResponse(_lines(events, check), media_type=EVENT_STREAM, headers=STREAM_HEADERS)


async def _lines(events: AsyncGenerator[Event], check: Check) -> AsyncIterator[bytes]:
    following = asyncio.ensure_future(_next(events))
    checked_at_s = sent_at_s = time.monotonic()
    try:
        while True:
            done, _ = await asyncio.wait({following}, timeout=CHECK_EVERY_S)
            now_s = time.monotonic()
            if now_s - checked_at_s >= CHECK_EVERY_S:
                try:
                    await check()
                except Problem as problem:
                    # Away is not refused: while Postgres cannot say, the stream goes on.
                    if problem.status in (401, 403):
                        yield _line(error_event(problem.code, problem.detail))
                        return
                checked_at_s = now_s
            if not done:
                if now_s - sent_at_s >= PING_EVERY_S:
                    yield b": still at work\n\n"
                    sent_at_s = now_s
                continue
            try:
                event = following.result()
            except Exception as error:
                _log.error("stream_crashed", exc_info=error)
                yield _line(error_event("internal", "The answer failed here; the log has the reason."))
                return
            if event is None:
                return
            yield _line(event)
            sent_at_s = time.monotonic()
            following = asyncio.ensure_future(_next(events))
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await following
        await events.aclose()


def _line(event: Event) -> bytes:
    name, data = event
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


async def _next(events: AsyncGenerator[Event]) -> Event | None:
    return await anext(events, None)
