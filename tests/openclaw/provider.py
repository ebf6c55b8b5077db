"""A model provider on loopback that speaks OpenAI and Anthropic streaming, follows a script and keeps a ledger.

Upstream: OpenClaw's model calls.
Downstream: the tests, for which the ledger is the oracle: what was asked and answered, told by neither OpenClaw nor
us.
Guarantee: every request has its own number of fresh input tokens, so a span can be matched with its request.
"""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.openclaw import anthropic_stream, openai_stream
from tests.openclaw.scenarios import Answer, Script

FRESH_INPUT_TOKENS = 1000


@dataclass(frozen=True)
class Buckets:
    """The four disjoint token buckets of one model call."""

    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int


@dataclass
class Entry:
    """One request that the provider answered."""

    number: int
    at_s: float
    api: str
    model: str
    label: str
    scenario: str
    step: int
    buckets: Buckets
    tool_calls: dict[str, str]
    tool_results: tuple[str, ...]
    outcome: str = "open"

    @property
    def is_paid(self) -> bool:
        """Whether OpenClaw got the tokens of this request."""
        return self.outcome == "ok"


@dataclass
class Ledger:
    """Everything the provider was asked, in order."""

    entries: list[Entry] = field(default_factory=list)

    def of(self, *labels: str) -> list[Entry]:
        """The requests of some tests."""
        return [entry for entry in list(self.entries) if entry.label in labels]


class Provider:
    """The HTTP server and its ledger."""

    def __init__(self) -> None:
        """Choose a port; ``running`` serves on it."""
        self.ledger = Ledger()
        self.script = Script()
        self.bodies: dict[int, dict[str, Any]] = {}
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._openai, methods=["POST"]),
                Route("/v1/messages", self._anthropic, methods=["POST"]),
            ]
        )
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))

    @contextmanager
    def running(self) -> Iterator["Provider"]:
        """Serve in a thread until the block ends."""
        thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.should_exit = True
            thread.join(10)

    async def _openai(self, request: Request) -> Response:
        return await self._reply(request, "openai")

    async def _anthropic(self, request: Request) -> Response:
        return await self._reply(request, "anthropic")

    async def _reply(self, request: Request, api: str) -> Response:
        body = await request.json()
        speak = openai_stream if api == "openai" else anthropic_stream
        turns = speak.turns_of(body)
        label, answer = self.script.answer(turns, body["model"], speak.tools_of(body))
        entry = self._enter(api, body["model"], label, answer, tuple(r for turn in turns for r in turn.tool_results))
        self.bodies[entry.number] = body
        if answer.latency_s:
            await asyncio.sleep(answer.latency_s)
        if answer.http_status != 200:
            entry.outcome = f"http {answer.http_status}"
            error = {"error": {"type": "server_error", "message": f"the provider says {answer.http_status}"}}
            headers = {"Retry-After": "1"} if answer.http_status == 429 else {}
            return JSONResponse(error, status_code=answer.http_status, headers=headers)
        return StreamingResponse(
            self._stream(entry, speak.events_of(entry, answer), answer.is_cut), media_type="text/event-stream"
        )

    def _enter(self, api: str, model: str, label: str, answer: Answer, results: tuple[str, ...]) -> Entry:
        number = len(self.ledger.entries) + 1
        is_cached = answer.step > 0
        entry = Entry(
            number=number,
            at_s=time.time(),
            api=api,
            model=model,
            label=label,
            scenario=answer.scenario,
            step=answer.step,
            buckets=Buckets(
                input_tokens=FRESH_INPUT_TOKENS + number + answer.extra_input_tokens,
                cache_read_tokens=1000 + 500 * answer.step if is_cached else 0,
                cache_write_tokens=700 if api == "anthropic" and not is_cached else 0,
                output_tokens=40 + 10 * answer.step + len(answer.text.split()),
            ),
            # OpenClaw takes signs out of the ids it sends back: these have none.
            tool_calls={f"call{number:05}n{position}": call.name for position, call in enumerate(answer.tool_calls)},
            tool_results=results,
        )
        self.ledger.entries.append(entry)
        return entry

    async def _stream(self, entry: Entry, events: list[tuple[str, Any]], is_cut: bool) -> AsyncIterator[bytes]:
        if is_cut:
            events = events[: len(events) // 2]
        entry.outcome = "cut" if is_cut else "client gone"
        for name, data in events:
            text = data if isinstance(data, str) else json.dumps(data)
            yield f"{f'event: {name}{chr(10)}' if name else ''}data: {text}\n\n".encode()
        if not is_cut:
            entry.outcome = "ok"
