"""Commands of the lakehouse: `clawtrace lake`, `clawtrace sink`, `clawtrace upkeep`.

Upstream: people, the supervisor.
Downstream: catalog, sink, maintenance.
Guarantee: every command that changes something says what it did, as text or with --json for programs.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import structlog
import typer

from infra.runtime.logging import configure_logging
from infra.runtime.metrics import describe_process

lake_app = typer.Typer(help="Create, evolve and look after the tables.", no_args_is_help=True)
sink_app = typer.Typer(help="Run the sink.", no_args_is_help=True)
upkeep_app = typer.Typer(help="Run the upkeep of the tables.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


# typer makes a single command into the whole app; an empty callback keeps `sink run` two words.
@sink_app.callback()
def _sink() -> None:
    """Move records from topics to tables."""


@upkeep_app.callback()
def _upkeep() -> None:
    """Keep the tables small and quick."""


@lake_app.command("provision")
def provision(as_json: JsonOption = False) -> None:
    """Create the tables that are missing, add columns that are missing, set properties; never drops anything."""
    from lakehouse.catalog.connect import connect_catalog
    from lakehouse.catalog.provision import provision_tables
    from lakehouse.contracts.tables import TABLES
    from lakehouse.settings import LakeSettings

    settings = LakeSettings()
    with _clear_words("Postgres or the warehouse"):
        changes = provision_tables(connect_catalog(settings), settings.silver_namespace, TABLES)
    _print([change.as_json() for change in changes], [change.describe() for change in changes], as_json)


@lake_app.command("views")
def views(as_json: JsonOption = False) -> None:
    """Create or replace the views that people and the API read."""
    from lakehouse.catalog.publish_views import publish_views
    from lakehouse.settings import LakeSettings

    with _clear_words("Trino"):
        changes = publish_views(LakeSettings())
    _print([change.as_json() for change in changes], [change.describe() for change in changes], as_json)


@lake_app.command("tables")
def tables(as_json: JsonOption = False) -> None:
    """List the views with their columns, notes and example questions."""
    from dataclasses import asdict

    from lakehouse.contracts.manifest import build_manifest

    manifest = build_manifest()
    lines = []
    for view in manifest:
        lines.append(f"\n{view.name}: {view.doc}")
        lines.extend(f"  {column.name} {column.sql_type} — {column.doc}" for column in view.columns)
        lines.extend(f"  note: {note}" for note in view.notes)
        lines.extend(f"  {question}\n    {sql}" for question, sql in view.examples)
    _print([asdict(view) for view in manifest], lines, as_json)


@lake_app.command("upkeep")
def upkeep_once(
    table: Annotated[str | None, typer.Option("--table", help="Only this table.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run every upkeep procedure once: optimize, expire snapshots, remove orphan files."""
    from lakehouse.contracts.tables import TABLES, table_named
    from lakehouse.maintenance.procedures import Upkeep
    from lakehouse.settings import UpkeepSettings

    try:
        wanted = TABLES if table is None else (table_named(table),)
    except KeyError as error:
        raise typer.BadParameter(str(error.args[0])) from error
    configure_logging("lake")
    outcomes = Upkeep(UpkeepSettings()).run_all(wanted)
    _print([outcome.as_json() for outcome in outcomes], [outcome.describe() for outcome in outcomes], as_json)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


@lake_app.command("rebuild")
def rebuild_tables(
    origin: Annotated[
        Literal["log", "events"], typer.Option("--from", help="The events topic itself, or the table silver.events.")
    ] = "events",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make spans, traces, edges, agents, tenants, alerts and cards again from what was captured; the sink goes on."""
    from rich.console import Console
    from rich.progress import Progress

    from lakehouse.maintenance.lock import TablesBusy
    from lakehouse.maintenance.swap import FilesMoved, NotCommitted
    from lakehouse.rebuild.rebuild import as_json as result_json
    from lakehouse.rebuild.rebuild import rebuild
    from lakehouse.rebuild.sources import SourceGone
    from lakehouse.settings import SinkSettings
    from lakehouse.sink.source import KafkaAway, PlaceGone
    from stream_jobs.restitch import StitcherSettings

    configure_logging("lake")
    with (
        _clear_words("Postgres, Kafka, Trino or the warehouse"),
        Progress(console=Console(stderr=True), transient=True) as bar,
    ):
        task = bar.add_task("records", total=None)
        try:
            results = rebuild(
                SinkSettings(),
                StitcherSettings(),
                origin,
                is_dry=dry_run,
                tell=lambda done, total: bar.update(task, completed=done, total=total),
            )
        except (SourceGone, TablesBusy, KafkaAway, PlaceGone, FilesMoved, NotCommitted) as error:
            typer.echo(f"not rebuilt: {error}", err=True)
            raise typer.Exit(1) from None
    done = "would have" if dry_run else "has"
    lines = [
        f"{it.table}: {done} {it.num_rows_after} rows in the place of {it.num_rows_before}"
        + (f"; {it.num_rows_kept} rows stay as they are" if it.num_rows_kept else "")
        for it in results
    ]
    _print([result_json(it) for it in results], lines, as_json)


@lake_app.command("erase")
def erase(
    tenant: Annotated[str, typer.Option(help="Whose.")],
    trace: Annotated[str | None, typer.Option(help="Only this trace.")] = None,
    session: Annotated[
        str | None, typer.Option(help="Only this session, by key or id, with its traces until now.")
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Only of this OpenClaw install; without it of all.")] = None,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the receipt.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Needed to erase a whole tenant; there is no way back.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Erase a trace, a session or a whole tenant for good: tables, snapshots, files; prints the receipt."""
    from lakehouse.erasure.command import NotDone, erase_now
    from lakehouse.settings import UpkeepSettings

    if trace is not None and session is not None:
        raise typer.BadParameter("give a trace or a session, not both")
    if trace is None and session is None:
        if agent is not None:
            raise typer.BadParameter("a tenant is erased with all its installs; leave --agent out")
        if not yes:
            raise typer.BadParameter(f"this erases all of {tenant}; say --yes when that is meant")
    configure_logging("lake")
    with _clear_words("Postgres, Kafka, Trino or the warehouse"):
        try:
            receipt = erase_now(
                UpkeepSettings(),
                tenant,
                trace=trace,
                session=session,
                agent=agent or "",
                reason=reason,
                tell=lambda step: typer.echo(f"  {step}", err=True),
            )
        except NotDone as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None
    if as_json:
        typer.echo(receipt.model_dump_json(indent=2))
        return
    typer.echo(f"erased {receipt.scope} {receipt.id} of {receipt.tenant_id}: {receipt.num_traces} traces")
    for table in receipt.tables:
        if table.num_rows:
            typer.echo(f"  {table.table}: {table.num_rows} rows, {table.num_files_removed} files removed")
    gone_by = max((topic.gone_by for topic in receipt.topics if topic.gone_by), default=None)
    if gone_by is not None:
        typer.echo(f"  topics: the last bytes are gone by {gone_by:%Y-%m-%d %H:%M} UTC; nobody can ask for them")
    for rest in receipt.elsewhere:
        typer.echo(f"  not part of it: {rest.place}: {rest.what}; {rest.until}")


@sink_app.command("run")
def run_sink() -> None:
    """Read the topics and commit to the tables until stopped."""
    from lakehouse.settings import SinkSettings
    from lakehouse.sink.process import NeedsPerson, SinkProcess

    configure_logging("sink")
    settings = SinkSettings()
    describe_process("sink", settings.home)
    try:
        SinkProcess(settings).run()
    except NeedsPerson as error:
        structlog.get_logger(__name__).critical("sink_stopped", reason=str(error))
        raise typer.Exit(1) from None


@upkeep_app.command("run")
def run_upkeep() -> None:
    """Look after the tables on a schedule until stopped."""
    from lakehouse.maintenance.schedule import UpkeepProcess
    from lakehouse.settings import UpkeepSettings

    configure_logging("upkeep")
    settings = UpkeepSettings()
    describe_process("upkeep", settings.home)
    UpkeepProcess(settings).run()


@contextmanager
def _clear_words(what: str) -> Iterator[None]:
    """End the command with one line when what it needs is away or refuses."""
    from sqlalchemy.exc import SQLAlchemyError
    from trino.exceptions import Error as TrinoError

    from infra.runtime.database import DatabaseAway
    from infra.runtime.kafka import KafkaAway
    from lakehouse.catalog.provision import TypeMismatch

    try:
        yield
    except (DatabaseAway, KafkaAway) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    # An OSError is also what the HTTP client raises, and a missing password file.
    except (SQLAlchemyError, TrinoError, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        typer.echo(f"{what} does not answer as it should: {reason}\nIs the stack running? (make up)", err=True)
        raise typer.Exit(1) from None
    except TypeMismatch as error:
        typer.echo(f"{error}. Nothing changes a column's type: rename the column in the contract.", err=True)
        raise typer.Exit(1) from None


def _print(as_data: list[dict[str, Any]], as_text: list[str], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(as_data, indent=2))
    else:
        typer.echo("\n".join(as_text))
