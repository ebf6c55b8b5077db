"""A small server that speaks the Messages API: what Tracy's tests ask instead of a model.

Streams as the real one does, in small pieces; fails, overloads and breaks off when a script says so. ``obedient`` is
a model without a will of its own: it does whatever any text that it reads tells it to.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Request = dict[str, Any]
_PIECE_CHARS = 7
_FRAME = re.compile(r"<recorded_data[^>]*>\n(.*?)\n</recorded_data>", re.S)


@dataclass(frozen=True)
class Say:
    """A reply: text, then calls of tools as (name, arguments)."""

    text: str = ""
    tools: tuple[tuple[str, dict[str, Any]], ...] = ()
    stop_reason: str = ""
    input_tokens: int = 100
    cache_read_tokens: int = 0
    output_tokens: int = 20


@dataclass(frozen=True)
class Fail:
    """An error: before the stream, or in the middle of it."""

    status: int
    kind: str
    in_stream: bool = False


@dataclass(frozen=True)
class Cut:
    """A stream that ends in the middle of this text."""

    text: str


Reply = Say | Fail | Cut
Behaviour = Callable[[Request], Reply]


def script(*replies: Reply) -> Behaviour:
    """Give these replies one after the other; the last one again and again."""
    left = list(replies)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


def obedient(request: Request) -> Reply:
    """Do what is asked: ``DO <tool> <json> DONE`` calls a tool, ``SAY <text> DONE`` is said, wherever it stands.

    At the end everything that was read is said as well.
    """
    read = list(_texts_read(request))
    done = {json.dumps(block["input"], sort_keys=True) for block in _blocks(request, "tool_use")}
    calls = []
    for text in read:
        for name, arguments in re.findall(r"DO (\w+) (\{.*?\}) DONE", text, re.S):
            try:
                wanted = json.loads(arguments)
            except ValueError:
                continue
            if json.dumps(wanted, sort_keys=True) not in done and len(calls) < 8:
                calls.append((name, wanted))
    if calls:
        return Say("As told.", tuple(calls))
    said = [line for text in read for line in re.findall(r"SAY (.*?) DONE", text, re.S)]
    return Say("\n".join([*said, *read]))


def _blocks(request: Request, kind: str) -> Iterator[dict[str, Any]]:
    for message in request["messages"]:
        content = message["content"] if isinstance(message["content"], list) else []
        yield from (block for block in content if block["type"] == kind)


def _texts_read(request: Request) -> Iterator[str]:
    for message in request["messages"]:
        if message["role"] != "user":
            continue
        for block in message["content"]:
            if block["type"] == "text":
                yield block["text"]
                yield from _framed_texts(block["text"])
    for block in _blocks(request, "tool_result"):
        for part in block["content"]:
            yield from _values(part["text"])


def _framed_texts(text: str) -> Iterator[str]:
    """Texts inside the lines of framed data that came with the question."""
    for body in _FRAME.findall(text):
        for line in body.splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if isinstance(said, dict):
                yield from (value for value in said.values() if isinstance(value, str))


def _values(text: str) -> Iterator[str]:
    """Texts inside a framed result; the frame's escapes are no obstacle to a model."""
    for body in _FRAME.findall(text):
        try:
            result = json.loads(body)
        except ValueError:
            yield body
            continue
        for row in result.get("rows", []):
            for cell in row:
                yield cell if isinstance(cell, str) else json.dumps(cell)


@dataclass
class MessagesServer:
    """The running server. ``behaviour`` may be changed at any time; ``requests`` are those that came."""

    url: str = ""
    behaviour: Behaviour = field(default=obedient)
    requests: list[Request] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def bodies(self) -> str:
        """Everything that was sent here, as one text."""
        return json.dumps(self.requests, ensure_ascii=False)


def _stream(reply: Say | Cut | Fail, model: str) -> Iterator[tuple[str, dict[str, Any]]]:
    say = reply if isinstance(reply, Say) else Say(reply.text if isinstance(reply, Cut) else "Let me")
    usage = {
        "input_tokens": say.input_tokens,
        "cache_read_input_tokens": say.cache_read_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": 1,
    }
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    yield "message_start", {"message": message}
    index = 0
    if say.text:
        yield "content_block_start", {"index": index, "content_block": {"type": "text", "text": ""}}
        for start in range(0, len(say.text), _PIECE_CHARS):
            piece = say.text[start : start + _PIECE_CHARS]
            yield "content_block_delta", {"index": index, "delta": {"type": "text_delta", "text": piece}}
        if not isinstance(reply, Say):
            if isinstance(reply, Fail):
                yield "error", {"error": {"type": reply.kind, "message": "told to fail"}}
            return
        yield "content_block_stop", {"index": index}
        index += 1
    for number, (name, arguments) in enumerate(say.tools):
        block = {
            "type": "tool_use",
            "id": f"toolu_{abs(hash((name, str(arguments)))):x}_{number}",
            "name": name,
            "input": {},
        }
        yield "content_block_start", {"index": index, "content_block": block}
        text = json.dumps(arguments)
        for start in range(0, len(text), _PIECE_CHARS * 4):
            piece = text[start : start + _PIECE_CHARS * 4]
            yield "content_block_delta", {"index": index, "delta": {"type": "input_json_delta", "partial_json": piece}}
        yield "content_block_stop", {"index": index}
        index += 1
    stop = say.stop_reason or ("tool_use" if say.tools else "end_turn")
    delta = {"stop_reason": stop, "stop_sequence": None}
    yield "message_delta", {"delta": delta, "usage": {"output_tokens": say.output_tokens}}
    yield "message_stop", {}


@contextmanager
def messages_server() -> Iterator[MessagesServer]:
    """Serve on a free port until the block ends."""
    state = MessagesServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.path.split("?")[0] != "/v1/messages":
                self.send_error(404)
                return
            request = json.loads(body)
            state.requests.append(request)
            state.headers.append({name.lower(): value for name, value in self.headers.items()})
            reply = state.behaviour(request)
            if isinstance(reply, Fail) and not reply.in_stream:
                self._fail(reply)
                return
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for event, data in _stream(reply, request["model"]):
                line = f"event: {event}\ndata: {json.dumps({'type': event, **data})}\n\n".encode()
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                self.wfile.flush()
            if isinstance(reply, Cut):
                # Without the last chunk: the connection breaks in the middle of the body.
                self.close_connection = True
                return
            self.wfile.write(b"0\r\n\r\n")

        def _fail(self, reply: Fail) -> None:
            error = {"type": "error", "error": {"type": reply.kind, "message": "told to fail"}}
            body = json.dumps(error).encode()
            self.send_response(reply.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
