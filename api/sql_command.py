"""`clawtrace sql`: a question in SQL, answered as a table, or as a CSV, JSON or Parquet file.

Upstream: a person at a terminal, or a script.
Downstream: POST /v1/sql through api/client.py; with --operator the same guard, limits and writers in this process.
Guarantee: no text reaches the engine but what the guard has written; exit code 0 when there is an answer, 1 when the
API or the engine is away, 2 when the question is at fault; errors go to stderr in plain words.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.client import EXIT_AWAY, EXIT_QUESTION
from api.console.options import JsonOption, KeyOption, UrlOption
from api.console.printing import asked, console, fail, say
from api.tracy.sanitise import strip_invisible

if TYPE_CHECKING:
    # At run time only where it is needed: it brings pyarrow along.
    from api.export.results import ResultFormat

sql_app = typer.Typer(help="Ask a question in SQL.")

_FORMATS: "tuple[ResultFormat, ...]" = ("json", "csv", "parquet")


@sql_app.command()
def sql(
    text: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT; - reads it from standard input.")],
    form: Annotated[
        str, typer.Option("--format", help="json, csv or parquet; default: a table, or the end of --output's name.")
    ] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the answer into this file.")] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="Most rows; the server's own limit holds too.")
    ] = 1_000,
    operator: Annotated[
        bool, typer.Option("--operator", help="All tenants; only on the machine that holds the engine's signing key.")
    ] = False,
    as_json: JsonOption = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """Ask a question in Trino's SQL over the views (DESCRIBE lists their columns); only the key's tenant is seen."""
    wanted = _wanted(form, as_json, output)
    question = sys.stdin.read() if text == "-" else text
    if operator:
        content, truncated = _ask_here(question, limit, wanted or "json")
    else:
        with asked(url, key) as api:
            content, headers = api.download("/v1/sql", {"sql": question, "limit": limit}, format=wanted or "json")
        truncated = headers.get("x-clawtrace-truncated") == "true"
    _put_out(content, wanted, output)
    if truncated:
        say("There are more rows; raise --limit, or aggregate.")


def _wanted(form: str, as_json: bool, output: Path | None) -> "ResultFormat | None":
    name = form or ("json" if as_json else "")
    if not name and output is not None:
        name = output.suffix.removeprefix(".")
    wanted = next((known for known in _FORMATS if known == name), None)
    if wanted is None and (name or output is not None):
        fail(f"The format is one of {', '.join(_FORMATS)}; give it with --format.", EXIT_QUESTION)
    if wanted == "parquet" and output is None and sys.stdout.isatty():
        fail("Parquet is not for a terminal: give --output FILE.", EXIT_QUESTION)
    return wanted


def _ask_here(question: str, limit: int, form: "ResultFormat") -> tuple[bytes, bool]:
    """Ask as the operator, who has no key; through the same guard, with the same limits."""
    from api.export.results import write_result
    from api.repositories.engine import Rows, TrinoEngine
    from api.repositories.errors import QueryTimeout, TooManyQueries, TrinoAway
    from api.repositories.scope import OperatorScope
    from api.repositories.sql import SqlRepository
    from api.settings import ApiSettings
    from api.sqlguard.admit import admit_sql
    from api.sqlguard.errors import SqlError
    from api.sqlguard.manifest import view_columns

    settings = ApiSettings()

    async def ask() -> tuple[Rows, dict[str, str]]:
        engine = TrinoEngine(settings)
        try:
            repository, scope = SqlRepository(engine), OperatorScope()
            admitted = admit_sql(question, view_columns(), min(limit, settings.api_max_sql_rows))
            snapshots = await repository.find_snapshots(scope, admitted.tables)
            return await repository.run(scope, admitted), snapshots
        finally:
            engine.close()

    try:
        rows, snapshots = asyncio.run(ask())
    except (SqlError, QueryTimeout) as error:
        fail(str(error), EXIT_QUESTION)
    except (TrinoAway, TooManyQueries, OSError) as error:
        fail(f"{error}. Is the stack up? clawtrace status", EXIT_AWAY)
    return write_result(rows, snapshots, form), rows.truncated


def _put_out(content: bytes, wanted: "ResultFormat | None", output: Path | None) -> None:
    if output is not None:
        try:
            output.write_bytes(content)
        except OSError as error:
            fail(f"{output} cannot be written: {error.strerror}.", EXIT_QUESTION)
    elif wanted:
        sys.stdout.buffer.write(content if content.endswith(b"\n") or wanted == "parquet" else content + b"\n")
    else:
        print_rows(json.loads(content))


def print_rows(document: dict[str, Any]) -> None:
    """Print an answer: as a table on a terminal, as lines with tabs for a program."""
    from api.export.results import cell_text

    names = [column["name"] for column in document["columns"]]
    texts = [[cell_text(value) for value in row] for row in document["rows"]]
    if sys.stdout.isatty():
        _print_table(names, texts)
    else:
        # Tabs and line ends inside values would break columns and lines for the program that reads this.
        for row in [names, *texts]:
            typer.echo("\t".join(" ".join(text.split()) for text in row))


def _print_table(names: list[str], texts: list[list[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold")
    for name in names:
        table.add_column(Text(strip_invisible(name)), overflow="fold")
    for row in texts:
        # Text, so that brackets in the data are not read as styles.
        table.add_row(*(Text(strip_invisible(text)) for text in row))
    console().print(table)
