"""`clawtrace configs`: what an agent was made of, version by version, and what two versions say differently.

Upstream: a person at a terminal, or a script with --json.
Downstream: ``GET /v1/agents/{agent_id}/configs`` and its children.
Guarantee: as the other commands over the API.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from api.console.options import JsonOption, KeyOption, UrlOption
from api.console.printing import Cell, answered, instant, one_line, print_table, quoted, say
from api.tracy.sanitise import strip_invisible

configs_app = typer.Typer(no_args_is_help=True)

_VERSION_COLUMNS = (
    "config",
    "agent",
    "model",
    "skills",
    "first run (UTC)",
    "last run (UTC)",
    "traces",
    "tools",
    "dollars",
)
_NUMBERS = frozenset({"traces", "tools", "dollars"})
_CHANGE_COLUMNS = ("changed (UTC)", "by", "skill", "before", "after", "what")

AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", help="The OpenClaw install.")]
DaysOption = Annotated[int, typer.Option("--days", min=1, max=90, help="How far to look back.")]
HashArgument = Annotated[str, typer.Argument(metavar="HASH", help="12 hex digits, as list prints them.")]


@configs_app.command("list")
def list_configs(
    agent: AgentArgument, days: DaysOption = 30, as_json: JsonOption = False, key: KeyOption = "", url: UrlOption = ""
) -> None:
    """List versions of an agent's configuration: since when, how many runs, at what cost; and why skills changed."""
    found = _read(agent, days, url=url, key=key, as_json=as_json)
    if not found["items"]:
        say(f"No run of {agent} in the last {days} days says what it was made of; plugins from 0.5 on tell it.")
    else:
        print_table(_VERSION_COLUMNS, [_version_row(item) for item in found["items"]], _NUMBERS)
    if found["skill_changes"]:
        typer.echo("")
        print_table(_CHANGE_COLUMNS, [_change_row(item) for item in found["skill_changes"]])


@configs_app.command("show")
def show(
    agent: AgentArgument,
    version: HashArgument,
    days: DaysOption = 30,
    as_json: JsonOption = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """Show one version: models, settings, tools, plugins, skills and files of the prompt, without secrets."""
    found = _read(agent, days, f"/{version}", url=url, key=key, as_json=as_json)
    models = " then ".join([found["primary_model"], *found["fallback_models"]])
    typer.echo(f"config    {found['hash']} of {found['openclaw_agent_id']}, OpenClaw {found['openclaw_version']}")
    typer.echo(f"model     {models}")
    for name in ("settings", "tools", "guard"):
        typer.echo(f"{name:9} {json.dumps(found[name], ensure_ascii=False)}")
    typer.echo(f"plugins   {', '.join(found['plugins'])}")
    typer.echo(f"skills    {found['skill']} all together")
    rows: list[list[Cell]] = [
        [kind, item["name"], item["version"], str(item["chars"]), item["location"] or ""]
        for kind, field in (("skill", "skills"), ("file", "files"))
        for item in found[field]
    ]
    print_table(("kind", "name", "version", "characters", "where"), rows, frozenset({"characters"}))


@configs_app.command("diff")
def diff(
    agent: AgentArgument,
    before: Annotated[str, typer.Argument(metavar="OLD", help="Hash of the first version.")],
    after: Annotated[str, typer.Argument(metavar="NEW", help="Hash of the second version.")],
    days: DaysOption = 30,
    as_json: JsonOption = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """Say what the second version has otherwise; texts of skills and files as a unified diff."""
    found = _read(agent, days, "/diff", url=url, key=key, as_json=as_json, before=before, after=after)
    for change in found["values"]:
        typer.echo(one_line(f"{change['path']}: {change['before'] or 'not set'} -> {change['after'] or 'not set'}"))
    for change in found["texts"]:
        typer.echo(
            one_line(f"{change['kind']} {change['name']}: {change['before'] or 'none'} -> {change['after'] or 'none'}")
        )
        for line in (change["diff"] or "its text was not told").splitlines():
            typer.echo(f"  {strip_invisible(line)}")
    if not found["values"] and not found["texts"]:
        say("They say the same.")


def _read(agent: str, days: int, path: str = "", *, url: str, key: str, as_json: bool, **query: str) -> dict[str, Any]:
    path = f"/v1/agents/{quoted(agent)}/configs{path}"
    since = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    return answered(lambda api: api.get(path, **{"from": since, **query}), url=url, key=key, as_json=as_json)


def _version_row(item: dict[str, Any]) -> list[Cell]:
    name: Cell = (item["hash"], "green") if item["is_current"] else item["hash"]
    times = [instant(item["first_run_at"]), instant(item["last_run_at"])]
    counts = [str(item["num_traces"]), str(item["num_tool_calls"]), item["cost_usd"] or ""]
    return [name, item["openclaw_agent_id"] or "", item["model"] or "", item["skill"] or "", *times, *counts]


def _change_row(item: dict[str, Any]) -> list[Cell]:
    what = item["action"] + (f": {item['why']}" if item["why"] else "")
    return [instant(item["at"]), item["source"], item["skill"], item["before"] or "none", item["after"] or "none", what]
