"""The only way out to addresses that tenants name: HTTP and sockets behind a guard.

Upstream: ``deliver``, ``smtp``; ``admin`` when a channel is saved.
Downstream: the internet, and networks that the operator allows.
Guarantee: a name is resolved once per send, every address of it is checked, and the connection goes to a checked one
(name and certificate stay those of the URL): a name that resolves otherwise a moment later changes nothing. Nothing is
sent to a forbidden address, no redirect is followed, no proxy of the environment is used; time and size of an answer
are bounded.
"""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore2

from stream_jobs.core.notify.addresses import Network, is_within, why_forbidden
from stream_jobs.core.notify.message import Request

TOTAL_TIMEOUT_S: Final = 5.0
MAX_ANSWER_BYTES: Final = 65_536
HTTP_PORTS: Final = frozenset({80, 443})
MAIL_PORTS: Final = frozenset({25, 465, 587, 2525})

# Name and port → addresses; raises OSError when there are none.
Resolver = Callable[[str, int], Sequence[str]]


class Refused(Exception):
    """The guard forbids the address; trying again will not help. The text can be shown to the tenant."""


class Unreachable(Exception):
    """Nobody answered, or not properly, or not in time; another try may help. The text can be shown to the tenant."""


def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system for the addresses of a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class Guard:
    """Decides where a connection may go."""

    def __init__(self, allowed: Sequence[Network] = (), resolver: Resolver = resolve) -> None:
        """``allowed`` are networks that the operator exempts, with all their ports."""
        self._allowed, self._resolver = allowed, resolver

    def addresses(self, host: str, port: int, ports: Iterable[int], timeout_s: float) -> list[str]:
        """Return the addresses of a host, all of them checked.

        Raises:
            Refused: one of them, or the port, is forbidden.
            Unreachable: the name has no address, or the resolver takes too long.
        """
        bare = host.removeprefix("[").removesuffix("]")
        found = self._resolve_in_time(bare, port, timeout_s)
        for address in found:
            why = why_forbidden(address, self._allowed)
            if why is not None:
                raise Refused(
                    f"{bare} leads to an address that is not allowed ({why}); an operator can allow networks with "
                    "CLAWTRACE_NOTIFY_ALLOWED_NETWORKS"
                )
        if port not in ports and not all(self._is_allowed(address) for address in found):
            raise Refused(f"port {port} is not allowed; use {', '.join(str(one) for one in sorted(ports))}")
        return found

    def _is_allowed(self, address: str) -> bool:
        return is_within(ip_address(address), self._allowed)

    def _resolve_in_time(self, host: str, port: int, timeout_s: float) -> list[str]:
        # The system's resolver cannot be told a time, so it is left behind in a thread that holds nothing.
        result: list[Any] = []

        def ask() -> None:
            try:
                result.append(list(self._resolver(host, port)))
            except (OSError, UnicodeError) as error:
                result.append(error)

        thread = threading.Thread(target=ask, name="resolve", daemon=True)
        thread.start()
        thread.join(timeout_s)
        if not result:
            raise Unreachable(f"the address of {host} was not found in {timeout_s:.0f} s")
        if isinstance(result[0], Exception) or not result[0]:
            raise Unreachable(f"{host} has no address")
        return list(result[0])


class _Pinned(httpcore2.AnyIOBackend):
    """Connects to a checked address whatever the URL says; TLS and Host still see the name of the URL."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        last: Exception = OSError("no address")
        for address in self._addresses:
            try:
                return await super().connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore2.ConnectError as error:
                last = error
        raise last


class Outbound:
    """Posts requests; one connection each."""

    def __init__(self, guard: Guard, *, timeout_s: float = TOTAL_TIMEOUT_S, tls: ssl.SSLContext | None = None) -> None:
        self.guard, self._timeout_s = guard, timeout_s
        self._tls = tls or ssl.create_default_context()

    def check(self, url: str) -> None:
        """Refuse a URL that leads where nothing may be sent; sends nothing.

        Raises:
            Refused: it does.
            Unreachable: its name has no address.
        """
        self.guard.addresses(*_place(url), HTTP_PORTS, self._timeout_s)

    def post(self, request: Request) -> tuple[int, float | None]:
        """Send a request; return its status, and the seconds after which the server wants to be asked again.

        Raises:
            Refused: the guard forbids the address.
            Unreachable: no proper answer within the time.
        """
        deadline_s = time.monotonic() + self._timeout_s
        host, port = _place(request.url)
        addresses = self.guard.addresses(host, port, HTTP_PORTS, self._timeout_s)
        return asyncio.run(self._post(request, host, addresses, deadline_s - time.monotonic()))

    async def _post(
        self, request: Request, host: str, addresses: Sequence[str], timeout_s: float
    ) -> tuple[int, float | None]:
        headers = [("host", urlsplit(request.url).netloc), ("user-agent", "clawtrace-notifier"), ("accept", "*/*")]
        headers += [("connection", "close"), ("content-length", str(len(request.body))), *request.headers.items()]
        try:
            async with (
                asyncio.timeout(timeout_s),
                httpcore2.AsyncConnectionPool(self._tls, network_backend=_Pinned(addresses)) as pool,
                pool.stream("POST", request.url, headers=headers, content=request.body) as answer,
            ):
                num_bytes = 0
                # Read, so that the server can finish; what is beyond the bound is nobody's business.
                async for piece in answer.aiter_stream():
                    num_bytes += len(piece)
                    if num_bytes > MAX_ANSWER_BYTES:
                        break
                return answer.status, _retry_after_s(answer.headers)
        except TimeoutError:
            raise Unreachable(f"{host} did not answer in {self._timeout_s:.0f} s") from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError) as error:
            raise Unreachable(f"{host} did not answer properly ({type(error).__name__})") from None


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _retry_after_s(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    for name, value in headers:
        if name.lower() == b"retry-after" and value.isdigit() and len(value) < 8:
            return float(value)
    return None
