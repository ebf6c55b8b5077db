"""Commands of the API: `api run`, `sql`, `sql-token`, `trino rules`.

Upstream: a person, or the supervisor.
Downstream: api/main.py, the SQL guard, infra/trino/rules.py.
Guarantee: exit code 0 when there is an answer, 1 when Trino or the stack is away, 2 when the question is at fault;
errors go to stderr in plain words.
"""

import asyncio
import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from api.settings import ApiSettings

if TYPE_CHECKING:
    from api.repositories.engine import Rows

EXIT_AWAY = 1
EXIT_QUESTION = 2

api_app = typer.Typer(no_args_is_help=True, help="Run the API.")
trino_app = typer.Typer(no_args_is_help=True, help="Trino's access rules.")
sql_app = typer.Typer(help="Ask a question in SQL.")
sql_token_app = typer.Typer(help="Print a token with which a person logs in to Trino.")


@api_app.callback()
def _api() -> None:
    """Run the API."""


@api_app.command("run")
def run() -> None:
    """Serve the API until told to stop."""
    import uvicorn

    from api.main import create_app
    from infra.runtime.logging import configure_logging
    from infra.runtime.metrics import describe_process

    settings = ApiSettings()
    configure_logging("api")
    describe_process("api", settings.home)
    uvicorn.run(
        create_app(settings),
        host=settings.listen_host,
        port=settings.port("api"),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
    )


@trino_app.callback()
def _trino() -> None:
    """Trino's access rules."""


@trino_app.command("rules")
def rules(
    write: Annotated[
        bool, typer.Option("--write", help="Put them where Trino reads them; it takes two seconds.")
    ] = False,
) -> None:
    """Print the access rules, or write them."""
    from infra.trino.rules import access_rules, rules_json

    settings = ApiSettings()
    text = rules_json(access_rules(settings.catalog_name))
    if not write:
        typer.echo(text, nl=False)
        return
    file = settings.home / "trino" / "etc" / "rules.json"
    try:
        changed = _replace(file, text)
    except OSError as error:
        _fail(f"{file} cannot be written: {error.strerror}. Start the stack first (make up).", EXIT_AWAY)
    typer.echo(f"{'written' if changed else 'unchanged'}: {file}")


@sql_app.command()
def sql(
    text: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT; - reads it from standard input.")],
    tenant: Annotated[
        str, typer.Option(help="Ask as this tenant; without it as the operator, who sees all of them.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print columns, rows and truncated as JSON.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Most rows to return.")] = 1_000,
) -> None:
    """Ask a question in Trino's SQL over events, spans, traces, agents, tenants, edges, alerts and cards."""
    from api.repositories.engine import Rows, TrinoEngine
    from api.repositories.errors import QueryTimeout, TooManyQueries, TrinoAway
    from api.repositories.scope import AnyScope, OperatorScope, Scope
    from api.repositories.sql import SqlRepository
    from api.sqlguard.admit import admit_sql
    from api.sqlguard.errors import SqlError
    from api.sqlguard.manifest import view_columns

    settings = ApiSettings()

    async def ask(scope: AnyScope) -> Rows:
        engine = TrinoEngine(settings)
        try:
            question = sys.stdin.read() if text == "-" else text
            return await SqlRepository(engine).run(scope, admit_sql(question, view_columns(), limit))
        finally:
            engine.close()

    try:
        rows = asyncio.run(ask(Scope(tenant) if tenant else OperatorScope()))
    except SqlError as error:
        _fail("\n".join(part for part in (error.message, error.hint) if part), EXIT_QUESTION)
    except (ValueError, QueryTimeout) as error:
        _fail(str(error), EXIT_QUESTION)
    except (TrinoAway, TooManyQueries, OSError) as error:
        _fail(f"{error}. Is the stack up? clawtrace status", EXIT_AWAY)
    _print_rows(rows, as_json)


@sql_token_app.command("sql-token")
def sql_token(
    tenant: Annotated[str, typer.Option(help="Tenant whose rows the token shows.")],
    hours: Annotated[float, typer.Option(min=0.1, max=24 * 30, help="How long the token is good for.")] = 8,
) -> None:
    """Print a token for DBeaver, a notebook or the trino client; its user is t_<tenant>."""
    from infra.runtime.trino_connection import sign_token, tenant_user

    try:
        typer.echo(sign_token(ApiSettings(), tenant_user(tenant), timedelta(hours=hours)))
    except ValueError as error:
        _fail(str(error), EXIT_QUESTION)
    except OSError as error:
        _fail(f"no key to sign with at {error.filename}; start the stack first (make up)", EXIT_AWAY)


def _print_rows(rows: "Rows", as_json: bool) -> None:
    from api.kit.values import json_value

    values = [[json_value(value) for value in row] for row in rows.rows]
    names = [column.name for column in rows.columns]
    if as_json:
        columns = [{"name": column.name, "type": column.type} for column in rows.columns]
        typer.echo(json.dumps({"columns": columns, "rows": values, "truncated": rows.truncated}, ensure_ascii=False))
        return
    texts = [
        ["" if value is None else value if isinstance(value, str) else json.dumps(value) for value in row]
        for row in values
    ]
    if sys.stdout.isatty():
        _print_table(names, texts)
    else:
        # Tabs and line ends inside values would break columns and lines for the program that reads this.
        for row in [names, *texts]:
            typer.echo("\t".join(" ".join(text.split()) for text in row))
    if rows.truncated:
        typer.echo(f"There are more rows than {len(values)}; ask with --limit or aggregate.", err=True)


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _print_table(names: list[str], texts: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold")
    for name in names:
        table.add_column(Text(name), overflow="fold")
    for row in texts:
        # Text, so that brackets in the data are not read as styles.
        table.add_row(*(Text(text) for text in row))
    Console().print(table)


def _replace(file: Path, text: str) -> bool:
    """Write the file whole, so that Trino never reads half of it; False when it says so already."""
    if file.exists() and file.read_text() == text:
        return False
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    draft.replace(file)
    return True


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)
