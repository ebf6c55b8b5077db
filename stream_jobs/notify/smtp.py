"""Hands a mail to a mail server, behind the same guard as HTTP.

Upstream: ``deliver``.
Downstream: the tenant's mail server.
Guarantee: connects to a checked address only, proves the server's name by its certificate, sends no password without
encryption; the whole talk ends after its time, however slowly the server speaks, and its answers are bounded.
"""

import contextlib
import smtplib
import socket
import ssl
import threading
from email.message import EmailMessage
from typing import Any, Final

from stream_jobs.contracts.channel import EmailTarget
from stream_jobs.notify.outbound import MAIL_PORTS, MAX_ANSWER_BYTES, Guard, Unreachable

# Longer than HTTP has: mail servers greet late on purpose.
TOTAL_TIMEOUT_S: Final = 20.0
RESOLVE_TIMEOUT_S: Final = 5.0


class MailRefused(Exception):
    """The mail server will not take it, whenever it is asked; the text can be shown to the tenant."""


class _Bounded:
    """What a server says, until it has said too much."""

    def __init__(self, file: Any) -> None:
        self._file, self._num_left = file, MAX_ANSWER_BYTES

    def readline(self, num_bytes: int = -1) -> bytes:
        line = bytes(self._file.readline(num_bytes))
        self._num_left -= len(line)
        if self._num_left < 0:
            raise OSError("the answer is too long")
        return line

    def close(self) -> None:
        self._file.close()


class _Pinned(smtplib.SMTP):
    """An SMTP client that goes to a checked address; TLS still proves the name."""

    def __init__(self, host: str, address: str, tls: ssl.SSLContext | None, timeout_s: float) -> None:
        """``tls``: encrypted from the first byte."""
        self._address, self._tls_at_once = address, tls
        self._handle: socket.socket | None = None
        self.is_over = threading.Event()
        # A name of our own would be looked up, and would tell where we run.
        super().__init__(local_hostname="clawtrace.invalid", timeout=timeout_s)
        # STARTTLS proves this name.
        self._host = host

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = socket.create_connection((self._address, port), timeout)
        # A second handle on the connection: TLS takes the first one away, and is itself known only when it is done.
        self._handle = plain.dup()
        if self.is_over.is_set():
            raise TimeoutError
        if self._tls_at_once is None:
            return plain
        return self._tls_at_once.wrap_socket(plain, server_hostname=self._host)

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = _Bounded(self.sock.makefile("rb"))
        return super().getreply()

    def end(self) -> None:
        """End the connection whatever it waits for: a timeout of a socket starts anew with every byte."""
        self.is_over.set()
        if self._handle is not None:
            with contextlib.suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        super().close()
        if self._handle is not None:
            self._handle.close()


class Mailer:
    """Sends mails; one connection each."""

    def __init__(self, guard: Guard, *, timeout_s: float = TOTAL_TIMEOUT_S, tls: ssl.SSLContext | None = None) -> None:
        self._guard, self._timeout_s = guard, timeout_s
        self._tls = tls or ssl.create_default_context()

    def check(self, target: EmailTarget) -> None:
        """Refuse a server that nothing may be sent to; sends nothing.

        Raises:
            Refused: the guard forbids the address.
            Unreachable: its name has no address.
        """
        self._guard.addresses(target.host, target.port, MAIL_PORTS, RESOLVE_TIMEOUT_S)

    def send(self, target: EmailTarget, mail: EmailMessage) -> None:
        """Send a mail; returns when the server has taken it for all recipients.

        Raises:
            Refused: the guard forbids the address.
            MailRefused: another try will not help.
            Unreachable: another try may help.
        """
        address, *_ = self._guard.addresses(target.host, target.port, MAIL_PORTS, RESOLVE_TIMEOUT_S)
        tls = self._tls if target.security == "tls" else None
        client = _Pinned(target.host, address, tls, self._timeout_s)
        timer = threading.Timer(self._timeout_s, client.end)
        timer.daemon = True
        timer.start()
        try:
            self._talk(client, target, mail)
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            _raise(max(codes), "refused the recipients")
        except smtplib.SMTPResponseException as error:
            _raise(error.smtp_code, "refused the mail")
        except smtplib.SMTPNotSupportedError:
            raise MailRefused(
                f"{target.host} does not offer what security {target.security} or the login needs"
            ) from None
        except ssl.SSLCertVerificationError:
            raise MailRefused(f"{target.host} does not prove its name by a certificate that we know") from None
        except (smtplib.SMTPException, OSError) as error:
            if client.is_over.is_set() or isinstance(error, TimeoutError):
                raise Unreachable(f"{target.host} was not done in {self._timeout_s:.0f} s") from None
            raise Unreachable(f"{target.host} did not answer properly ({type(error).__name__})") from None
        finally:
            timer.cancel()
            client.close()

    def _talk(self, client: _Pinned, target: EmailTarget, mail: EmailMessage) -> None:
        # connect(), unlike the constructor, leaves an unwanted greeting to us.
        code, greeting = client.connect(target.host, target.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, greeting)
        client.ehlo_or_helo_if_needed()
        if target.security == "starttls":
            client.starttls(context=self._tls)
            client.ehlo_or_helo_if_needed()
        if target.username:
            client.login(target.username, target.password.get_secret_value())
        if client.send_message(mail):
            raise smtplib.SMTPResponseException(450, b"not all recipients were taken")
        client.docmd("QUIT")


def _raise(code: int, what: str) -> None:
    """4xx may pass, 5xx does not."""
    if 400 <= code < 500:
        raise Unreachable(f"the mail server {what} for now ({code})")
    raise MailRefused(f"the mail server {what} ({code})")
