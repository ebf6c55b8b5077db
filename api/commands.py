"""Commands of the API: `api run`, `sql-token`, `trino rules`.

Upstream: a person, or the supervisor.
Downstream: api/main.py, infra/trino/rules.py.
Guarantee: exit code 0 when there is an answer, 1 when Trino or the stack is away, 2 when the question is at fault;
errors go to stderr in plain words.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from api.client import EXIT_AWAY, EXIT_QUESTION
from api.console.printing import fail
from api.settings import ApiSettings

api_app = typer.Typer(no_args_is_help=True, help="Run the API.")
trino_app = typer.Typer(no_args_is_help=True, help="Trino's access rules.")
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
        fail(f"{file} cannot be written: {error.strerror}. Start the stack first (make up).", EXIT_AWAY)
    typer.echo(f"{'written' if changed else 'unchanged'}: {file}")


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
        fail(str(error), EXIT_QUESTION)
    except OSError as error:
        fail(f"no key to sign with at {error.filename}; start the stack first (make up)", EXIT_AWAY)


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
