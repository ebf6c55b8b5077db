"""`clawtrace rules backtest`: try a rule on what is stored.

Upstream: a person at a terminal, or a script with --json.
Downstream: ``POST /v1/rules/{rule}/backtest``.
Guarantee: --json prints the API's own result; exit code 0 when there is a result, 1 when the API is away or the
backtest failed, 2 when the question is at fault. The progress bar is on standard error, and only on a terminal.
"""

import json
from typing import Annotated, Any

import typer

from api.client import EXIT_AWAY, EXIT_QUESTION, exit_code_of
from api.console.options import JsonOption, KeyOption, UrlOption
from api.console.printing import SEVERITIES, asked, fail, instant, print_json, print_table, progress_bar, quoted, say

rules_app = typer.Typer(no_args_is_help=True, help="Try alert rules.")

_SHOWN = 20


@rules_app.callback()
def _rules() -> None:
    """Try alert rules."""


@rules_app.command("backtest")
def backtest(
    rule: Annotated[str, typer.Argument(help="The rule, as in alerts: run_cost, tool_loop, …")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Try this setting; more than once for several."),
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Only this OpenClaw install.")] = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="How far back to begin.")] = 30,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most alerts and runs that --json lists.")] = 500,
    as_json: JsonOption = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """Say what a rule would have done to the runs of the last days, had it stopped what it fires on.

    Stored events run through the functions that run live, with the settings of now and those of --set. It needs a key
    with the scope operate or admin. Nothing is changed.
    """
    body: dict[str, Any] = {"settings": dict(map(_setting, changes or ())), "days": days, "limit": limit}
    if agent is not None:
        body["agent_id"] = agent
    result: dict[str, Any] | None = None
    with asked(url, key) as api, progress_bar("events") as progress:
        for name, data in api.post_stream(f"/v1/rules/{quoted(rule)}/backtest", body):
            match name:
                case "progress":
                    progress("events", data["num_events"], data["num_events_total"])
                case "result":
                    result = data
                case "error":
                    fail(data["message"], exit_code_of(data["code"]))
    if result is None:
        fail("the API ended its answer before there was a result", EXIT_AWAY)
    if as_json:
        print_json(result)
    else:
        _print(result)


def _setting(text: str) -> tuple[str, Any]:
    """Name and value; a list or a table is JSON, all else the API reads as the setting is."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        fail(f"--set {text}: write it as name=value", EXIT_QUESTION)
    if value.startswith(("[", "{")):
        try:
            return name, json.loads(value)
        except ValueError:
            fail(f"--set {name}: {value} is no JSON", EXIT_QUESTION)
    return name, value


def _print(result: dict[str, Any]) -> None:
    rows = [
        (
            item["alert_id"],
            instant(item["fired_at"]),
            (item["severity"], SEVERITIES.get(item["severity"], "")),
            item["trace_id"] or "",
            item["message"],
            item["saved_usd"],
            "yes" if item["recorded"] else "no",
        )
        for item in result["firings"][:_SHOWN]
    ]
    names = ("alert", "would fire at", "severity", "trace", "what", "saves $", "was raised")
    print_table(names, rows, right=frozenset({"saves $"}))
    if result["num_fired"] > len(rows):
        say(f"{result['num_fired'] - len(rows)} more; --json lists them")
    if result["hurt_runs"]:
        typer.echo("Finished runs that it would have stopped:")
        hurt = [
            (it["trace_id"], it["run_id"], it["agent_id"], it["cost_usd"] or "", it["spent_after_usd"])
            for it in result["hurt_runs"][:_SHOWN]
        ]
        columns = ("trace", "run", "agent", "cost $", "well spent $")
        print_table(columns, hurt, right=frozenset(columns[3:]))
    typer.echo(
        f"{result['rule']} over {result['num_events']:,} events since {instant(result['since'])}: fires "
        f"{result['num_fired']} times ({result['num_recorded']} recorded, {result['num_both']} the same); stops "
        f"{result['num_runs_stopped']} runs and saves {result['saved_usd']} $ in {result['num_calls_saved']} calls, of "
        f"which {result['hurt_usd']} $ in {result['num_runs_hurt']} runs that ended well"
    )
