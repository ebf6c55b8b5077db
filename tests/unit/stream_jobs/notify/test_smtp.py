"""Mail against a server that speaks SMTP; the guard holds there too."""

import socket
import ssl
import time

import pytest
import trustme

from stream_jobs.contracts.channel import EmailTarget
from stream_jobs.core.notify.addresses import parse_networks
from stream_jobs.core.notify.mail import write_mail
from stream_jobs.core.notify.message import Message
from stream_jobs.notify.outbound import Guard, Refused, Unreachable
from stream_jobs.notify.smtp import Mailer, MailRefused
from tests.unit.stream_jobs.notify.making import alert, message, target, told
from tests.unit.stream_jobs.notify.servers import mail_server, raw_server

# What is bounded by a second would else go on for longer than this; a busy machine needs some seconds for anything.
FOR_EVER_S, IN_TIME_S = 120.0, 60.0
LOOPBACK = Guard(parse_networks("127.0.0.1/32"), lambda host, port: ["127.0.0.1"])


@pytest.fixture(scope="module")
def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a server named mail.test, and of who trusts it."""
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("mail.test").configure_cert(server)
    authority.configure_trust(client)
    return server, client


def email(port: int, security: str = "none", **values: object) -> EmailTarget:
    to = {"host": "mail.test", "port": port, "security": security, "sender": "claw@example.com"}
    found = target("email", **to, to=["ann@example.com", "bob@example.com"], **values)
    assert isinstance(found, EmailTarget)
    return found


def send(mailer: Mailer, to: EmailTarget, what: Message | None = None) -> None:
    mailer.send(to, write_mail(to, what or message()))


def test_a_mail_arrives_with_everything_in_it() -> None:
    with mail_server() as server:
        what = message(told(alert(1)), told(alert(2, "ok", message="All good.\r\nBcc: evil@example.com")))
        send(Mailer(LOOPBACK), email(server.port), what)
        (mail,) = server.mails
        assert mail["Subject"] == "[ALERT] run_cost on laptop and 1 more"
        assert mail["Message-ID"] == "<msg_1@clawtrace.invalid>"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["Bcc"] is None
        text = mail.get_content()
        assert "All good. Bcc: evil@example.com" in text
        assert "/traces/bef2bd3ea2e7cce000b1495c74e2a107" in text
        assert "cost_usd: 0.06" in text
        assert server.envelopes == [("<claw@example.com>", ["<ann@example.com>", "<bob@example.com>"])]


def test_no_text_of_an_agent_becomes_a_header() -> None:
    with mail_server() as server:
        hostile = alert(
            1, agent_id="x\r\nBcc: evil@example.com\r\n\r\n.\r\nQUIT\r\n", message="\r\n.\r\nMAIL FROM:<x>\r\n"
        )
        send(Mailer(LOOPBACK), email(server.port), message(told(hostile)))
        (mail,) = server.mails
        assert mail["Bcc"] is None
        assert len(server.envelopes) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_encrypted_and_logged_in(security: str, certificates: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server_tls, client_tls = certificates
    with mail_server(server_tls, tls_at_once=security == "tls") as server:
        mailer = Mailer(LOOPBACK, tls=client_tls)
        send(mailer, email(server.port, security, username="claw", password="right"))
        assert (server.was_encrypted, server.logins) == ([True], [("claw", "right")])
        with pytest.raises(MailRefused, match="refused the mail"):
            send(mailer, email(server.port, security, username="claw", password="wrong"))
        other = EmailTarget.model_validate(email(server.port, security).model_dump() | {"host": "other.test"})
        with pytest.raises(MailRefused, match="does not prove its name"):
            send(mailer, other)
        assert len(server.mails) == 1


def test_without_starttls_nothing_is_sent() -> None:
    with mail_server() as server:
        with pytest.raises(MailRefused, match="does not offer"):
            send(Mailer(LOOPBACK), email(server.port, "starttls", username="claw", password="right"))
        assert (server.mails, server.logins) == ([], [])


def test_which_refusals_may_pass() -> None:
    with mail_server() as server:
        server.data_says = "452 full"
        with pytest.raises(Unreachable, match="452"):
            send(Mailer(LOOPBACK), email(server.port))
        server.data_says = "554 spam"
        with pytest.raises(MailRefused, match="554"):
            send(Mailer(LOOPBACK), email(server.port))
        server.rcpt_says = "550 nobody"
        with pytest.raises(MailRefused, match="550"):
            send(Mailer(LOOPBACK), email(server.port))
        assert server.mails == []


def test_forbidden_addresses_and_ports() -> None:
    with mail_server() as server:
        with pytest.raises(Refused, match="loopback"):
            send(Mailer(Guard(resolver=lambda host, port: ["127.0.0.1"])), email(server.port))
        with pytest.raises(Refused, match="port 6379"):
            send(Mailer(Guard(resolver=lambda host, port: ["93.184.215.14"])), email(6379))
        assert server.envelopes == []


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_a_slow_drip_ends_in_time(security: str) -> None:
    def drip(connection: socket.socket) -> None:
        if security == "starttls":
            connection.sendall(b"220 hi\r\n")
            connection.recv(1000)
            connection.sendall(b"250-a\r\n250 STARTTLS\r\n")
            connection.recv(1000)
            connection.sendall(b"220 go\r\n")
        # The head of a TLS record that never ends, or a line that never does.
        connection.sendall(b"\x16\x03\x03\x40\x00" if security != "none" else b"220 ")
        ends_at_s = time.monotonic() + FOR_EVER_S
        while time.monotonic() < ends_at_s:
            connection.sendall(b"a")
            time.sleep(0.05)

    with raw_server(drip) as (port, _):
        started_s = time.monotonic()
        with pytest.raises(Unreachable, match="was not done in 1 s"):
            send(Mailer(LOOPBACK, timeout_s=1), email(port, security))
        assert time.monotonic() - started_s < IN_TIME_S


def test_an_endless_answer_is_cut() -> None:
    def pour(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"220-" + b"a" * 500 + b"\r\n")

    # By its size and not by its time, of which there is plenty.
    with raw_server(pour) as (port, _), pytest.raises(Unreachable, match="did not answer properly"):
        send(Mailer(LOOPBACK, timeout_s=IN_TIME_S), email(port))
