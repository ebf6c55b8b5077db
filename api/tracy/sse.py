"""Events as a stream of server-sent events.

Upstream: events of api/tracy/service.py.
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

from api.tracy.writer import Event
from infra.runtime.problem import Problem

_log = structlog.get_logger(__name__)

EVENT_STREAM: Final = "text/event-stream"
PING_EVERY_S: Final = 10.0
# With what the key store remembers (2 s) below the five seconds that a revoked key may live.
CHECK_EVERY_S: Final = 2.5
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

STREAM_RESPONSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Events: session, text, tool_use, tool_result, chart, citation, then one done or one error; "
        "each with a JSON object as data.",
        "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
    }
}


Check = Callable[[], Awaitable[object]]


def event_stream(events: AsyncGenerator[Event], check: Check) -> StreamingResponse:
    """Return the events as they come; ``check`` raises a Problem when the caller may no longer read them."""
    return StreamingResponse(_lines(events, check), media_type=EVENT_STREAM, headers=_HEADERS)


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
                        yield _line(("error", {"code": problem.code, "message": problem.detail}))
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
                event = ("error", {"code": "internal", "message": "The answer failed here; the log has the reason."})
                yield _line(event)
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
