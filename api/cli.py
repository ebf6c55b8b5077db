"""The one command, ``clawtrace``: joins the commands of all stages and loads only the one that is called.

Upstream: the command modules of infra, producers, stream_jobs, lakehouse and api.
Downstream: people, the supervisor, CI.
Guarantee: starting one process never imports the libraries of another, which keeps each of them small.
"""

import importlib
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

# name -> (where it is, one line of help). A target that is a typer app becomes a group; a name that the app
# itself holds is taken out of it.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("infra.local.cli:app", "Start the local stack and wait until every part is healthy."),
    "down": ("infra.local.cli:app", "Stop the local stack; nothing is left running."),
    "status": ("infra.local.cli:app", "Say how each part is; --json for programs."),
    "logs": ("infra.local.cli:app", "Show the logs of the parts."),
    "fetch": ("infra.local.cli:app", "Download everything the local stack needs."),
    "lock": ("infra.local.cli:app", "Resolve the Maven artifacts anew and write their lock (for developers)."),
    "demo": ("infra.local.demo:app", "Replay captured runs through the real stack and show what comes out."),
    "config": ("api.config:config_app", "Show every setting with its value; secrets stay hidden."),
    "traces": ("api.people:traces_app", "List traces."),
    "trace": ("api.people:trace_app", "Show one trace as a tree."),
    "diff": ("api.people:diff_app", "Show what a second run did differently, and what that cost."),
    "reread": (
        "api.console.costs:reread_app",
        "Show which tool results were paid for again, and where the prompt cache broke.",
    ),
    "why": ("api.console.costs:why_app", "Show why a run cost more than its task usually does."),
    "alerts": ("api.people:alerts_app", "List alerts, see to one, or keep one quiet."),
    "configs": ("api.console.configs:configs_app", "Show what agents were made of, version by version; compare two."),
    "rules": ("api.console.rules:rules_app", "Try an alert rule on what is stored."),
    "tail": ("api.console.tail:tail_app", "Follow what happens now, line by line."),
    "top": ("api.console.top:top_app", "Show which agents spend now, with open runs and alerts."),
    "ask": ("api.console.ask:ask_app", "Ask Tracy in plain words."),
    "skill": ("api.console.skill:skill_app", "Make a skill cheaper by what runs have shown, and compare versions."),
    "sql": ("api.sql_command:sql_app", "Ask a question in SQL."),
    "sql-token": ("api.commands:sql_token_app", "Print a token with which a person logs in to Trino."),
    "keys": ("producers.cli:keys_app", "Create, list and revoke access keys."),
    "guard": ("producers.cli:guard_app", "Limit what agents may spend; stop and release them."),
    "budget": ("stream_jobs.cli:budget_app", "Set, list and remove budgets per hour, day and month."),
    "halt": ("stream_jobs.cli:orders_app", "Stop every run of an agent and keep it closed until a release."),
    "release": ("stream_jobs.cli:orders_app", "Let an agent go on, whatever stopped it."),
    "channels": ("stream_jobs.notify.commands:channels_app", "Say where alerts are told, and try it."),
    "rubric": ("api.console.rubric:rubric_app", "Say what a good run of an agent is, and score runs by it."),
    "prices": ("stream_jobs.prices.commands:prices_app", "Look up what models cost, set it, price history again."),
    "replay": ("producers.cli:replay_app", "Send captured runs to the gateway."),
    "import": ("producers.cli:import_app", "Fill in from OpenClaw's transcripts what was never captured."),
    "lake": ("lakehouse.cli:lake_app", "Create, evolve and look after the tables."),
    "dlq": ("api.console.dlq:dlq_app", "Look at dead letters, and send them back."),
    "doctor": ("api.cli:doctor", "Find the usual troubles, and say the fix."),
    "topics": ("api.cli:topics", "Create and verify the topics."),
    "db": ("producers.cli:db_app", "Migrate the control tables."),
    "trino": ("api.commands:trino_app", "Write Trino's access rules."),
    "gateway": ("producers.cli:gateway_app", "Run the gateway."),
    "stitcher": ("stream_jobs.cli:stitcher_app", "Run the stitcher."),
    "budgets": ("api.console.budgets:budgets_app", "Show how budgets stand; run their keeper."),
    "learner": ("stream_jobs.cli:learner_app", "Run the learner, which scores runs and compares them."),
    "notifier": ("stream_jobs.notify.commands:notifier_app", "Run the notifier, which tells people of alerts."),
    "sink": ("lakehouse.cli:sink_app", "Run the sink."),
    "upkeep": ("lakehouse.cli:upkeep_app", "Run the upkeep of the tables."),
    "api": ("api.commands:api_app", "Run the API."),
    "mcp": ("api.mcp.stdio:mcp_app", "Serve the tools of Tracy to an MCP client."),
}


def topics() -> typer.Typer:
    """Build the command for topics from the specs of all stages (only here are all of them known)."""
    from producers.cli import make_topics_app
    from producers.contracts.topics import TOPICS as PRODUCER_TOPICS
    from stream_jobs.contracts.topics import TOPICS as STREAM_TOPICS

    return make_topics_app((*PRODUCER_TOPICS, *STREAM_TOPICS))


def doctor() -> typer.Typer:
    """Build the command that looks for troubles (only here is the local stack known)."""
    from api.console.doctor.command import make_doctor_app
    from api.console.doctor.facts import ProcessFact, StackFacts
    from infra.local.layout import Layout
    from infra.local.ports import is_free
    from infra.local.status import look
    from infra.local.topology import build_topology
    from infra.runtime.settings import StackSettings

    def look_at_stack() -> StackFacts:
        layout = Layout.of(StackSettings())
        status, is_running = look(layout)
        if not is_running:
            ports = sorted(port for part in build_topology(layout) for port in part.ports)
            return StackFacts(False, taken_ports=tuple(port for port in ports if not is_free(port)))
        return StackFacts(True, tuple(ProcessFact(it.name, it.state, it.restarts) for it in status.processes))

    return make_doctor_app(look_at_stack)


def load_command(name: str) -> Any:
    """Import and return one command (typer brings its own click, whose types have no public name)."""
    target, help_line = COMMANDS[name]
    module, _, attribute = target.partition(":")
    app = getattr(importlib.import_module(module), attribute)
    if not isinstance(app, typer.Typer):
        app = app()
    command = typer.main.get_command(app)
    command = getattr(command, "commands", {}).get(name, command)
    command.help = command.help or help_line
    command.name = name
    return command


class LazyGroup(TyperGroup):
    """Lists all commands from the table above, imports only the one that is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the command that is called; None when there is no such command."""
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the list from the table, so that help imports nothing."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("clawtrace"))
        raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Record what OpenClaw agents do and cost, while they do it."""


def main() -> None:
    """Run the command line."""
    app(prog_name="clawtrace")


if __name__ == "__main__":
    main()
