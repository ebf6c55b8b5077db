"""`clawtrace ask`: a question to Tracy, with the SQL behind every figure of the answer.

Upstream: a person at a terminal, or a script with --json.
Downstream: ``POST /v1/tracy/chat``.
Guarantee: the text is printed as it comes; figures name their citation, and each citation is printed once with the SQL
it came from and what became of it; charts are told as tables. With --json each line is one event. Exit code 0 when
there is an answer, 1 when there is none, 2 when the question is at fault.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import typer

from api.client import EXIT_AWAY, exit_code_of
from api.console.options import KeyOption, UrlOption
from api.console.printing import (
    Cell,
    asked,
    console,
    one_line,
    print_json,
    say,
    table_of,
    text_of,
)
from api.tracy.sanitise import strip_invisible

ask_app = typer.Typer(help="Ask Tracy in plain words.")

_CITED: Final = re.compile(r"\[([^\]\n]*)\]\(#(c\d+)\)")
_PAGE_LINK: Final = re.compile(r"\[([^\]\n]*)\]\((/[^()\s]*)\)")
_MAX_CHART_ROWS: Final = 30
_STATUS_STYLES: Final = {"checked": "green", "updated": "yellow", "withheld": "red"}


@ask_app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question, in any language; - reads it from standard input.")],
    agent: Annotated[str | None, typer.Option(help="What 'this agent' means.")] = None,
    trace: Annotated[str | None, typer.Option(help="What 'this trace' means.")] = None,
    session: Annotated[str | None, typer.Option(help="Go on with this conversation.")] = None,
    payloads: Annotated[bool, typer.Option("--payloads", help="Let Tracy read what went in and out of calls.")] = False,
    no_sql: Annotated[bool, typer.Option("--no-sql", help="Leave out the SQL of the citations.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON value an event.")] = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """Ask Tracy about runs, cost, errors and alerts. The server needs a key for a model; it says how to set one."""
    text = sys.stdin.read() if question == "-" else question
    page = {name: value for name, value in (("agent_id", agent), ("trace_id", trace)) if value is not None}
    body = {"question": text, "page": page, "session_id": session, "payloads": payloads}
    answer = PrintedAnswer(with_sql=not no_sql)
    with asked(url, key) as api:
        for name, data in api.post_stream("/v1/tracy/chat", body):
            if as_json:
                print_json({"event": name, "data": data})
                answer.note(name, data)
            else:
                answer.show(name, data)
    if answer.failure is not None:
        if not as_json:
            say(answer.failure)
        raise typer.Exit(answer.exit_code)


def marked_text(text: str) -> str:
    """Text with the marks of its citations: ``[$1.24](#c3)`` becomes ``$1.24 [c3]``."""
    text = _CITED.sub(r"\1 [\2]", strip_invisible(text))
    return _PAGE_LINK.sub(r"\1 (\2)", text)


def chart_rows(option: dict[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    """Words of a chart: what it shows, the names of its columns, its rows."""
    title = option.get("title") or {}
    title = title[0] if isinstance(title, list) else title
    dataset = option.get("dataset") or {}
    series = option.get("series") or []
    series = series if isinstance(series, list) else [series]
    names = [str(name) for name in dataset.get("dimensions", [])]
    rows = [["" if value is None else str(value) for value in row] for row in dataset.get("source", [])]
    kinds = ", ".join(dict.fromkeys(str(one.get("type", "chart")) for one in series)) or "chart"
    return f"{kinds} chart: {title.get('text') or ', '.join(names)}", names, rows


@dataclass
class PrintedAnswer:
    """An answer while it is printed. ``failure`` is why there is none."""

    with_sql: bool = True
    failure: str | None = "The stream ended before the answer did; ask again."
    exit_code: int = EXIT_AWAY
    citations: list[dict[str, Any]] = field(default_factory=list)
    session_id: str = ""

    def note(self, name: str, data: dict[str, Any]) -> None:
        """Take up what decides the exit code."""
        if name == "done":
            self.failure = None
        elif name == "error":
            self.failure = str(data.get("message", "")) or str(data.get("code", "error"))
            self.exit_code = exit_code_of(data.get("code", ""))

    def show(self, name: str, data: dict[str, Any]) -> None:
        """Print one event."""
        self.note(name, data)
        match name:
            case "session":
                self.session_id = str(data["session_id"])
            case "text":
                # Not by rich: it would break lines, and a text comes in pieces.
                print(marked_text(data["text"]), end="", flush=True)
            case "tool_use":
                console().print(text_of((f"· {data['name']}", "dim")))
            case "tool_result" if data["is_error"]:
                console().print(text_of((f"· refused: {data['message']}", "dim")))
            case "chart":
                self._show_chart(data["option"])
            case "citation":
                self.citations.append(data)
            case "done":
                self._show_end(data)

    def _show_chart(self, option: dict[str, Any]) -> None:
        title, names, rows = chart_rows(option)
        screen = console()
        screen.print()
        screen.print(text_of((title, "bold")))
        screen.print(table_of(names, rows[:_MAX_CHART_ROWS], frozenset(names[1:])))
        if len(rows) > _MAX_CHART_ROWS:
            screen.print(text_of((f"… and {len(rows) - _MAX_CHART_ROWS} more rows", "dim")))

    def _show_end(self, data: dict[str, Any]) -> None:
        from rich.text import Text

        screen = console()
        screen.print()
        for cells, sql in self._told_citations():
            screen.print(Text("  ").join(map(text_of, cells)), soft_wrap=True)
            if sql and self.with_sql:
                screen.print(Text(f"      {one_line(sql)}", "dim"), soft_wrap=True)
        cost = "unknown cost" if data["cost_usd"] is None else f"$ {data['cost_usd']}"
        words = [
            cost,
            "1 query" if data["num_queries"] == 1 else f"{data['num_queries']} queries",
            f"{sum(data['tokens'].values()):,} tokens",
            *([f"withheld: {data['num_withheld']}"] if data["num_withheld"] else []),
            *([f"stopped: {data['stop']}"] if data["stop"] != "end" else []),
            *([f"go on with --session {self.session_id}"] if self.session_id else []),
        ]
        screen.print(text_of((" · ".join(words), "dim")), soft_wrap=True)

    def _told_citations(self) -> Iterator[tuple[list[Cell], str]]:
        told: dict[str, str] = {}
        for citation in self.citations:
            mark = f"[{citation['citation_id']}]"
            head: list[Cell] = [mark, (citation["status"], _STATUS_STYLES.get(citation["status"], ""))]
            if citation["shown"]:
                head.append(citation["shown"])
            if citation["reason"]:
                head.append(citation["reason"])
            sql = " ".join((citation["sql"] or "").split())
            # The same statement stands there once; later citations name the first.
            first = told.setdefault(sql, mark)
            if sql and first != mark:
                yield [*head, (f"same SQL as {first}", "dim")], ""
            else:
                yield head, sql
