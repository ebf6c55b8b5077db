"""A small server that speaks as the API does: documents, problems, and streams that break off where a test says so."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Stream:
    """A stream of server-sent events: these bytes, then its end, or a broken connection."""

    body: bytes
    is_cut: bool = False


@dataclass(frozen=True)
class Document:
    """A JSON answer."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Reply = Stream | Document


@dataclass
class SpokenApi:
    """The running server. Each path has its replies, one after the other; the last one again and again."""

    url: str = ""
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)

    def last_event_ids(self) -> list[str | None]:
        """What each request said that it has."""
        return [headers.get("last-event-id") for _, headers, _ in self.asked]

    def take(self, path: str) -> Reply:
        """Next reply of a path."""
        left = self.replies.get(path)
        if not left:
            return Document({"detail": "Not Found"}, 404)
        return left.pop(0) if len(left) > 1 else left[0]


def event(name: str, data: dict[str, Any], event_id: str = "") -> bytes:
    """One event as the API writes it."""
    head = f"id: {event_id}\n" if event_id else ""
    return f"event: {name}\n{head}data: {json.dumps(data)}\n\n".encode()


@contextmanager
def spoken_api(replies: dict[str, list[Reply]]) -> Iterator[SpokenApi]:
    """Serve on a free port until the block ends."""
    api = SpokenApi(replies=replies)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            api.asked.append((self.path, headers, json.loads(body) if body else None))
            reply = api.take(self.path.split("?")[0])
            if isinstance(reply, Document):
                self._document(reply)
                return
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            # Said, or a client asks again over the connection that is just being closed.
            self.send_header("connection", "close")
            self.end_headers()
            # In small pieces, as they come over a network.
            for start in range(0, len(reply.body), 11):
                piece = reply.body[start : start + 11]
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            if not reply.is_cut:
                self.wfile.write(b"0\r\n\r\n")

        do_POST = do_GET

        def _document(self, reply: Document) -> None:
            body = json.dumps(reply.body).encode()
            self.send_response(reply.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
