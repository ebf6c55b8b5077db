"""`clawtrace budgets`: how the budgets of a tenant stand; `clawtrace budgets run` is the process that keeps them.

Upstream: a person at a terminal, or a script with --json; the supervisor.
Downstream: ``GET /v1/budgets``; stream_jobs/cli.py.
Guarantee: as the other commands over the API; the process imports nothing of them. Budgets are set and removed with
`clawtrace budget`, at the machine of the stack.
"""

from typing import TYPE_CHECKING, Any

import typer

from api.console.options import JsonOption, KeyOption, UrlOption
from stream_jobs.cli import run_budgets

if TYPE_CHECKING:
    from api.console.printing import Cell

budgets_app = typer.Typer()
budgets_app.command("run")(run_budgets)

_STYLES = {"ok": "green", "warn": "yellow", "alert": "red"}


@budgets_app.callback(invoke_without_command=True)
def budgets(context: typer.Context, as_json: JsonOption = False, key: KeyOption = "", url: UrlOption = "") -> None:
    """Show the budgets of the key's tenant: what is spent, what is left, their state, and when the window ends.

    At the machine of the stack `clawtrace budget set` and `remove` change them, and `budget list` shows all tenants'.
    """
    if context.invoked_subcommand is not None:
        return
    from api.console.printing import answered, print_table, say

    page = answered(lambda api: api.get("/v1/budgets"), url=url, key=key, as_json=as_json)
    if not page["items"]:
        say("There is no budget; clawtrace budget set makes one.")
        return
    names = (
        "budget",
        "scope",
        "window",
        "unit",
        "limit",
        "spent",
        "left",
        "%",
        "state",
        "action",
        "until (UTC)",
        "stopped",
    )
    print_table(names, [_row(item) for item in page["items"]], frozenset({"limit", "spent", "left", "%"}))


def scope_text(item: dict[str, Any]) -> str:
    """Whose spending counts, in a few words."""
    parts = [item["agent_id"] or "all agents", item["openclaw_agent_id"], item["session_prefix"]]
    return " / ".join(part for part in parts if part)


def _row(item: dict[str, Any]) -> "list[Cell]":
    from api.console.printing import instant

    amounts = [item["limit"], item["spent"], item["left"], item["percent"]]
    head: list[Cell] = [item["budget_id"], scope_text(item), item["window"], item["unit"], *amounts]
    state = (item["state"], _STYLES.get(item["state"], ""))
    return [*head, state, item["action"], instant(item["window_end"]), (", ".join(item["stopped"]), "red")]
