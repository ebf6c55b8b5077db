"""`clawtrace ask`: the answer as it comes, the SQL behind each figure, and whether there is one."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.client import EXIT_AWAY, EXIT_QUESTION
from api.console.ask import ask_app, chart_rows, marked_text
from tests.unit.api.console.spoken_api import Document, SpokenApi, Stream, event, spoken_api

SQL = "SELECT cost_usd\n  FROM traces"
CITED = {"citation_id": "c1", "status": "checked", "shown": "$1.24", "sql": SQL, "reason": None}
OPTION = {
    "title": {"text": "Cost by day"},
    "series": [{"type": "bar"}, {"type": "line"}],
    "dataset": {"dimensions": ["day", "usd"], "source": [["Mon", 1.5], ["Tue", None]]},
}
DONE = {
    "stop": "end", "num_queries": 1, "num_withheld": 0, "cost_usd": "0.0125",
    "tokens": {"input": 1000, "cache_read": 200, "cache_write": 0, "output": 30},
}  # fmt: skip


def answer(*events: tuple[str, dict[str, Any]]) -> Stream:
    return Stream(b"".join(event(name, data) for name, data in events))


@pytest.fixture
def api() -> Iterator[SpokenApi]:
    with spoken_api({}) as api:
        yield api


def ask(api: SpokenApi, *arguments: str) -> Result:
    return CliRunner().invoke(ask_app, [*arguments, "--url", api.url, "--key", "k"], input="From standard input?")


WHOLE = answer(
    ("session", {"session_id": "ts-1"}),
    ("tool_use", {"tool_use_id": "u", "name": "run_sql", "input": {}}),
    ("tool_result", {"tool_use_id": "u", "is_error": True, "message": "no such column", "results": []}),
    ("text", {"text": "It cost [$1.24](#c1), see [the run](/traces/t1).\x1b[31m\n"}),
    ("citation", CITED),
    ("citation", {**CITED, "citation_id": "c2", "status": "updated", "reason": "it was $1"}),
    ("citation", {**CITED, "citation_id": "c3", "status": "withheld", "shown": "", "sql": None, "reason": "no query"}),
    ("chart", {"option": OPTION, "result": "r1", "sql": SQL, "snapshots": {}}),
    ("done", {**DONE, "num_withheld": 1}),
)


def test_an_answer_with_its_sources(api: SpokenApi) -> None:
    api.replies["/v1/tracy/chat"] = [WHOLE]
    done = ask(api, "What did it cost?", "--agent", "office-mac", "--trace", "t1", "--session", "ts-" + "0" * 24)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "· run_sql",
        "· refused: no such column",
        "It cost $1.24 [c1], see the run (/traces/t1).[31m",
        "",
        "bar, line chart: Cost by day",
        "day  usd",
        "Mon  1.5",
        "Tue     ",
        "",
        "[c1]  checked  $1.24",
        "      SELECT cost_usd FROM traces",
        "[c2]  updated  $1.24  it was $1  same SQL as [c1]",
        "[c3]  withheld  no query",
        "$ 0.0125 · 1 query · 1,230 tokens · withheld: 1 · go on with --session ts-1",
    ]
    assert api.asked[0][2] == {
        "question": "What did it cost?",
        "page": {"agent_id": "office-mac", "trace_id": "t1"},
        "session_id": "ts-" + "0" * 24,
        "payloads": False,
    }


def test_without_sql_and_from_standard_input(api: SpokenApi) -> None:
    api.replies["/v1/tracy/chat"] = [WHOLE]
    done = ask(api, "-", "--no-sql")
    assert "SELECT" not in done.stdout
    assert "[c1]  checked  $1.24" in done.stdout
    assert api.asked[0][2]["question"] == "From standard input?"


def test_for_programs_each_line_is_an_event(api: SpokenApi) -> None:
    api.replies["/v1/tracy/chat"] = [WHOLE]
    lines = [json.loads(line) for line in ask(api, "What?", "--json").stdout.splitlines()]
    assert [line["event"] for line in lines][-2:] == ["chart", "done"]
    assert lines[4]["data"]["sql"] == SQL


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (
            answer(("error", {"code": "not-configured", "message": "Set CLAWTRACE_TRACY_API_KEY."})),
            EXIT_AWAY,
            "Set CLAW",
        ),
        (
            answer(
                ("text", {"text": "It co"}),
            ),
            EXIT_AWAY,
            "ended before the answer",
        ),
        (Stream(event("text", {"text": "It co"}), is_cut=True), EXIT_AWAY, "does not answer"),
        (Document({"detail": "there is no session ts-1"}, 404), EXIT_QUESTION, "there is no session"),
        (Document({"detail": "too many questions"}, 429), EXIT_AWAY, "too many"),
    ],
    ids=["no-model", "no-end", "cut", "no-session", "busy"],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_no_answer_is_told_so(
    api: SpokenApi, reply: Stream | Document, code: int, words: str, form: tuple[str, ...]
) -> None:
    api.replies["/v1/tracy/chat"] = [reply]
    done = ask(api, "What?", *form)
    assert done.exit_code == code
    # A program has read the event itself.
    assert words in done.stderr or form


def test_words_of_marks_and_charts() -> None:
    assert marked_text("[a](#c1) [b](/agents/x) [c](d)") == "a [c1] b (/agents/x) [c](d)"
    title, names, rows = chart_rows({"series": {"type": "pie"}, "dataset": {"dimensions": ["a"], "source": [[1]]}})
    assert (title, names, rows) == ("pie chart: a", ["a"], [["1"]])
