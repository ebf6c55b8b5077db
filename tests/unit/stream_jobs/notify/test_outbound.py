"""The guard on the way out (F19): not a byte to a forbidden address, and time and size are bounded."""

import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import trustme

from stream_jobs.core.notify.addresses import parse_networks
from stream_jobs.core.notify.message import Request
from stream_jobs.notify.outbound import MAX_ANSWER_BYTES, Guard, Outbound, Refused, Unreachable
from tests.unit.stream_jobs.notify.servers import Taken, http_server, raw_server

LOOPBACK = parse_networks("127.0.0.1/32")
# What is bounded by a second would else go on for longer than this; a busy machine needs some seconds for anything.
FOR_EVER_S, IN_TIME_S = 120.0, 60.0
_listeners: list[tuple[set[int], list[Any]]] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto"):
        for others, heard in _listeners:
            if threading.get_ident() not in others:
                heard.append(arguments[1])


# The interpreter itself says to what anything connects; a hook stays for good, so it only looks at who listens.
sys.addaudithook(_hear)


@pytest.fixture
def connections() -> Iterator[list[Any]]:
    """Every address that anything of this process connected to, but for threads of other tests that are still there."""
    heard: list[Any] = []
    others = {thread.ident or 0 for thread in threading.enumerate()} - {threading.get_ident()}
    _listeners.append((others, heard))
    yield heard
    _listeners.remove((others, heard))


def post(outbound: Outbound, url: str) -> tuple[int, float | None]:
    return outbound.post(Request(url, {"content-type": "text/plain"}, b"secret"))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "localhost", "[::ffff:10.0.0.1]", "[::ffff:127.0.0.1]", "169.254.169.254",
     "[64:ff9b::7f00:1]",     "2130706433", "0x7f.1", "127.1", "0", "0177.0.0.1", "[fe80::1%25lo]",
     "LOCALHOST", "localhost.", "127.0.0.1.", "127。0。0。1", "①②⑦.0.0.1", "%31%32%37.0.0.1", "8.8.8.8@127.0.0.1",
     "[::ffff:7f00:1]", "[64:ff9b::a9fe:a9fe]", "[fd00:ec2::254]", "168.63.129.16", "100.100.100.200", "017700000001",
     "2852039166", "0xa9fea9fe", "0251.0376.0251.0376"],
)  # fmt: skip
def test_nothing_is_sent_to_forbidden_addresses(host: str, connections: list[Any]) -> None:
    with http_server() as server:
        for port in (80, 443, server.port):
            with pytest.raises((Refused, Unreachable)):
                post(Outbound(Guard()), f"http://{host}:{port}/")
        assert server.taken == []
    assert connections == []


def test_a_name_is_refused_when_one_of_its_addresses_is_forbidden(connections: list[Any]) -> None:
    guard = Guard(resolver=lambda host, port: ["93.184.215.14", "10.0.0.1"])
    with pytest.raises(Refused, match="private"):
        post(Outbound(guard), "https://example.com/hook")
    assert connections == []


def test_a_name_that_changes_between_check_and_connect_leads_nowhere_else(connections: list[Any]) -> None:
    answers: list[Sequence[str]] = []

    def resolver(host: str, port: int) -> Sequence[str]:
        # Good when asked first, loopback ever after: what a hostile name server does.
        answers.append(["127.0.0.1"] if not answers else ["127.0.0.2"])
        return answers[-1]

    with http_server() as good, http_server(address="127.0.0.2") as private:
        outbound = Outbound(Guard(LOOPBACK, resolver))
        assert post(outbound, f"http://rebind.test:{good.port}/hook")[0] == 200
        assert len(answers) == 1, "resolved once: what was checked is what is connected to"
        assert good.taken[0].headers["host"] == f"rebind.test:{good.port}"
        with pytest.raises(Refused, match="loopback"):
            post(outbound, f"http://rebind.test:{private.port}/hook")
        assert private.taken == []
    assert [place[0] for place in connections] == ["127.0.0.1"]


def test_a_saved_channel_is_checked_again_at_each_send(connections: list[Any]) -> None:
    answers = iter([["93.184.215.14"], ["169.254.169.254"]])
    outbound = Outbound(Guard(resolver=lambda host, port: next(answers)))
    outbound.check("https://example.com/hook")
    with pytest.raises(Refused, match="metadata"):
        post(outbound, "https://example.com/hook")
    assert connections == []


def test_the_certificate_is_that_of_the_name_not_of_the_address() -> None:
    authority = trustme.CA()
    server_tls, client_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("hooks.test").configure_cert(server_tls)
    authority.configure_trust(client_tls)
    names: list[str | None] = []

    def note(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        names.append(name)

    server_tls.sni_callback = note
    with http_server(tls=server_tls) as server:
        outbound = Outbound(Guard(LOOPBACK, lambda host, port: ["127.0.0.1"]), tls=client_tls)
        assert post(outbound, f"https://hooks.test:{server.port}/x")[0] == 200
        with pytest.raises(Unreachable):
            post(outbound, f"https://other.test:{server.port}/x")
        assert names == ["hooks.test", "other.test"]
        assert len(server.taken) == 1


def test_redirects_are_not_followed() -> None:
    with http_server(address="127.0.0.2") as private:
        to = {"location": f"{private.url}/latest/meta-data"}
        with http_server(lambda _: (307, b""), headers=to) as server:
            assert post(Outbound(Guard(LOOPBACK)), f"{server.url}/hook")[0] == 307
        assert private.taken == []


def test_ports_other_than_those_of_the_web_are_refused(connections: list[Any]) -> None:
    for port in (22, 25, 3306, 6379, 8080, 9093):
        with pytest.raises(Refused, match=f"port {port}"):
            post(Outbound(Guard()), f"http://1.1.1.1:{port}/")
    assert connections == []


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_server() as proxy, http_server() as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert post(Outbound(Guard(LOOPBACK)), server.url)[0] == 200
        assert (len(proxy.taken), len(server.taken)) == (0, 1)


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nx-a: "])
def test_a_slow_drip_ends_in_time(first: bytes) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(first)
        ends_at_s = time.monotonic() + FOR_EVER_S
        while time.monotonic() < ends_at_s:
            connection.sendall(b"a")
            time.sleep(0.05)

    with raw_server(drip) as (port, _):
        started_s = time.monotonic()
        with pytest.raises(Unreachable, match="did not answer in 1 s"):
            post(Outbound(Guard(LOOPBACK), timeout_s=1), f"http://127.0.0.1:{port}/")
        assert time.monotonic() - started_s < IN_TIME_S


def test_a_silent_server_ends_in_time() -> None:
    is_over = threading.Event()
    with raw_server(lambda connection: is_over.wait(FOR_EVER_S)) as (port, _):
        started_s = time.monotonic()
        with pytest.raises(Unreachable, match="did not answer in 1 s"):
            post(Outbound(Guard(LOOPBACK), timeout_s=1), f"http://127.0.0.1:{port}/")
        assert time.monotonic() - started_s < IN_TIME_S
        is_over.set()


def test_a_resolver_that_hangs_ends_in_time() -> None:
    is_over = threading.Event()

    def hang(host: str, port: int) -> Sequence[str]:
        is_over.wait(FOR_EVER_S)
        return ["127.0.0.1"]

    started_s = time.monotonic()
    with pytest.raises(Unreachable, match="was not found in 1 s"):
        post(Outbound(Guard(LOOPBACK, hang), timeout_s=1), "http://slow.test/")
    assert time.monotonic() - started_s < IN_TIME_S
    is_over.set()


def test_an_endless_answer_is_cut() -> None:
    num_sent = [0]

    def pour(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        while num_sent[0] < 10**9:
            # Counted first: the client may have read it and gone before this thread has its turn again.
            num_sent[0] += 65_536
            connection.sendall(b"a" * 65_536)

    with raw_server(pour) as (port, _):
        # Out of time it would be no answer at all.
        assert post(Outbound(Guard(LOOPBACK), timeout_s=IN_TIME_S), f"http://127.0.0.1:{port}/")[0] == 200
    # What lay in the buffers of the sockets is beyond what was read.
    assert MAX_ANSWER_BYTES <= num_sent[0] < 50 * 10**6


def test_endless_headers_are_cut() -> None:
    def pour(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"x-a: " + b"a" * 8_000 + b"\r\n")

    with raw_server(pour) as (port, _), pytest.raises(Unreachable):
        post(Outbound(Guard(LOOPBACK), timeout_s=IN_TIME_S), f"http://127.0.0.1:{port}/")


def test_what_the_server_asks_to_wait_is_heard() -> None:
    with http_server(lambda _: (429, b""), headers={"retry-after": "17"}) as server:
        assert post(Outbound(Guard(LOOPBACK)), server.url) == (429, 17.0)

    def odd(taken: Taken) -> tuple[int, bytes]:
        return 503, b""

    with http_server(odd, headers={"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}) as server:
        assert post(Outbound(Guard(LOOPBACK)), server.url) == (503, None)
