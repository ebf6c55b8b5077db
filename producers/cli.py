"""Commands of this stage; ``api.cli`` joins them into ``clawtrace``.

Upstream: the person at the keyboard, the supervisor.
Downstream: the gateway, guard policies, access keys, migrations, topics, replay.
Guarantee: what a person can put right is said in plain words on stderr with exit code 1, never as a stack trace; with
--json, stdout is one JSON document.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer

from infra.runtime.access_keys import (
    InvalidKeyRequest,
    KeyRecord,
    create_key,
    list_keys,
    read_pepper,
    revoke_key,
)
from infra.runtime.database import DatabaseAway, make_engine, migrate
from infra.runtime.kafka import KafkaAway, TopicMismatch, provision_topics
from infra.runtime.logging import configure_logging
from infra.runtime.metrics import describe_process
from infra.runtime.settings import StackSettings
from infra.runtime.topics import TopicSpec
from producers.contracts.guard import GuardAction, GuardPosture, GuardScope, InvalidPolicy, LimitAction
from producers.settings import GatewaySettings

# How long requests under way may take at a stop, beyond the delivery timeout there is nothing to wait for.
STOP_TIMEOUT_S = 20

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def _plain_errors(command: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    @wraps(command)
    def guarded(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return command(*args, **kwargs)
        except (DatabaseAway, KafkaAway, TopicMismatch, InvalidKeyRequest, InvalidPolicy) as error:
            typer.secho(str(error), fg="red", err=True)
            raise typer.Exit(1) from None

    return guarded


gateway_app = typer.Typer(no_args_is_help=True, help="The door that events come in by.")
keys_app = typer.Typer(no_args_is_help=True, help="Access keys: make, list, revoke.")
db_app = typer.Typer(no_args_is_help=True, help="Our own small tables in Postgres.")
guard_app = typer.Typer(no_args_is_help=True, help="What agents may spend, and what happens at the limit.")
replay_app = typer.Typer(help="Send captured runs to the gateway.")
import_app = typer.Typer(no_args_is_help=True, help="Fill in from transcripts what was never captured.")


@gateway_app.callback()
def _gateway() -> None:
    """Keep ``run`` a command of its own: typer would fold a single command into its parent."""


@gateway_app.command("run")
@_plain_errors
def run_gateway(
    port: Annotated[int | None, typer.Option(help="Port to listen on; default: the port base.")] = None,
) -> None:
    """Run the gateway until it is told to stop."""
    # Here and not above: the other commands start faster without them.
    import uvicorn

    from producers.gateway.app import create_app

    configure_logging("gateway")
    settings = GatewaySettings() if port is None else GatewaySettings(gateway_port=port)
    describe_process("gateway", settings.home)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.gateway_host,
        port=settings.listen_port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
    )
    server = uvicorn.Server(config)
    app.state.is_stopping = lambda: server.should_exit
    server.run()
    if not server.started:
        raise typer.Exit(1)


@keys_app.command("create")
@_plain_errors
def keys_create(
    tenant: Annotated[str, typer.Option(help="Who pays and sees: 6 to 32 small letters and digits.")],
    scope: Annotated[str, typer.Option(help="ingest (one agent sends), read, or admin.")],
    agent: Annotated[str | None, typer.Option(help="The OpenClaw install the key is for; needed for ingest.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. It is shown once and cannot be shown again."""
    settings = StackSettings()
    pepper = read_pepper(settings.key_pepper_file)
    made = create_key(make_engine(settings), pepper, tenant_id=tenant, agent_id=agent, scope=scope)
    who = made.principal
    if as_json:
        shown = {"key_id": who.key_id, "tenant_id": who.tenant_id, "agent_id": who.agent_id, "scope": who.scope}
        typer.echo(json.dumps({"key": made.key, **shown}))
        return
    typer.echo(made.key)
    typer.secho(
        f"{who.scope} key {who.key_id} of tenant {who.tenant_id}, agent {who.agent_id or 'any'}. "
        "It is not stored and cannot be shown again.",
        err=True,
    )


@keys_app.command("list")
@_plain_errors
def keys_list(as_json: JsonOption = False) -> None:
    """List every key, revoked ones too; never their secrets."""
    keys = list_keys(make_engine(StackSettings()))
    if as_json:
        typer.echo(json.dumps([_key_as_json(key) for key in keys]))
        return
    rows: list[tuple[str, ...]] = [("key_id", "tenant", "agent", "scope", "created", "last used", "revoked")]
    for key in keys:
        shown = _key_as_json(key)
        rows.append(tuple(shown[column] or "-" for column in shown))
    # No rich table: it cuts ids short where there is no terminal, and an id is for copying.
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@keys_app.command("revoke")
@_plain_errors
def keys_revoke(key_id: Annotated[str, typer.Argument(help="The key's id, as keys list shows it.")]) -> None:
    """Revoke a key; it stops working everywhere within five seconds."""
    if not revoke_key(make_engine(StackSettings()), key_id):
        typer.secho(f"there is no key {key_id}; clawtrace keys list shows them", fg="red", err=True)
        raise typer.Exit(1)
    typer.echo(f"revoked {key_id}")


def _key_as_json(key: KeyRecord) -> dict[str, str | None]:
    who = key.principal
    return {
        "key_id": who.key_id,
        "tenant_id": who.tenant_id,
        "agent_id": who.agent_id,
        "scope": who.scope,
        "created_at": _iso(key.created_at),
        "last_used_at": _iso(key.last_used_at),
        "revoked_at": _iso(key.revoked_at),
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None


@db_app.callback()
def _db() -> None:
    """Keep ``migrate`` a command of its own."""


@db_app.command("migrate")
@_plain_errors
def db_migrate() -> None:
    """Create the schema control, or bring it up to date. Safe to run at any time."""
    before, after = migrate(make_engine(StackSettings()))
    typer.echo(f"schema control is at {after}" if before == after else f"schema control: {before or 'new'} -> {after}")


def make_topics_app(specs: Sequence[TopicSpec]) -> typer.Typer:
    """Make ``clawtrace topics`` for these topics; whoever sees all stages gives the list."""
    topics_app = typer.Typer(no_args_is_help=True, help="Kafka topics.")

    @topics_app.callback()
    def _topics() -> None:
        """Keep ``provision`` a command of its own."""

    @topics_app.command("provision")
    @_plain_errors
    def provision(as_json: JsonOption = False) -> None:
        """Create the topics that are missing and verify the others. Safe to run at any time."""
        done = provision_topics(StackSettings().kafka_bootstrap, specs)
        if as_json:
            rows = [{"name": item.name, "action": item.action, "partitions": item.partitions} for item in done]
            typer.echo(json.dumps(rows))
            return
        for item in done:
            typer.echo(f"{item.action:9}  {item.name}  ({item.partitions} partitions)")

    return topics_app


TenantOption = Annotated[str, typer.Option(help="Who pays and sees.")]
AgentOption = Annotated[str, typer.Option(help="The OpenClaw install, as its key names it.")]


@guard_app.command("set")
@_plain_errors
def guard_set(
    tenant: TenantOption,
    agent: AgentOption,
    run_usd: Annotated[str | None, typer.Option(help="Limit of a run with its sub-agents; none for no limit.")] = None,
    session_usd: Annotated[str | None, typer.Option(help="Limit of a session; none for no limit.")] = None,
    day_usd: Annotated[str | None, typer.Option(help="Limit of the agent per day (UTC); none for no limit.")] = None,
    action: Annotated[LimitAction | None, typer.Option(help="What happens at a limit; at first: abort.")] = None,
    posture: Annotated[
        GuardPosture | None,
        typer.Option(help="While the server is away: last (what holds goes on holding), open or closed."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Set limits. What is not named stays as it is; agents know within two seconds."""
    from producers.gateway.guard_admin import change_by_text, say_policies

    engine = make_engine(StackSettings())
    changed = change_by_text(
        engine,
        tenant,
        agent,
        limits={"run_limit_usd": run_usd, "session_limit_usd": session_usd, "agent_day_limit_usd": day_usd},
        action=action,
        posture=posture,
    )
    typer.echo(say_policies([changed], as_json=as_json))


@guard_app.command("show")
@_plain_errors
def guard_show(
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only of this OpenClaw install.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the policy of every agent that has one."""
    from producers.gateway.guard_admin import say_policies
    from producers.gateway.guard_policies import list_policies

    typer.echo(say_policies(list_policies(make_engine(StackSettings()), tenant, agent), as_json=as_json))


@guard_app.command("remove")
@_plain_errors
def guard_remove(tenant: TenantOption, agent: AgentOption) -> None:
    """Take an agent's policy away: no limits, the last word holds; agents know within two seconds."""
    from producers.gateway.guard_policies import remove_policy

    if not remove_policy(make_engine(StackSettings()), tenant, agent):
        typer.secho(f"agent {agent} of {tenant} has no policy", fg="red", err=True)
        raise typer.Exit(1)
    typer.echo(f"removed the policy of {agent} of {tenant}")


@guard_app.command("verdict")
@_plain_errors
def guard_verdict(
    tenant: TenantOption,
    agent: AgentOption,
    action: Annotated[GuardAction, typer.Option(help="note, block, ask, abort; release opens what is closed.")],
    scope: Annotated[GuardScope, typer.Option(help="What it covers.")] = "agent",
    scope_id: Annotated[str, typer.Option("--id", help="Run id or session key; an agent or tenant needs none.")] = "",
    reason: Annotated[str, typer.Option(help="Plain sentence that the user may be shown.")] = "somebody decided so",
    minutes: Annotated[float, typer.Option(min=0.1, max=44_640, help="When it lapses by itself.")] = 60,
    as_json: JsonOption = False,
) -> None:
    """Send a verdict by hand: stop an agent, a session or a run, or release it."""
    from producers.gateway.guard_admin import send_verdict

    sent = send_verdict(
        GatewaySettings(),
        tenant,
        agent,
        action=action,
        scope=scope,
        scope_id=scope_id,
        reason=reason,
        minutes=minutes,
    )
    typer.echo(sent.as_json() if as_json else sent.as_sentence())


@replay_app.command("replay")
def replay(
    files: Annotated[list[Path], typer.Argument(help="Capture files (JSON lines).", exists=True, dir_okay=False)],
    key: Annotated[str, typer.Option(help="An ingest key.", envvar="CLAWTRACE_KEY")],
    endpoint: Annotated[str, typer.Option(help="The gateway; default: the local one.")] = "",
    speed: Annotated[
        float, typer.Option(min=0, help="0: at once; 1: as fast as it was captured; 2: twice as fast.")
    ] = 0,
    now: Annotated[
        bool, typer.Option(help="Move the events' times so that the last one is now; they count as new events.")
    ] = False,
    until: Annotated[
        str,
        typer.Option(
            help="The same with an instant (2026-11-24T08:00:00Z); with the same one they are the same events."
        ),
    ] = "",
    agent_events: Annotated[bool, typer.Option(help="Send the agent-events file beside each capture, too.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Send captured runs to the gateway, as the plugin would. Sending a file again changes nothing."""
    from producers.replay.command import instant_us, replay_files

    replay_files(
        files,
        endpoint=endpoint or StackSettings().gateway_url,
        key=key,
        speed=speed,
        until_us=instant_us(until, now=now),
        agent_events=agent_events,
        as_json=as_json,
    )


@import_app.callback()
def _import() -> None:
    """Keep ``openclaw`` a command of its own."""


@import_app.command("openclaw")
def import_openclaw(
    path: Annotated[
        Path, typer.Argument(help="OpenClaw's state folder (~/.openclaw), its database, or a .jsonl file.", exists=True)
    ],
    read_key: Annotated[
        str, typer.Option(help="A read key, to ask what is there already.", envvar="CLAWTRACE_READ_KEY")
    ],
    key: Annotated[
        str, typer.Option(help="An ingest key of the agent; not needed for --dry-run.", envvar="CLAWTRACE_KEY")
    ] = "",
    endpoint: Annotated[str, typer.Option(help="The gateway; default: the local one.")] = "",
    api: Annotated[str, typer.Option(help="The API; default: the local one.")] = "",
    settled_minutes: Annotated[
        float,
        typer.Option(min=0, help="Leave runs alone that ended less than this long ago: they may be on their way."),
    ] = 60,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be added.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Add the runs, model calls and tool calls of OpenClaw's transcripts that were never captured.

    What the tables have is not sent again: importing a session that was captured, or importing twice, changes nothing.
    """
    from producers.replay.transcript_import import import_openclaw as import_transcripts

    if not key and not dry_run:
        raise typer.BadParameter("an ingest key is needed to send anything; or add --dry-run", param_hint="--key")
    settings = StackSettings()
    import_transcripts(
        path,
        endpoint=endpoint or settings.gateway_url,
        key=key,
        api=api or settings.api_url,
        read_key=read_key,
        settled_minutes=settled_minutes,
        dry_run=dry_run,
        as_json=as_json,
    )
