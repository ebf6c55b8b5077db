"""The demo: captured OpenClaw runs through the real stack, and what came out of it.

Upstream: the captures in ``producers/replay/captures``; the command ``clawtrace`` and the API, as any user has them.
Downstream: a person at a terminal.
Guarantee: it uses only public doors, so what it shows is what a user gets. The runs end when the demo runs first, so
the pages show them as today's. Run twice, it doubles nothing: that instant is kept, and a replay that ends at the same
one sends the same spool ids and sequence numbers.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx2
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from infra.runtime.settings import StackSettings

TENANT_ID = "clawdemo"
AGENT_ID = "openclaw-captures"
SCENARIOS = ("multi-tool", "tool-error", "anthropic", "subagent", "runaway")
VISIBLE_WITHIN_S = 90.0
POLL_EVERY_S = 0.5
PLAIN_WIDTH = 160
FIRST_SQL = "SELECT name, cost_usd FROM traces"
SQL = (
    "SELECT model, count(*) AS calls, sum(input_tokens) AS input, sum(cache_read_tokens) AS cache_read, "
    "sum(cache_write_tokens) AS cache_write, sum(output_tokens) AS output, sum(cost_usd) AS cost_usd "
    "FROM spans WHERE kind = 'model_call' GROUP BY model ORDER BY cost_usd DESC"
)

STATUS_STYLES = {
    "ok": "green",
    "error": "red",
    "blocked": "yellow",
    "running": "cyan",
    "incomplete": "magenta",
}

app = typer.Typer()


@dataclass(frozen=True)
class DemoKeys:
    """The two keys of the demo tenant: one to send with, one to read with.

    ``until`` is the instant at which the runs end; empty in a home of an older version, whose runs keep their times.
    """

    ingest: str
    read: str
    until: str = ""


def _captures_folder() -> Path:
    return Path(str(files("producers.replay"))) / "captures"


def _clawtrace(*arguments: str, capture: bool = False) -> str:
    """Run a ``clawtrace`` command as a user would; stop the demo with its exit code when it fails."""
    command = [sys.executable, "-m", "api.cli", *arguments]
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE if capture else None)
    if done.returncode != 0:
        raise typer.Exit(done.returncode)
    return done.stdout or ""


def write_demo_config(settings: StackSettings) -> bool:
    """Put prices of the scripted provider and the demo's alert limit where the stitcher reads them.

    Files that are there already are a user's and stay. Returns whether anything was written.
    """
    folder = settings.home / "config"
    folder.mkdir(parents=True, exist_ok=True)
    written = False
    for name in ("prices.toml", "rules.toml"):
        if not (folder / name).exists():
            (folder / name).write_text((_captures_folder() / name).read_text())
            written = True
    return written


def _keys(settings: StackSettings) -> DemoKeys:
    """Return the demo's keys; made once and kept beside the other secrets."""
    kept = settings.secrets_folder / "demo-keys.json"
    if kept.exists():
        return DemoKeys(**json.loads(kept.read_text()))
    made = {"until": datetime.now(UTC).isoformat(timespec="seconds")}
    for scope in ("ingest", "read"):
        arguments = ["keys", "create", "--tenant", TENANT_ID, "--agent", AGENT_ID, "--scope", scope, "--json"]
        made[scope] = json.loads(_clawtrace(*arguments, capture=True))["key"]
    with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(made, file)
    return DemoKeys(**made)


def _wait_for_traces(api: httpx2.Client, console: Console) -> list[dict[str, Any]]:
    """Poll the API until every replayed run is there, closed and whole; fail in plain words when it is not."""
    deadline = time.monotonic() + VISIBLE_WITHIN_S
    with console.status("Waiting until the runs can be read with SQL …"):
        while True:
            answer = api.get("/v1/traces", params={"limit": 100})
            answer.raise_for_status()
            details = [api.get(f"/v1/traces/{item['trace_id']}").json() for item in answer.json()["items"]]
            if len(details) >= len(SCENARIOS) and all(_is_whole(detail) for detail in details):
                return details
            if time.monotonic() > deadline:
                console.print(
                    f"Only {len(details)} of {len(SCENARIOS)} runs were complete after {VISIBLE_WITHIN_S:.0f} s. "
                    "See 'clawtrace status' and 'clawtrace logs sink'."
                )
                raise typer.Exit(1)
            time.sleep(POLL_EVERY_S)


def _is_whole(detail: dict[str, Any]) -> bool:
    trace = detail.get("trace")
    return trace is not None and not trace["is_open"] and len(detail["spans"]) == trace["num_spans"]


def _usd(value: str | None) -> str:
    return "unpriced" if value is None else f"${Decimal(value):.6f}"


def _tokens(tokens: dict[str, int] | None) -> str:
    counts = tokens or {}
    names = {"input": "in", "cache_read": "cache read", "cache_write": "cache write", "output": "out"}
    return " · ".join(f"{counts[field]:,} {name}" for field, name in names.items() if counts.get(field))


def _kind_of_run(span: dict[str, Any]) -> str:
    """Say what a run is for, when it is not simply the user's."""
    if (span["run_id"] or "").startswith("announce:"):
        return "tells the user what the sub-agent found"
    return "sub-agent" if ":subagent:" in (span["session_key"] or "") else ""


def _label(span: dict[str, Any]) -> Text:
    line = Text(span["name"])
    line.append(f"  {span['status']}", style=STATUS_STYLES.get(span["status"], ""))
    if span["duration_ms"] is not None:
        line.append(f"  {span['duration_ms']} ms", style="dim")
    if span["kind"] == "run" and (what := _kind_of_run(span)):
        line.append(f"  {what}", style="dim")
    if span["kind"] == "model_call":
        line.append(f"  {_usd(span['cost_usd'])}", style="bold")
        line.append(f"  {_tokens(span['tokens'])}", style="dim")
    if span.get("exit_code"):
        line.append(f"  exit code {span['exit_code']}", style="yellow")
    if span.get("error"):
        line.append(f"  {span['error'].splitlines()[0][:80]}", style="red")
    return line


def render_trace(detail: dict[str, Any]) -> Tree:
    """Draw one trace as a tree, children in the order they started."""
    trace = detail["trace"]
    head = Text(f"{trace['name']}", style="bold")
    head.append(f"\n{_usd(trace['cost_usd'])}", style="bold")
    head.append(f" · {trace['status']} · {_tokens(trace['tokens'])} · {trace['num_spans']} spans", style="dim")
    tree = Tree(head)
    nodes: dict[str | None, Tree] = {}
    spans = sorted(detail["spans"], key=lambda span: (span["started_at"], span["span_id"]))
    known = {span["span_id"] for span in spans}
    waiting = spans
    while waiting:
        later = []
        for span in waiting:
            parent = span["parent_span_id"] if span["parent_span_id"] in known else None
            if parent is None or parent in nodes:
                nodes[span["span_id"]] = (tree if parent is None else nodes[parent]).add(_label(span))
            else:
                later.append(span)
        if len(later) == len(waiting):  # a circle of parents cannot be drawn; show its spans at the top
            known = set()
        waiting = later
    return tree


def _show_alert(api: httpx2.Client, console: Console) -> None:
    items = api.get("/v1/alerts").json()["items"]
    if not items:
        console.print("No alert has fired; that is not what the demo expects. See 'clawtrace logs stitcher'.")
        raise typer.Exit(1)
    alert = items[0]
    table = Table(title="An alert that fired", show_header=False, title_justify="left")
    table.add_row("rule", f"{alert['rule']} ({alert['severity']}, {alert['state']})")
    table.add_row("message", alert["message"])
    for name, value in sorted(alert["evidence"].items()):
        table.add_row(name, value)
    table.add_row("trace", alert["trace_id"])
    console.print(table)


@app.command()
def demo() -> None:
    """Set up the stack, replay captured OpenClaw runs through it and show what comes out."""
    settings = StackSettings()
    # A pipe or a file has no width: write whole lines there.
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    started = time.monotonic()
    write_demo_config(settings)
    _clawtrace("up")
    keys = _keys(settings)
    paths = [str(_captures_folder() / f"{name}.jsonl") for name in SCENARIOS]
    console.print("\nReplaying captured OpenClaw runs through the gateway:")
    moved = ("--until", keys.until) if keys.until else ()
    _clawtrace("replay", *paths, "--endpoint", settings.gateway_url, "--key", keys.ingest, *moved)
    with httpx2.Client(
        base_url=settings.api_url,
        headers={"Authorization": f"Bearer {keys.read}"},
        timeout=30,
        trust_env=False,
    ) as api:
        details = _wait_for_traces(api, console)
        for detail in sorted(details, key=lambda found: found["trace"]["started_at"]):
            console.print()
            console.print(render_trace(detail))
        console.print()
        _show_alert(api, console)
        are_pages_built = api.get("/").is_success
    console.print(f"\n{SQL}", highlight=False, soft_wrap=True)
    _clawtrace("sql", SQL)
    console.print("\nLook here:")
    places = {
        "Pages": f"{settings.api_url} (sign in with {keys.read})" if are_pages_built else "not built yet: make web",
        "Traces": f'curl -H "Authorization: Bearer {keys.read}" {settings.api_url}/v1/traces',
        "API": f"{settings.api_url}/docs",
        "SQL": f'.venv/bin/clawtrace sql "{FIRST_SQL}"',
        "Trino": f"{settings.trino_url} (infra/sql.md: DBeaver, notebook, command line)",
        "Metrics": f"{settings.gateway_url}/metrics",
        "State": ".venv/bin/clawtrace status",
    }
    for name, place in places.items():
        console.print(f"  {name:8} {place}", highlight=False, soft_wrap=True)
    console.print("Stop it with: make down")
    console.print(f"The demo took {time.monotonic() - started:.0f} s.")
