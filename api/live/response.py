"""Sends a live stream, as long as the caller may see it.

Upstream: api/routers/live.py.
Downstream: the client; api/access/door.py is asked again every second.
Guarantee: a key that was revoked, a session that ended, a member who was removed: the stream ends within five seconds,
also when its reader does not read. A client that hangs up frees its seat at once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from typing import Final

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.kit.sse import EVENT_STREAM, STREAM_HEADERS
from api.live.stream import LiveStream
from infra.runtime.problem import Problem

CHECK_EVERY_S: Final = 1.0
# A reader that reads gets a proper end; one that does not is cut off after this.
FAREWELL_S: Final = 1.0


class LiveResponse(StreamingResponse):
    """A stream with its seat, held already; ``check`` raises Problem when the caller may no longer see it."""

    def __init__(
        self, stream: LiveStream, seat: AbstractContextManager[None], check: Callable[[], Awaitable[object]]
    ) -> None:
        super().__init__(stream.chunks(), media_type=EVENT_STREAM, headers=STREAM_HEADERS)
        self._stream, self._seat, self._check = stream, seat, check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the stream is over, the client is gone, or the caller may no longer see it."""
        sending = asyncio.ensure_future(super().__call__(scope, receive, send))
        try:
            while not sending.done():
                await asyncio.wait({sending}, timeout=CHECK_EVERY_S)
                if sending.done():
                    break
                try:
                    await self._check()
                except Problem:
                    self._stream.end()
                    await asyncio.wait({sending}, timeout=FAREWELL_S)
                    break
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending
            self._seat.__exit__(None, None, None)
