"""Events as a stream of server-sent events.

Upstream: events of api/tracy/service.py.
Downstream: clients.
Guarantee: a comment every few seconds while nothing happens, so that no proxy takes the stream for dead; a client
that hangs up ends the work, its query in Trino included.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Any, Final

import structlog
from starlette.responses import StreamingResponse

from api.tracy.writer import Event

_log = structlog.get_logger(__name__)

EVENT_STREAM: Final = "text/event-stream"
PING_EVERY_S: Final = 10.0
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

STREAM_RESPONSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Events: session, text, tool_use, tool_result, chart, citation, then one done or one error; "
        "each with a JSON object as data.",
        "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
    }
}


def event_stream(events: AsyncGenerator[Event]) -> StreamingResponse:
    """Return the events as they come."""
    return StreamingResponse(_lines(events), media_type=EVENT_STREAM, headers=_HEADERS)


async def _lines(events: AsyncGenerator[Event]) -> AsyncIterator[bytes]:
    following = asyncio.ensure_future(_next(events))
    try:
        while True:
            done, _ = await asyncio.wait({following}, timeout=PING_EVERY_S)
            if not done:
                yield b": still at work\n\n"
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
