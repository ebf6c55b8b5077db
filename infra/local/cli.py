"""The commands of the local stack: up, down, status, logs, fetch, lock.

Upstream: people, make, CI.
Downstream: up.py, down.py, status.py, log_files.py, artifacts.py.
Guarantee: exit code 0 = done, 1 = error (told in plain words on standard error), 3 = not running.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.engine import make_url

from infra.local.artifacts import ensure_artifacts, ensure_driver
from infra.local.down import take_down
from infra.local.errors import StackError
from infra.local.layout import Layout
from infra.local.log_files import LogFollower, last_lines
from infra.local.progress import Progress
from infra.local.state import PartState
from infra.local.status import StackStatus, look
from infra.local.up import bring_up
from infra.runtime.settings import StackSettings

EXIT_ERROR = 1
EXIT_NOT_RUNNING = 3
EXIT_INTERRUPTED = 130
FOLLOW_EVERY_S = 0.3
MEGABYTE = 1_000_000

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The local stack.")


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(EXIT_ERROR) from None


@app.command()
def up(
    only: Annotated[str, typer.Option(help="Parts to start, separated by commas, e.g. kafka,postgres,trino.")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Start the local stack and wait until every part is healthy."""
    layout = Layout.of(StackSettings())
    progress = Progress(quiet)
    names = [name.strip() for name in only.split(",") if name.strip()]
    try:
        with _plain_errors():
            if not bring_up(layout, names, progress):
                progress.say("the stack is up already")
                return
    except KeyboardInterrupt:
        progress.say("interrupted; the start goes on in the background (`clawtrace down` stops it)")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    settings = layout.settings
    progress.say(f"ready: gateway {settings.gateway_url}  api {settings.api_url}  trino {settings.trino_url}")


@app.command()
def down(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Stop the local stack; nothing is left running."""
    progress = Progress(quiet)
    with _plain_errors():
        was_running = take_down(Layout.of(StackSettings()), progress)
    progress.say("stopped" if was_running else "the stack was not running")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Say how each part is: exit code 0 all healthy, 1 not all, 3 not running."""
    with _plain_errors():
        seen, is_running = look(Layout.of(StackSettings()))
    if as_json:
        print(seen.model_dump_json(indent=2))
    else:
        _print_status(seen, is_running)
    if not is_running:
        raise typer.Exit(EXIT_NOT_RUNNING)
    if not seen.ready:
        raise typer.Exit(EXIT_ERROR)


def _print_status(seen: StackStatus, is_running: bool) -> None:
    console = Console(highlight=False)
    if not is_running:
        console.print("the stack is not running (`clawtrace up` starts it)")
        return
    table = Table("process", "pid", "memory MB", "restarts", "state", box=None, header_style="bold")
    for item in seen.processes:
        color = "green" if item.state is PartState.RUNNING else "yellow"
        memory = f"{item.rss_bytes / MEGABYTE:.0f}"
        state = f"[{color}]{item.state}[/{color}]"
        table.add_row(item.name, str(item.pid or "-"), memory, str(item.restarts), state)
    console.print(table)
    total_bytes = sum(item.rss_bytes for item in seen.processes)
    console.print(f"memory in all {total_bytes / MEGABYTE:.0f} MB")
    endpoints = seen.endpoints.model_dump()
    if seen.endpoints.postgres:
        # On a screen the password stays hidden; programs get it from --json.
        endpoints["postgres"] = make_url(seen.endpoints.postgres).render_as_string(hide_password=True)
    for name, address in endpoints.items():
        console.print(f"{name:9} {address}", soft_wrap=True)
    console.print("ready" if seen.ready else "[yellow]not ready[/yellow]")


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="A part or step; nothing means all.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    num_lines: Annotated[int, typer.Option("-n", help="How many of the last lines.")] = 30,
) -> None:
    """Show the logs of the parts."""
    layout = Layout.of(StackSettings())
    files = sorted(layout.logs.glob("*.log")) if layout.logs.exists() else []
    known = [file.stem for file in files]
    if name and name not in known:
        names = ", ".join(known) or "none yet"
        print(f"error: There is no log of {name!r} in {layout.logs}. Logs: {names}.", file=sys.stderr)
        raise typer.Exit(EXIT_ERROR)
    chosen = [file for file in files if not name or file.stem == name]
    follower = LogFollower(chosen)
    for file in chosen:
        for line in last_lines(file, num_lines):
            print(line if name else f"{file.stem:17}| {line}")
    while follow:
        try:
            for part, line in follower.new_lines():
                print(line if name else f"{part:17}| {line}", flush=True)
            time.sleep(FOLLOW_EVERY_S)
        except KeyboardInterrupt:
            return


@app.command()
def fetch(
    jdbc: Annotated[
        bool, typer.Option("--jdbc", help="Only Trino's JDBC driver, for SQL tools; prints where it is.")
    ] = False,
) -> None:
    """Download everything the local stack needs."""
    progress = Progress()
    with _plain_errors():
        if jdbc:
            print(ensure_driver(Layout.of(StackSettings()), progress))
            return
        ensure_artifacts(Layout.of(StackSettings()), progress)
    progress.say("everything is there")


@app.command(hidden=True)
def lock() -> None:
    """Resolve the Maven artifacts anew and rewrite the lock file (developers only)."""
    from infra.local.lock_writer import write_lock

    locked = write_lock(Layout.of(StackSettings()))
    print(f"{len(locked)} artifacts locked; review the difference and commit it")


if __name__ == "__main__":
    app()
