"""The commands of ``clawtrace prices``.

Upstream: people.
Downstream: ``stream_jobs.prices``.
Guarantee: exit code 0 when it was done, 1 when something is away, wrong or unknown, in plain words on stderr; with
--json, stdout is one JSON document. Nothing heavy is imported before a command runs.
"""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

prices_app = typer.Typer(no_args_is_help=True, help="What models cost: look it up, set it, price history again.")

TIMEOUT_S = 60.0

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
TenantOption = Annotated[str, typer.Option(help="Prices of this tenant; default: those for all.")]
DayOption = Annotated[str, typer.Option("--at", help="Day (UTC), as 2026-11-23; default: today.")]
FileOption = Annotated[
    Path | None, typer.Option("--file", help="The price file; default: the one of gateway and stitcher.")
]


@prices_app.command("list")
def list_prices(
    provider: Annotated[str, typer.Option(help="Only this provider, by OpenClaw's name or the list's.")] = "",
    model: Annotated[str, typer.Option(help="Only models with this text in their name.")] = "",
    at: DayOption = "",
    tenant: TenantOption = "",
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the price of every model that is known, in dollars per million tokens."""
    from stream_jobs.prices.show import as_table, listed_prices, read_book

    try:
        rows = listed_prices(read_book(file or _price_file()), provider, model, tenant, _day(at, "--at"))
    except ValueError as error:
        _stop(error)
    typer.echo(json.dumps(rows) if as_json else as_table(rows))


@prices_app.command("show")
def show_price(
    provider: Annotated[str, typer.Argument(help="OpenClaw's name of the provider.")],
    model: Annotated[str, typer.Argument(help="OpenClaw's name of the model.")],
    at: Annotated[
        str, typer.Option("--at", help="Day or instant (UTC), as 2026-11-23 or 2026-11-23T02:00; default: now.")
    ] = "",
    tenant: TenantOption = "",
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what one model costs, with its tiers, and which list says so."""
    from stream_jobs.prices.show import NoPrice, in_words, one_price, read_book

    try:
        found = one_price(read_book(file or _price_file()), provider, model, tenant, _instant_us(at))
    except (NoPrice, ValueError) as error:
        _stop(error)
    typer.echo(json.dumps(found) if as_json else in_words(found))


@prices_app.command("set")
def set_price(
    provider: Annotated[str, typer.Argument(help="OpenClaw's name of the provider.")],
    model: Annotated[str, typer.Argument(help="OpenClaw's name of the model; * for all of the provider.")],
    input_usd: Annotated[str, typer.Option("--input", help="Dollars per million tokens of fresh input.")],
    output_usd: Annotated[str, typer.Option("--output", help="The same of output, reasoning included.")],
    cache_read_usd: Annotated[
        str | None, typer.Option("--cache-read", help="Of what is read from the cache; default: as input.")
    ] = None,
    cache_write_usd: Annotated[
        str | None, typer.Option("--cache-write", help="Of what is written to the cache; default: as input.")
    ] = None,
    cache_write_1h_usd: Annotated[
        str | None,
        typer.Option(
            "--cache-write-1h", help="Of what is kept for an hour; default: as written, twice input for Claude."
        ),
    ] = None,
    tiers: Annotated[
        list[str] | None,
        typer.Option(
            "--tier",
            metavar="TOKENS:PRICES",
            help="Of calls whose whole prompt is longer, as 200000:input=6,output=22.50,cache-read=0.60; more than "
            "once for several.",
        ),
    ] = None,
    no_tiers: Annotated[bool, typer.Option("--no-tiers", help="Take the tiers away that the row has.")] = False,
    effective_from: Annotated[str, typer.Option("--from", help="First day (UTC); default: always.")] = "",
    effective_until: Annotated[str, typer.Option("--until", help="First day on which it holds no more.")] = "",
    tenant: Annotated[str | None, typer.Option(help="Only for this tenant; default: for all.")] = None,
    source: Annotated[str | None, typer.Option(help="Where the price is from, for whoever reads the file.")] = None,
    file: FileOption = None,
) -> None:
    """Write a price into the price file; gateway and stitcher read it within seconds. Calls of the past keep theirs."""
    from stream_jobs.prices.price_file import CannotWrite, HasTiers
    from stream_jobs.prices.price_file import set_price as write_price

    path = file or _price_file()
    fields = {
        "provider": provider,
        "model": model,
        "input_usd_per_mtok": input_usd,
        "output_usd_per_mtok": output_usd,
        "cache_read_usd_per_mtok": cache_read_usd,
        "cache_write_usd_per_mtok": cache_write_usd,
        "cache_write_1h_usd_per_mtok": cache_write_1h_usd,
        "effective_from": _day(effective_from, "--from") if effective_from else None,
        "effective_until": _day(effective_until, "--until") if effective_until else None,
        "tenant_id": tenant,
        "source": source,
        "tiers": [_tier(text) for text in tiers] if tiers else [] if no_tiers else None,
    }
    try:
        is_new = write_price(path, fields)
    except HasTiers as error:
        _stop(f"{error} (--tier, --no-tiers)")
    except (CannotWrite, OSError) as error:
        _stop(error)
    typer.echo(f"{'added' if is_new else 'changed'} {provider}/{model} in {path}")
    typer.echo("calls of the past keep their cost; clawtrace prices reprice shows what would change", err=True)


@prices_app.command("check")
def check_file(
    file: Annotated[Path | None, typer.Argument(help="Price file; default: the one of gateway and stitcher.")] = None,
) -> None:
    """Say whether a price file is right, or which row and field is not."""
    from stream_jobs.prices.show import read_book

    path = file or _price_file()
    if not path.is_file():
        _stop(f"there is no file {path}")
    try:
        num_prices = len(read_book(path).overrides)
    except (ValueError, OSError) as error:
        _stop(error)
    typer.echo(f"{path}: {num_prices} prices, all right")


@prices_app.command("reprice")
def reprice(
    since: Annotated[str, typer.Option(help="First day (UTC), as 2026-11-01.")],
    read_key: Annotated[str, typer.Option(help="A read key; it decides the tenant.", envvar="CLAWTRACE_READ_KEY")],
    until: Annotated[str, typer.Option(help="Last day (UTC); default: today.")] = "",
    agent: Annotated[str, typer.Option(help="Only calls of this OpenClaw install; needed with --apply.")] = "",
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without, it is only said what would change.")] = False,
    key: Annotated[
        str, typer.Option(help="An ingest key of the agent; needed with --apply.", envvar="CLAWTRACE_KEY")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why; it is kept with the request.")] = "prices were corrected",
    endpoint: Annotated[str, typer.Option(help="The gateway; default: the local one.")] = "",
    api: Annotated[str, typer.Option(help="The API; default: the local one.")] = "",
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which calls of the past today's prices would cost otherwise; with --apply, price them again.

    The stitcher does it, by its own price list and from its own memory: calls, runs and traces get new revisions, and
    what was reported by OpenClaw stays beside them. Doing it twice changes nothing.
    """
    import httpx2

    from infra.runtime.settings import StackSettings
    from stream_jobs.prices.history import HistoryAway, find_changes
    from stream_jobs.prices.reprice import NotSent, in_words, report_of, send_changes
    from stream_jobs.prices.show import read_book

    if apply and not (agent and key):
        raise typer.BadParameter("--apply prices the calls of one agent: name it with --agent, and give its --key")
    first, last = _day(since, "--since"), _day(until, "--until")
    if first > last:
        raise typer.BadParameter(f"{first} is after {last}", param_hint="--since")
    settings = StackSettings()
    try:
        book = read_book(file or _price_file())
        with httpx2.Client(base_url=api or settings.api_url, timeout=TIMEOUT_S) as client:
            changes = list(find_changes(client, read_key, book, first, last, agent))
        num_requests = 0
        if apply and changes:
            with httpx2.Client(base_url=endpoint or settings.gateway_url, timeout=TIMEOUT_S) as client:
                num_requests = send_changes(client, key, changes, reason)
    except (HistoryAway, NotSent, ValueError) as error:
        _stop(error)
    report = report_of(changes) | {"applied": bool(num_requests), "requests": num_requests}
    typer.echo(json.dumps(report) if as_json else in_words(report))
    if changes and not as_json:
        typer.echo(
            "asked for; ask again without --apply in a minute to see what is left"
            if num_requests
            else "nothing was changed; add --apply (with --agent and --key) to do it",
            err=True,
        )


def _tier(text: str) -> dict[str, Any]:
    above, _, prices = text.partition(":")
    try:
        named = dict(price.split("=", 1) for price in prices.split(","))
        return {"above_prompt_tokens": int(above)} | {
            f"{name.strip().replace('-', '_')}_usd_per_mtok": usd.strip() for name, usd in named.items()
        }
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: write tokens and prices as 200000:input=6,output=22.50", param_hint="--tier"
        ) from None


def _price_file() -> Path:
    from stream_jobs.settings import StitcherSettings

    return StitcherSettings().prices_file


def _day(text: str, option: str) -> date:
    if not text:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day; write it as 2026-11-23", param_hint=option) from None


def _instant_us(text: str) -> int:
    try:
        at = datetime.fromisoformat(text) if text else datetime.now(UTC)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day or instant", param_hint="--at") from None
    if len(text) == len("2026-11-23"):
        at = at.replace(hour=12)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(at.timestamp() * 1_000_000)


def _stop(error: object) -> NoReturn:
    typer.secho(str(error), fg="red", err=True)
    raise typer.Exit(1)
