"""Asking what is known: every row of every run, or an error; never a half answer."""

import json
import re
from typing import Any

import httpx2
import pytest

from producers.contracts.usage import TokenUsage
from producers.replay.known_runs import ROWS_PER_QUESTION, RUNS_PER_QUESTION, KnownRunsAway, find_known_runs
from producers.replay.transcript_runs import TranscriptRun
from producers.replay.transcripts import Session

COLUMNS = (
    *("run_id", "span_id", "trace_id", "kind", "status", "started_at", "tool_call_id"),
    *("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "usage_source"),
)


def run(run_id: str) -> TranscriptRun:
    return TranscriptRun(run_id, Session("s", "agent:main:main", "main"), started_ms=1_795_424_000_000)


def call(run_id: str, number: int, source: str | None = "message") -> list[Any]:
    at = "2026-11-23T08:53:35.334000Z"
    return [run_id, f"{number:016x}", "t" * 32, "model_call", "ok", at, None, 1, 2, 3, 4, source]


class Api:
    """Answers the one question as POST /v1/sql does, at most a page at a time."""

    def __init__(self, rows: list[list[Any]]) -> None:
        self.rows = sorted(rows, key=lambda row: row[1])
        self.questions: list[str] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        sql = json.loads(request.content)["sql"]
        self.questions.append(sql)
        assert request.headers["authorization"] == "Bearer read-key"
        after = re.search(r"span_id > '([^']*)'", sql)
        assert after is not None
        asked = set(re.findall(r"'(run-\d+)'", sql))
        page = [row for row in self.rows if row[1] > after[1] and row[0] in asked][:ROWS_PER_QUESTION]
        columns = [{"name": name, "type": "varchar"} for name in COLUMNS]
        return httpx2.Response(200, json={"columns": columns, "rows": page, "truncated": False, "snapshots": {}})

    def client(self) -> httpx2.Client:
        return httpx2.Client(transport=httpx2.MockTransport(self.answer), base_url="http://api")


def test_every_row_of_every_run_is_asked_for() -> None:
    runs = [run(f"run-{number}") for number in range(RUNS_PER_QUESTION + 1)]
    api = Api([call("run-0", number) for number in range(2 * ROWS_PER_QUESTION)] + [call(runs[-1].run_id, 9_999)])
    known = find_known_runs(api.client(), "read-key", runs)
    assert {run_id: len(it.calls) for run_id, it in known.items()} == {"run-0": 2_000, runs[-1].run_id: 1}
    assert len(api.questions) == 4
    assert all("trace_date >= DATE '2026-11-16'" in sql for sql in api.questions)


def test_rows_become_what_is_known() -> None:
    rows = [
        ["run-1", "a", "t", "run", "running", "2026-11-23T08:53:35Z", None, None, None, None, None, None],
        ["run-1", "b", "t", "tool_call", "ok", "2026-11-23T08:53:35Z", "call-1", None, None, None, None, None],
        ["run-1", "c", "t", "tool_call", "running", "2026-11-23T08:53:35Z", "call-2", None, None, None, None, None],
        call("run-1", 13),
        call("run-1", 14, source=None),
    ]
    known = find_known_runs(Api(rows).client(), "read-key", [run("run-1")])["run-1"]
    assert known.is_open
    assert known.tools == {"call-1": True, "call-2": False}
    told, untold = sorted(known.calls, key=lambda it: it.span_id)
    assert told.started_ms == 1_795_424_015_334
    wanted = TokenUsage(input_tokens=1, cache_read_tokens=2, cache_write_tokens=3, output_tokens=4)
    assert (told.usage, untold.usage) == (wanted, None)


def test_quotes_in_ids_stay_inside_the_text() -> None:
    api = Api([])
    find_known_runs(api.client(), "read-key", [run("it's")])
    assert "'it''s'" in api.questions[0]


def test_a_refusal_is_no_empty_answer() -> None:
    def refuse(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(403, text="not with this key")

    client = httpx2.Client(transport=httpx2.MockTransport(refuse), base_url="http://api")
    with pytest.raises(KnownRunsAway, match="403: not with this key"):
        find_known_runs(client, "read-key", [run("run-1")])


def test_an_api_that_is_away_is_no_empty_answer() -> None:
    with (
        httpx2.Client(base_url="http://127.0.0.1:9") as client,
        pytest.raises(KnownRunsAway, match="does not answer"),
    ):
        find_known_runs(client, "read-key", [run("run-1")])
