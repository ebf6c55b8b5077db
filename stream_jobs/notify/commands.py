"""The commands of the notifier: run it, and say where alerts are told.

Upstream: people and the supervisor, through ``clawtrace``.
Downstream: ``process``, ``admin``, ``dead``.
Guarantee: secrets are read from files or standard input when they are given as @FILE or @-, and never printed; what a
person can put right is said in plain words on stderr with exit code 1; with --json, stdout is one JSON document.
"""

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

from infra.runtime.logging import configure_logging
from infra.runtime.metrics import describe_process
from stream_jobs.contracts.alert import AlertSeverity
from stream_jobs.contracts.channel import InvalidChannel, parse_channel
from stream_jobs.settings import NotifierSettings

if TYPE_CHECKING:
    from stream_jobs.notify.admin import ListedChannel
    from stream_jobs.notify.deliver import Deliverer

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
TenantOption = Annotated[str | None, typer.Option(help="Whose channel; needed when several tenants have the name.")]
NameArgument = Annotated[str, typer.Argument(help="Its name.")]

notifier_app = typer.Typer(no_args_is_help=True, help="Run the notifier.")
channels_app = typer.Typer(no_args_is_help=True, help="Say where alerts are told, and try it.")


@notifier_app.callback()
def _notifier() -> None:
    """Keep ``run`` a command of its own."""


@notifier_app.command("run")
def run_notifier_command() -> None:
    """Tell people of alerts until told to stop."""
    configure_logging("notifier")
    import structlog

    from stream_jobs.notify.process import NeedsPerson, run_notifier

    settings = NotifierSettings()
    describe_process("notifier", settings.home)
    try:
        run_notifier(settings)
    except NeedsPerson as error:
        structlog.get_logger(__name__).critical("notifier_stopped", reason=str(error))
        raise typer.Exit(1) from None


def _plain_errors(command: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    @wraps(command)
    def guarded(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        from infra.runtime.database import DatabaseAway
        from stream_jobs.notify.vault import VaultClosed

        try:
            return command(*args, **kwargs)
        except (DatabaseAway, InvalidChannel, VaultClosed) as error:
            typer.secho(str(error), fg="red", err=True)
            raise typer.Exit(1) from None

    return guarded


@channels_app.command("add")
@_plain_errors
def channels_add(
    kind: Annotated[str, typer.Argument(help="webhook, slack, email, pagerduty, discord, telegram or alertmanager.")],
    name: NameArgument,
    tenant: Annotated[str, typer.Option(help="Whose alerts.")],
    url: Annotated[str | None, typer.Option(help="Address; @FILE or @- reads it (it may hold a token).")] = None,
    secret: Annotated[str | None, typer.Option(help="webhook: key of the signature, base64; @FILE or @-.")] = None,
    host: Annotated[str | None, typer.Option(help="email: mail server.")] = None,
    port: Annotated[int | None, typer.Option(help="email: its port; at first 587.")] = None,
    security: Annotated[str | None, typer.Option(help="email: starttls, tls or none; at first starttls.")] = None,
    sender: Annotated[str | None, typer.Option(help="email: From.")] = None,
    to: Annotated[list[str] | None, typer.Option(help="email: To; several times for several.")] = None,
    username: Annotated[str | None, typer.Option(help="email, alertmanager: login.")] = None,
    password: Annotated[str | None, typer.Option(help="email, alertmanager: password; @FILE or @-.")] = None,
    routing_key: Annotated[str | None, typer.Option(help="pagerduty: integration key; @FILE or @-.")] = None,
    bot_token: Annotated[str | None, typer.Option(help="telegram: token of the bot; @FILE or @-.")] = None,
    chat_id: Annotated[str | None, typer.Option(help="telegram: number of the chat, or @name.")] = None,
    resend_seconds: Annotated[int | None, typer.Option(help="alertmanager: how often; at first 60.")] = None,
    min_severity: Annotated[AlertSeverity, typer.Option(help="Least severity that is told.")] = "info",
    rule: Annotated[list[str] | None, typer.Option(help="Only this rule; several times for several.")] = None,
    agent: Annotated[list[str] | None, typer.Option(help="Only this OpenClaw install; several times.")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="Only this state (ok, warn, alert, no_data); several times.")
    ] = None,
    renotify_minutes: Annotated[int, typer.Option(help="Tell again this often while it lasts; 0: never.")] = 0,
) -> None:
    """Add a channel. It is told of alerts from now on."""
    from infra.runtime.database import make_engine
    from stream_jobs.notify.admin import add_channel
    from stream_jobs.notify.vault import Vault

    given: dict[str, Any] = {
        "url": _read("url", url),
        "secret": _read("secret", secret),
        "host": host,
        "port": port,
        "security": security,
        "sender": sender,
        "to": to or None,
        "username": username,
        "password": _read("password", password),
        "routing_key": _read("routing_key", routing_key),
        "bot_token": _read("bot_token", bot_token),
        "chat_id": chat_id,
        "resend_seconds": resend_seconds,
    }
    filters = {"min_severity": min_severity, "rules": rule or (), "agents": agent or ()}
    channel = parse_channel(
        {
            "tenant_id": tenant,
            "name": name,
            "target": {"kind": kind, **{field: value for field, value in given.items() if value is not None}},
            "filters": filters | ({"states": state} if state else {}),
            "renotify_minutes": renotify_minutes,
        }
    )
    settings = NotifierSettings()
    add_channel(make_engine(settings), Vault(settings.notify_key_file), _deliverer(settings), channel)
    typer.echo(f"added {channel.kind} channel {name} of {tenant}; clawtrace channels test {name} tries it")


@channels_app.command("list")
@_plain_errors
def channels_list(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None, as_json: JsonOption = False
) -> None:
    """List channels with what is open and what waits; secrets are not shown."""
    from infra.runtime.database import make_engine
    from stream_jobs.notify.admin import list_channels

    found = list_channels(make_engine(NotifierSettings()), tenant)
    if as_json:
        typer.echo(json.dumps([it.as_builtins() for it in found]))
    elif not found:
        typer.echo("there is no channel; clawtrace channels add makes one")
    else:
        head = ("channel", "tenant", "kind", "to", "from", "again", "open", "waiting", "dead")
        _say_table([head, *map(_row, found)])


@channels_app.command("remove")
@_plain_errors
def channels_remove(name: NameArgument, tenant: TenantOption = None) -> None:
    """Remove a channel with all that waits for it."""
    from infra.runtime.database import make_engine
    from stream_jobs.notify.admin import remove_channel

    whose = remove_channel(make_engine(NotifierSettings()), name, tenant)
    typer.echo(f"removed channel {name} of {whose}")


@channels_app.command("test")
@_plain_errors
def channels_test(name: NameArgument, tenant: TenantOption = None) -> None:
    """Send a test message now, and say whether it arrived."""
    from infra.runtime.database import make_engine
    from stream_jobs.notify.admin import test_channel
    from stream_jobs.notify.vault import Vault

    settings = NotifierSettings()
    outcome = test_channel(
        make_engine(settings),
        Vault(settings.notify_key_file),
        _deliverer(settings),
        name,
        tenant,
        settings.notify_base_url,
    )
    if not outcome.is_sent:
        typer.secho(f"{name}: {outcome.reason}", fg="red", err=True)
        raise typer.Exit(1)
    typer.echo(f"{name} took the test message")


@channels_app.command("dead")
@_plain_errors
def channels_dead(
    name: Annotated[str | None, typer.Argument(help="Only this channel's.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try them anew.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the messages that were given up, with their reasons."""
    from infra.runtime.database import make_engine
    from stream_jobs.notify.dead import list_dead, retry_dead

    engine = make_engine(NotifierSettings())
    if retry:
        num_tried = retry_dead(engine, tenant, name)
        typer.echo(json.dumps({"num_retried": num_tried}) if as_json else f"{num_tried} are tried anew")
        return
    found = list_dead(engine, tenant, name)
    if as_json:
        typer.echo(json.dumps([it.as_builtins() for it in found]))
    elif not found:
        typer.echo("there is no dead letter")
    else:
        rows = [
            (
                *(it.message_id, it.tenant_id, it.channel, str(it.num_alerts), str(it.num_tries)),
                it.dead_at.isoformat(timespec="seconds"),
                it.reason,
            )
            for it in found
        ]
        _say_table([("message", "tenant", "channel", "alerts", "tries", "given up", "reason"), *rows])


def _deliverer(settings: NotifierSettings) -> "Deliverer":
    from stream_jobs.notify.deliver import Deliverer
    from stream_jobs.notify.outbound import Guard

    return Deliverer.behind(Guard(settings.allowed_networks))


def _read(field: str, value: str | None) -> str | None:
    """Take a value as it is, or from the file or standard input that it names."""
    if value is None or not value.startswith("@"):
        return value
    try:
        return (sys.stdin.read() if value == "@-" else Path(value[1:]).read_text()).strip()
    except (OSError, UnicodeDecodeError):
        raise InvalidChannel(f"{field}: the file {value[1:]} cannot be read") from None


def _row(it: "ListedChannel") -> tuple[str, ...]:
    where = str(it.target.get("url") or it.target.get("host") or "")
    again = f"{it.renotify_minutes} min" if it.renotify_minutes else "-"
    counts = (str(it.num_open), str(it.num_waiting), str(it.num_dead))
    return (it.name, it.tenant_id, it.kind, where, str(it.filters["min_severity"]), again, *counts)


def _say_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
