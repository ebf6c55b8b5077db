"""Small servers that speak the protocols of channels, refuse what the real ones refuse, and keep what they took."""

import base64
import json
import re
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from stream_jobs.notify.outbound import Outbound
from stream_jobs.notify.smtp import Mailer

Answer = tuple[int, bytes]


@dataclass(frozen=True)
class Taken:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


@dataclass
class HttpServer:
    """What a server took; ``answers`` decides what it says."""

    address: str
    port: int
    answers: Callable[[Taken], Answer]
    taken: list[Taken] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://{self.address}:{self.port}"


@contextmanager
def http_server(
    answers: Callable[[Taken], Answer] = lambda _: (200, b"ok"),
    *,
    address: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
    headers: dict[str, str] | None = None,
) -> Iterator[HttpServer]:
    """Serve until the end of the block."""
    state = HttpServer(address, 0, answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            num_bytes = int(self.headers.get("content-length", "0"))
            body = self.rfile.read(num_bytes)
            if len(body) < num_bytes:
                # The client was killed in the middle: nobody has heard anything.
                return
            taken = Taken(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            status, said = state.answers(taken)
            state.taken.append(taken)
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Keep quiet: clients of these tests are killed."""

    server = Server((address, 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def raw_server(talk: Callable[[Any], None], address: str = "127.0.0.1") -> Iterator[tuple[int, list[int]]]:
    """Accept connections and let ``talk`` have each socket; yields the port and a list with one item a connection."""
    seen: list[int] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            seen.append(1)
            try:
                talk(self.request)
            except OSError:
                return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        allow_reuse_address = True

    with Server((address, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server.server_address[1], seen
        finally:
            server.shutdown()


@contextmanager
def patient_senders() -> Iterator[None]:
    """Let what is sent from this process have a minute: a busy machine may not answer in the time that people wait."""
    with pytest.MonkeyPatch.context() as patch:
        for sender in (Outbound, Mailer):
            patch.setitem(sender.__init__.__kwdefaults__, "timeout_s", 60.0)
        yield


class Slack:
    """Takes Block Kit as Slack's limits allow it."""

    def __call__(self, taken: Taken) -> Answer:
        """Answer as an incoming webhook does."""
        body = taken.json()
        blocks = body.get("blocks", [])
        if not body.get("text") or len(blocks) > 50:
            return 400, b"invalid_payload"
        limits = {"header": ("text", 150), "section": ("text", 3000)}
        for block in blocks:
            name, limit = limits.get(block["type"], ("", 0))
            texts = [block[name]] if name else block.get("elements", [])
            if any(not one["text"] or len(one["text"]) > (limit or 3000) for one in texts):
                return 400, b"invalid_blocks"
        return 200, b"ok"


class Discord:
    """Takes embeds as Discord's limits allow them."""

    def __call__(self, taken: Taken) -> Answer:
        """Answer as a webhook does."""
        body = taken.json()
        embeds = body.get("embeds", [])
        total = 0
        for embed in embeds:
            fields = embed.get("fields", [])
            too_long = len(embed["title"]) > 256 or len(embed["description"]) > 4096 or len(fields) > 25
            if too_long or any(not 0 < len(f["name"]) <= 256 or not 0 < len(f["value"]) <= 1024 for f in fields):
                return 400, b'{"embeds":["0"]}'
            total += len(embed["title"]) + len(embed["description"])
            total += sum(len(f["name"]) + len(f["value"]) for f in fields)
        if len(body.get("content", "")) > 2000 or len(embeds) > 10 or total > 6000:
            return 400, b'{"code":50035}'
        return 204, b""


class Telegram:
    """Takes HTML messages as the Bot API does."""

    token = "123456:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghi"

    def __call__(self, taken: Taken) -> Answer:
        """Answer as sendMessage does."""
        if taken.path != f"/bot{self.token}/sendMessage":
            return 404, b'{"ok":false}'
        body = taken.json()
        plain = re.sub(r"</?(b|code)>|<a href=\"[^\"<>]*\">|</a>", "", body["text"])
        if "<" in plain or ">" in plain or len(plain) > 4096 or body["parse_mode"] != "HTML":
            return 400, b'{"ok":false,"description":"can\'t parse entities"}'
        return 200, b'{"ok":true}'


class PagerDuty:
    """Keeps incidents by their dedup key."""

    key = "R0123456789ABCDEF0123456789ABCDE"

    def __init__(self) -> None:
        self.incidents: dict[str, str] = {}
        self.num_opened = 0

    def __call__(self, taken: Taken) -> Answer:
        """Answer as /v2/enqueue does."""
        event = taken.json()
        if event.get("routing_key") != self.key or len(event.get("dedup_key", "")) > 255:
            return 400, b'{"status":"invalid event"}'
        action, dedup_key = event["event_action"], event["dedup_key"]
        if action == "trigger":
            payload = event["payload"]
            good = 0 < len(payload["summary"]) <= 1024 and payload["source"]
            if not good or payload["severity"] not in ("critical", "error", "warning", "info"):
                return 400, b'{"status":"invalid event"}'
            datetime.fromisoformat(payload["timestamp"])
            if self.incidents.get(dedup_key) not in ("triggered", "acknowledged"):
                self.incidents[dedup_key] = "triggered"
                self.num_opened += 1
        elif dedup_key in self.incidents:
            self.incidents[dedup_key] = {"acknowledge": "acknowledged", "resolve": "resolved"}[action]
        return 202, b'{"status":"success","message":"Event processed"}'


class Alertmanager:
    """Keeps alerts by their labels, as the API v2 does."""

    def __init__(self) -> None:
        self.ends: dict[tuple[tuple[str, str], ...], datetime] = {}
        self.starts: dict[tuple[tuple[str, str], ...], datetime] = {}

    def __call__(self, taken: Taken) -> Answer:
        """Answer as POST /api/v2/alerts does."""
        if taken.path != "/api/v2/alerts" or taken.headers["content-type"] != "application/json":
            return 404, b""
        for one in taken.json():
            labels = tuple(sorted(one["labels"].items()))
            starts, ends = (datetime.fromisoformat(one[name]) for name in ("startsAt", "endsAt"))
            named = all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) for name in [*one["labels"], *one["annotations"]])
            if not one["labels"].get("alertname") or not named or ends < starts:
                return 400, b'"bad"'
            self.ends[labels], self.starts[labels] = ends, starts
        return 200, b""

    def active(self, now: datetime) -> list[dict[str, str]]:
        """Labels of what has not ended."""
        return [dict(labels) for labels, ends in self.ends.items() if ends > now]


@dataclass
class MailServer:
    """What a mail server took."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    was_encrypted: list[bool] = field(default_factory=list)
    # What it says to RCPT and DATA's end.
    rcpt_says: str = "250 ok"
    data_says: str = "250 taken"


@contextmanager
def mail_server(tls: ssl.SSLContext | None = None, *, tls_at_once: bool = False) -> Iterator[MailServer]:
    """Serve SMTP until the end of the block; with ``tls`` it offers STARTTLS and logins."""
    state = MailServer()

    def talk(connection: Any) -> None:
        is_encrypted = False
        if tls is not None and tls_at_once:
            connection, is_encrypted = tls.wrap_socket(connection, server_side=True), True
        file = connection.makefile("rb")

        def say(text: str) -> None:
            connection.sendall(text.encode() + b"\r\n")

        say("220 mail.test ready")
        sender, recipients = "", []
        while line := file.readline():
            words = line.decode().strip()
            verb = words.split(" ")[0].upper()
            if verb in ("EHLO", "HELO"):
                offers = ["STARTTLS"] if tls is not None and not is_encrypted else []
                offers += ["AUTH PLAIN"] if is_encrypted else []
                lines = ["mail.test", *offers, "SIZE 1000000"]
                for one in lines[:-1]:
                    say(f"250-{one}")
                say(f"250 {lines[-1]}")
            elif verb == "STARTTLS" and tls is not None:
                say("220 go ahead")
                connection, is_encrypted = tls.wrap_socket(connection, server_side=True), True
                file = connection.makefile("rb")
            elif verb == "AUTH":
                _, user, password = base64.b64decode(words.split(" ")[2]).decode().split("\0")
                state.logins.append((user, password))
                say("235 welcome" if password == "right" else "535 no")
            elif verb == "MAIL":
                sender, recipients = words.partition(":")[2].split(" ")[0], []
                say("250 ok")
            elif verb == "RCPT":
                recipients.append(words.partition(":")[2])
                say(state.rcpt_says)
            elif verb == "DATA":
                say("354 go on")
                lines_of_mail = []
                while (piece := file.readline()) not in (b".\r\n", b""):
                    lines_of_mail.append(piece[1:] if piece.startswith(b".") else piece)
                if state.data_says.startswith("2"):
                    state.mails.append(message_from_bytes(b"".join(lines_of_mail), policy=default))
                    state.envelopes.append((sender, recipients))
                    state.was_encrypted.append(is_encrypted)
                say(state.data_says)
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")

    with raw_server(talk) as (port, _):
        state.port = port
        yield state
