"""What one client may ask of this process: bytes in a body, and requests in a time.

Upstream: api/main.py puts it in front of the routes.
Downstream: the routes.
Guarantee: a body that is too large is refused before it is read whole (413); a key that asks faster than it may gets
429 with Retry-After, before anything is looked up for it.
"""

import hashlib
from math import ceil

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.runtime.problem import Problem, too_busy, too_large
from infra.runtime.token_buckets import TokenBuckets

# Probes and scrapes have no key and must not be held up by clients without one.
_FREE_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


class RequestLimits:
    """The limits as a plain ASGI wrapper, so that streams pass untouched."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, per_s: float, burst: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._buckets = TokenBuckets(per_s, burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] != "http" or scope["path"] in _FREE_PATHS:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        wait_s = self._buckets.take(_client(scope, headers))
        if wait_s > 0:
            problem = too_busy("too many requests with this key; slow down", retry_after_s=max(1, ceil(wait_s)))
            await problem.response(scope["path"])(scope, receive, send)
            return
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._max_body_bytes:
            await self._refusal().response(scope["path"])(scope, receive, send)
            return
        if length:
            await self._app(scope, receive, send)
            return
        messages = await self._read(receive)
        if messages is None:
            await self._refusal().response(scope["path"])(scope, receive, send)
            return
        await self._app(scope, _replayed(messages, receive), send)

    def _refusal(self) -> Problem:
        return too_large(f"the body is larger than {self._max_body_bytes} bytes")

    async def _read(self, receive: Receive) -> list[Message] | None:
        """Read a body that does not say its length; None when it is too large."""
        messages: list[Message] = []
        num_bytes = 0
        while True:
            message = await receive()
            messages.append(message)
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._max_body_bytes:
                return None
            if message["type"] != "http.request" or not message.get("more_body", False):
                return messages


def _replayed(messages: list[Message], receive: Receive) -> Receive:
    ahead = iter(messages)

    async def replayed() -> Message:
        return next(ahead, None) or await receive()

    return replayed


def _client(scope: Scope, headers: dict[bytes, bytes]) -> bytes:
    """The key, hashed so that no key stands in memory, or the address of a client that has none."""
    if authorization := headers.get(b"authorization"):
        return hashlib.blake2b(authorization, digest_size=16).digest()
    return str((scope.get("client") or ("",))[0]).encode()
