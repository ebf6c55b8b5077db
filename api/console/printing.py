"""How commands for people ask the API, and print: tables, instants, money, progress, a refusal.

Upstream: api/people.py and the commands of this folder.
Downstream: standard output for answers, standard error for words about them.
Guarantee: what agents wrote reaches the terminal without control characters, so that no text of a run can move the
cursor, hide a line or retitle the window; without a terminal there is no colour and no line is broken.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import quote

import typer

from api.client import ApiClient, ApiError, find_door
from api.tracy.sanitise import strip_invisible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

STYLES: Final = {"ok": "green", "error": "red", "blocked": "yellow", "running": "cyan", "incomplete": "magenta"}
SEVERITIES: Final = {"critical": "red", "warning": "yellow", "info": "cyan"}
# Columns of free text, which give way when there is no room.
_LONG: Final = frozenset({"name", "what", "where"})
_PLAIN_WIDTH: Final = 200
EXIT_INTERRUPTED: Final = 130

# A text, or a text with its style.
Cell = str | tuple[str, str]


@contextmanager
def asked(url: str, key: str) -> Iterator[ApiClient]:
    """Give a connection to the API; a refusal ends the command with its words and its exit code."""
    try:
        with ApiClient(find_door(url, key)) as api:
            yield api
    except ApiError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


def answered(ask: Callable[[ApiClient], dict[str, Any]], *, url: str, key: str, as_json: bool) -> dict[str, Any]:
    """Ask the API and return its document; with --json it is printed, and the command ends here."""
    with asked(url, key) as api:
        found = ask(api)
    if as_json:
        print_json(found)
        raise typer.Exit
    return found


def fail(message: str, exit_code: int) -> NoReturn:
    """End the command."""
    say(message)
    raise typer.Exit(exit_code)


def say(text: str) -> None:
    """Print a line of words, to standard error."""
    typer.echo(one_line(text), err=True)


def print_json(document: Any) -> None:
    """Print one JSON value on one line, at once."""
    print(json.dumps(document, ensure_ascii=False), flush=True)


def one_line(text: str) -> str:
    """Text as it may stand on a line of a terminal."""
    return " ".join(strip_invisible(text).split())


def table_of(names: Sequence[str], rows: Sequence[Sequence[Cell]], right: frozenset[str] = frozenset()) -> "Table":
    """Make a table; columns named in ``right`` are numbers."""
    from rich.table import Table

    table = Table(header_style="bold", box=None, pad_edge=False)
    for name in names:
        long = name in _LONG
        table.add_column(
            text_of(name),
            overflow="ellipsis" if long else "fold",
            no_wrap=True,
            justify="right" if name in right else "left",
        )
    for row in rows:
        table.add_row(*map(text_of, row))
    return table


def print_table(names: Sequence[str], rows: Sequence[Sequence[Cell]], right: frozenset[str] = frozenset()) -> None:
    """Print a table, or say that there is nothing."""
    if rows:
        console().print(table_of(names, rows, right))
    else:
        typer.echo("Nothing found.", err=True)


def text_of(cell: Cell) -> "Text":
    """Text of a cell; brackets in the data are not read as styles."""
    from rich.text import Text

    text, style = (cell, "") if isinstance(cell, str) else cell
    return Text(one_line(text), style)


def console() -> "Console":
    """Make the console for answers."""
    from rich.console import Console

    # A file or a pipe has no width; ids must not be broken there.
    return Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH, highlight=False)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[str, int, int], None]]:
    """Give what shows how far it is: what is done, how much of it, of how much (0: nobody knows yet).

    On standard error, and only on a terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    text = TextColumn("{task.description}")
    columns = (SpinnerColumn(), text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=None)
        yield lambda what, num_done, num_all: bar.update(
            task, description=what, completed=num_done, total=num_all or None
        )


def quoted(name: str) -> str:
    """Name as a part of a path."""
    return quote(name, safe="")


def instant(text: str | None) -> str:
    """Instant to the second (UTC)."""
    return "" if text is None else text[:19].replace("T", " ")


def signed_usd(amount: str | None) -> str:
    """Difference in dollars with its sign; nothing when it is not known."""
    return "" if amount is None else amount if amount.startswith("-") or amount == "0" else f"+{amount}"


def duration(duration_ms: int | None) -> str:
    """Duration for people; an ellipsis while it lasts."""
    if duration_ms is None:
        return "…"
    if duration_ms < 1000:
        return f"{duration_ms} ms"
    minutes, seconds = divmod(duration_ms / 1000, 60)
    return f"{seconds:.1f} s" if not minutes else f"{minutes:.0f} min {seconds:.0f} s"
