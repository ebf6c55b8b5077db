"""`clawtrace reread` and `clawtrace why`: what a run paid for again, and why it cost more than usual.

Upstream: a person at a terminal, or a script with --json.
Downstream: ``GET /v1/traces/{trace_id}/reread`` and ``/why``.
Guarantee: --json prints the API's own document; exit code 0 when there is an answer, 1 when the API is away, 2 when the
question is at fault.
"""

from typing import Annotated, Any

import typer

from api.console.options import JsonOption, KeyOption, TraceAgentOption, TraceArgument, UrlOption
from api.console.printing import answered, duration, print_table, quoted, say, signed_usd

reread_app = typer.Typer(help="Show which tool results were paid for again, and where the prompt cache broke.")
why_app = typer.Typer(help="Show why a run cost more than its task usually does.")

LimitOption = Annotated[int, typer.Option(min=1, max=2_000, help="Most lines to list.")]


@reread_app.command()
def reread(
    trace_id: TraceArgument,
    agent: TraceAgentOption = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """Show which tool result was paid for again in how many later calls, and where the prompt cache broke and why."""
    found = _read(trace_id, "reread", agent, limit, as_json, key, url)
    rows = [
        (
            *(it["span_id"], it["tool_name"], f"{it['num_tokens']:,}", str(it["num_again"])),
            *(it["cost_usd"] or "", it["again_usd"] or ""),
        )
        for it in found["results"]
    ]
    names = ("tool call", "name", "tokens", "read again", "cost $", "again $")
    print_table(names, rows, right=frozenset(names[2:]))
    if found["cache_breaks"]:
        typer.echo("The prompt cache broke:")
        breaks = [
            (
                *(it["span_id"], it["reason"], it["model"]),
                "" if it["pause_ms"] is None else duration(it["pause_ms"]),
                f"{it['lost_tokens']:,}",
                it["cost_usd"] or "",
            )
            for it in found["cache_breaks"]
        ]
        columns = ("model call", "because", "model", "pause", "lost tokens", "cost $")
        print_table(columns, breaks, right=frozenset(columns[3:]))
    typer.echo(
        f"{found['num_results']} results cost {found['cost_usd'] or 'unpriced'} $, {found['again_usd'] or '0'} $ of it "
        f"again; {found['num_cache_breaks']} breaks of the cache cost {found['cache_breaks_usd'] or 'unpriced'} $"
    )
    _warn(found)


@why_app.command()
def why(
    trace_id: TraceArgument,
    agent: TraceAgentOption = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """Compare a run with the run of median cost among the others of its task; the parts add up to the difference."""
    found = _read(trace_id, "why", agent, limit, as_json, key, url)
    if found["usual"] is None:
        say(f"There is no other run of {found['task_id']} in the 30 days before; nothing to compare with.")
        return
    rows = [
        (it["reason"], " › ".join(it["path"]), _span(it), signed_usd(it["cost_delta_usd"])) for it in found["items"]
    ]
    if found["num_items"] > len(rows):
        rest = found["num_items"] - len(rows)
        rows.append(("", f"{rest} more", "", signed_usd(found["rest_cost_delta_usd"])))
    print_table(("because", "where", "step", "cost $"), rows, right=frozenset({"cost $"}))
    reasons = ", ".join(f"{it['reason']} {signed_usd(it['cost_delta_usd'])}" for it in found["reasons"])
    times = "" if found["times"] is None else f", {found['times']:.1f} times as much"
    typer.echo(
        f"cost {found['usual']['cost_usd']} (median of {found['num_runs']} runs, {found['usual']['trace_id']}) → "
        f"{found['trace']['cost_usd']} ({signed_usd(found['cost_delta_usd'])}{times}): {reasons or 'no difference'}"
    )
    _warn(found)


def _read(trace_id: str, what: str, agent: str | None, limit: int, as_json: bool, key: str, url: str) -> dict[str, Any]:
    path = f"/v1/traces/{quoted(trace_id)}/{what}"
    return answered(lambda api: api.get(path, agent_id=agent, limit=limit), url=url, key=key, as_json=as_json)


def _span(item: dict[str, Any]) -> str:
    step = item["after"] or item["before"]
    return str(step["span_id"])


def _warn(found: dict[str, Any]) -> None:
    if found["truncated"]:
        say("The trace has more spans than were looked at.")
