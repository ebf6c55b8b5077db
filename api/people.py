"""Commands that show traces and alerts to people: `traces`, `trace`, `diff`, `alerts`.

Upstream: a person at a terminal, or a script with --json.
Downstream: the HTTP API, through api/client.py.
Guarantee: --json prints the API's own document; exit code 0 when there is an answer, 1 when the API is away, 2 when the
question is at fault; errors go to stderr in plain words.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.client import ApiClient
from api.console.options import JsonOption, KeyOption, OnlyAgentOption, TraceArgument, UrlOption
from api.console.printing import (
    SEVERITIES,
    STYLES,
    answered,
    console,
    duration,
    instant,
    one_line,
    print_table,
    quoted,
    signed_usd,
)
from api.kit.values import decimal_text
from api.views.columns import usd

if TYPE_CHECKING:
    from rich.text import Text

traces_app = typer.Typer(help="List traces.")
trace_app = typer.Typer(help="Show one trace as a tree.")
diff_app = typer.Typer(help="Show what a second run did differently, and what that cost.")
alerts_app = typer.Typer(help="List alerts, see to one, or keep one quiet.")


@traces_app.command()
def traces(
    agent: OnlyAgentOption = None,
    session: Annotated[str | None, typer.Option(help="Only of this session key.")] = None,
    status: Annotated[str | None, typer.Option(help="running, ok, error, blocked or incomplete.")] = None,
    model: Annotated[str | None, typer.Option(help="Some call was of this model.")] = None,
    tool: Annotated[str | None, typer.Option(help="Some call was of this tool.")] = None,
    text: Annotated[str | None, typer.Option(help="In the name or in an error.")] = None,
    label: Annotated[str | None, typer.Option(help="With this label, as key:value; skill:3f2a91c07be4.")] = None,
    min_cost: Annotated[str | None, typer.Option(help="Least cost in dollars.")] = None,
    sort: Annotated[str, typer.Option(help="started_at, cost_usd, duration_ms or tokens; - is downwards.")] = (
        "-started_at"
    ),
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most traces to list.")] = 20,
    as_json: JsonOption = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """List traces, the newest first unless --sort says otherwise."""
    query = {
        "agent_id": agent,
        "session_key": session,
        "status": status,
        "model": model,
        "tool": tool,
        "text": text,
        "label": label,
        "min_cost_usd": min_cost,
        "sort": sort,
        "limit": limit,
    }
    page = answered(lambda api: api.get("/v1/traces", **query), url=url, key=key, as_json=as_json)
    columns = ("trace", "started", "name", "status", "cost $", "tokens", "calls", "took")
    rows = [
        (
            item["trace_id"],
            instant(item["started_at"]),
            item["name"],
            (item["status"], STYLES.get(item["status"], "")),
            item["cost_usd"] or "",
            f"{sum(item['tokens'].values()):,}",
            str(item["num_model_calls"] + item["num_tool_calls"]),
            duration(item["duration_ms"]),
        )
        for item in page["items"]
    ]
    print_table(columns, rows, right=frozenset({"cost $", "tokens", "calls", "took"}))
    if page["next_cursor"]:
        typer.echo("There are more; narrow them down or raise --limit.", err=True)


@trace_app.command()
def trace(
    trace_id: TraceArgument,
    as_json: JsonOption = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """Show one trace as a tree, with what each step took and cost."""
    path = f"/v1/traces/{quoted(trace_id)}/skeleton"
    _print_tree(answered(lambda api: api.get(path), url=url, key=key, as_json=as_json))


@diff_app.command()
def diff(
    before: Annotated[str, typer.Argument(help="The first trace.")],
    after: Annotated[str, typer.Argument(help="The second trace.")],
    limit: Annotated[int, typer.Option(min=1, max=2_000, help="Most differences to list.")] = 20,
    as_json: JsonOption = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """Show what the second trace did differently; the costs of the differences add up to the whole."""
    path = f"/v1/traces/{quoted(before)}/diff/{quoted(after)}"
    found = answered(lambda api: api.get(path, limit=limit), url=url, key=key, as_json=as_json)
    rows = [
        (item["change"], " › ".join(item["path"]), signed_usd(item["cost_delta_usd"]), _signed_tokens(item))
        for item in found["items"]
    ]
    if found["num_differences"] > len(rows):
        rest = found["num_differences"] - len(rows)
        rows.append(("", f"{rest} more", signed_usd(found["rest_cost_delta_usd"]), ""))
    print_table(("change", "where", "cost $", "tokens"), rows, right=frozenset({"cost $", "tokens"}))
    totals = (found["totals_before"], found["totals_after"])
    typer.echo(
        f"cost {totals[0]['cost_usd']} → {totals[1]['cost_usd']} ({signed_usd(found['cost_delta_usd'])}), "
        f"spans {totals[0]['num_spans']} → {totals[1]['num_spans']}, {found['num_aligned']} the same"
    )


@alerts_app.command()
def alerts(
    all_of_them: Annotated[bool, typer.Option("--all", help="Also those that are acked or snoozed.")] = False,
    state: Annotated[str | None, typer.Option(help="ok, warn, alert or no_data.")] = None,
    ack: Annotated[str | None, typer.Option(metavar="ALERT", help="Say that this alert is seen to.")] = None,
    note: Annotated[str | None, typer.Option(help="With --ack: what is done about it.")] = None,
    snooze: Annotated[str | None, typer.Option(metavar="ALERT", help="Keep this alert quiet for a while.")] = None,
    minutes: Annotated[int, typer.Option(min=1, help="With --snooze: for how long.")] = 60,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most alerts to list.")] = 50,
    as_json: JsonOption = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """List open alerts, the newest first; --ack and --snooze need a key with the scope operate or admin."""

    def ask(api: ApiClient) -> dict[str, Any]:
        if ack is not None:
            return api.put(f"/v1/alerts/{quoted(ack)}/ack", {"note": note})
        if snooze is not None:
            return api.put(f"/v1/alerts/{quoted(snooze)}/snooze", {"minutes": minutes})
        return api.get("/v1/alerts", open=None if all_of_them else True, state=state, limit=limit)

    found = answered(ask, url=url, key=key, as_json=as_json)
    rows = [
        (
            item["alert_id"],
            instant(item["at"]),
            (item["severity"], SEVERITIES.get(item["severity"], "")),
            item["state"],
            item["message"],
            f"quiet until {instant(item['snoozed_until'])}" if item["snoozed_until"] else _acked(item),
        )
        for item in found.get("items", [found])
    ]
    print_table(("alert", "at", "severity", "state", "what", ""), rows)
    if found.get("next_cursor"):
        typer.echo("There are more; raise --limit.", err=True)


def _print_tree(skeleton: dict[str, Any]) -> None:
    from rich.text import Text
    from rich.tree import Tree

    head = skeleton["trace"]
    label = Text.assemble((one_line(head["name"]), "bold"), f"  {head['trace_id']}  {instant(head['started_at'])}  ")
    label.append(f"$ {head['cost_usd'] or 'unpriced'}  {duration(head['duration_ms'])}  ")
    label.append(head["status"], STYLES.get(head["status"], ""))
    tree = Tree(label)
    below: list[list[int]] = [[] for _ in skeleton["span_id"]]
    roots: list[int] = []
    for index, parent in enumerate(skeleton["parent"]):
        (roots if parent < 0 else below[parent]).append(index)
    describe = _describer(skeleton)
    ahead = [(tree, index) for index in reversed(roots)]
    while ahead:
        branch, index = ahead.pop()
        twig = branch.add(describe(index))
        ahead.extend((twig, child) for child in reversed(below[index]))
    console().print(tree)
    if skeleton["truncated"]:
        typer.echo("The trace has more spans; read them with clawtrace sql.", err=True)


def _describer(skeleton: dict[str, Any]) -> "Callable[[int], Text]":
    from rich.text import Text

    def describe(index: int) -> Text:
        status = skeleton["statuses"][skeleton["status"][index]]
        text = Text(one_line(skeleton["strings"][skeleton["name"][index]]))
        duration_us = skeleton["duration_us"][index]
        text.append(f"  {duration(None if duration_us is None else duration_us // 1000)}", "dim")
        if skeleton["cost_e12"][index] is not None:
            text.append(f"  $ {decimal_text(usd(skeleton['cost_e12'][index]))}")
        if skeleton["flags"][index] >= 0:
            text.append(f"  {skeleton['strings'][skeleton['flags'][index]]}", "yellow")
        if status != "ok":
            text.append(f"  {status}", STYLES.get(status, ""))
        return text

    return describe


def _signed_tokens(item: dict[str, Any]) -> str:
    return f"{item['after']['tokens'] - item['before']['tokens']:+,}"


def _acked(item: dict[str, Any]) -> str:
    return f"acked by {item['acked_by']}" if item["is_acked"] else ""
