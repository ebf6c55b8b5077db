"""The command ``import openclaw`` over real HTTP, with stand-ins for gateway and API that stitch and answer."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from producers.cli import import_app
from producers.contracts.wire import WireBatch
from producers.gateway.batch import normalise_batch
from tests.unit.producers.replay.transcript_cases import (
    DATABASE,
    PLUGIN_SPOOL,
    ROW,
    captured_events,
    feed,
    row_of,
    tokens_of,
)
from tests.unit.stream_jobs.core.stitching import Replay


class Stack(ThreadingHTTPServer):
    """``POST /v1/events`` feeds a stitcher, ``POST /v1/sql`` shows its spans."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.stitched = Replay()
        self.num_batches = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Door(BaseHTTPRequestHandler):
    server: Stack

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status, answer = self.take(body) if self.path == "/v1/events" else self.show(json.loads(body)["sql"])
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def take(self, body: bytes) -> tuple[int, dict[str, Any]]:
        batch = msgspec.json.decode(body, type=WireBatch)
        events, aside = normalise_batch(batch.spool_id, batch.events)
        feed(self.server.stitched, batch.spool_id, events)
        self.server.num_batches += 1
        return 202, {"accepted": len(events), "rejected": [item.rejection.error for item in aside]}

    def show(self, sql: str) -> tuple[int, dict[str, Any]]:
        after = re.search(r"span_id > '([^']*)'", sql)
        spans = sorted(self.server.stitched.spans.values(), key=lambda it: it.span_id)
        rows = [row_of(span) for span in spans if after is not None and span.span_id > after[1]]
        columns = [{"name": name, "type": "varchar"} for name in ROW]
        return 200, {"columns": columns, "rows": [[row[name] for name in ROW] for row in rows], "truncated": False}

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def stack() -> Iterator[Stack]:
    server = Stack()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def run_import(stack: Stack, *options: str) -> dict[str, Any]:
    arguments = ["openclaw", str(DATABASE), "--endpoint", stack.url, "--api", stack.url, "--read-key", "r", "--json"]
    # The data are from November 2026, perhaps ahead of this machine's clock.
    result = CliRunner().invoke(import_app, [*arguments, "--settled-minutes", "0", *options])
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    return report


@pytest.fixture(autouse=True)
def after_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.replay.transcript_import.time.time", lambda: 1_800_000_000.0)


def test_dry_run_sends_nothing_and_the_import_sends_what_it_said(stack: Stack) -> None:
    planned = run_import(stack, "--dry-run")
    assert stack.num_batches == 0
    done = run_import(stack, "--key", "k")
    figures = [name for name in planned if name != "dry_run"]
    assert {name: done[name] for name in figures} == {name: planned[name] for name in figures}
    assert done["accepted"] == done["events"] > 0
    assert done["add_model_calls"] == 11
    before, num_batches = tokens_of(stack.stitched), stack.num_batches
    again = run_import(stack, "--key", "k")
    assert (again["events"], again["runs_complete"]) == (0, again["runs"])
    assert (tokens_of(stack.stitched), stack.num_batches) == (before, num_batches)


def test_only_what_was_never_captured_is_sent(stack: Stack) -> None:
    feed(stack.stitched, PLUGIN_SPOOL, captured_events())
    report = run_import(stack, "--key", "k")
    assert (report["add_runs"], report["add_model_calls"], report["add_tool_calls"]) == (1, 1, 1)
    assert (report["add_input_tokens"], report["add_output_tokens"]) == (700, 15)


def test_words_are_plain(stack: Stack) -> None:
    arguments = ["openclaw", str(DATABASE), "--endpoint", stack.url, "--api", stack.url, "--read-key", "r", "--dry-run"]
    result = CliRunner().invoke(import_app, arguments)
    assert result.exit_code == 0
    assert "would add 6 runs, 11 model calls, 8 tool calls" in result.output


def test_without_a_key_it_says_what_to_do(stack: Stack) -> None:
    result = CliRunner().invoke(import_app, ["openclaw", str(DATABASE), "--read-key", "r"])
    assert result.exit_code == 2
    assert "--dry-run" in result.output


def test_an_api_that_is_away_stops_it() -> None:
    arguments = ["openclaw", str(DATABASE), "--api", "http://127.0.0.1:9", "--read-key", "r", "--key", "k"]
    result = CliRunner().invoke(import_app, arguments)
    assert result.exit_code == 1
    assert "nobody knows what was captured already" in " ".join(result.output.split())
