"""The reference pages, made from the code: settings, metrics, commands, endpoints.

Upstream: settings classes, metrics modules, the command table, the OpenAPI documents.
Downstream: infra/reference/*.md, written by ``make schemas`` and compared by test_documents.py.
Guarantee: what is not in the code is not on the page, and the other way round.
"""

import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr

from api.access.roles import ROLE_FIELD
from api.cli import COMMANDS, load_command
from api.config import setting_rows
from infra.local.topology import PROCESSES
from infra.runtime.metrics import LABELS
from stream_jobs.core.detect.guide import GUIDES, meaning_of
from stream_jobs.core.detect.rules import RULES
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.learn.guide import LEARN_GUIDES
from stream_jobs.core.silence import ClosingSettings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "infra/reference"
# The second word of a metric's name is its process; ``runtime`` stands for all of them.
METRIC_MODULES = (
    "infra.runtime.metrics",
    "producers.metrics",
    "stream_jobs.metrics",
    "stream_jobs.budgets.metrics",
    "stream_jobs.learn.metrics",
    "stream_jobs.notify.metrics",
    "lakehouse.metrics",
    "api.metrics",
)
METRIC_PROCESSES = ("runtime", *(name for name, _, _ in PROCESSES))
EXIT_CODES = """\
Answers go to standard output, words about them to standard error; without a terminal there is no colour. Commands that
only read take `--json`: one JSON value, or one a line where there is no end (`tail`, `top`, `ask`, `dlq replay`).

| exit code | meaning |
| --- | --- |
| 0 | Done; also when `tail` or `top` is ended with Ctrl-C. |
| 1 | Something is away or failed, and standard error says what; `doctor`: something is wrong. |
| 2 | The question is at fault: a wrong option, an unknown id, a key that does not open. |
| 3 | `status`: the stack is not running. |
| 130 | Ended with Ctrl-C before it was done. |
"""
NOTICE = "Written by `make schemas` from the code; change it there.\n"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def settings_page() -> str:
    """Every setting."""
    rows = [
        (row.process, f"`{row.variable}`", f"`{row.default}`" if row.default else "", row.description)
        for row in setting_rows()
    ]
    return f"# Settings\n\n{NOTICE}\n{table(('process', 'variable', 'default', 'meaning'), rows)}"


def metrics() -> Iterator[tuple[str, MetricWrapperBase]]:
    """Every metric with the process that has it."""
    for module in METRIC_MODULES:
        for value in vars(importlib.import_module(module)).values():
            if isinstance(value, MetricWrapperBase):
                yield value.describe()[0].name.split("_")[1], value


def metrics_page() -> str:
    """Every metric."""
    rows = []
    for process, metric in metrics():
        (family,) = metric.describe()
        suffix = "_total" if family.type == "counter" else ""
        rows.append(
            (
                "every process" if process == "runtime" else process,
                f"`{family.name}{suffix}`",
                family.type,
                ", ".join(metric._labelnames),
                family.documentation,
            )
        )
    labels = [(f"`{name}`", bound) for name, bound in LABELS.items()]
    return (
        f"# Metrics\n\n{NOTICE}\n{table(('process', 'metric', 'type', 'labels', 'meaning'), rows)}\n"
        "The client library adds `process_*` (start time, memory, processor time, open files) and `python_*`; a "
        "restart shows as a new `process_start_time_seconds`.\n\n"
        "## Labels\n\nThe values of each label are bounded, and none names a tenant, an agent, a session, a trace or a "
        "key.\n\n"
        f"{table(('label', 'its values'), labels)}"
    )


def options_of(command: Any) -> list[tuple[str, ...]]:
    """Options and arguments of one command."""
    rows = []
    for parameter in command.params:
        if parameter.name in ("help", "install_completion", "show_completion"):
            continue
        names = " ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
        if parameter.param_type_name == "argument":
            names = f"`{parameter.name.upper()}`"
        meaning = str(getattr(parameter, "help", "") or "").replace("\n", " ")
        if parameter.envvar:
            meaning += f" Also `{parameter.envvar}`."
        rows.append((names, meaning))
    return rows


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """A command and those below it, with the words that call them."""
    below = getattr(command, "commands", {})
    if not below or command.invoke_without_command:
        yield path, command
    for name, inner in below.items():
        yield from commands(inner, f"{path} {name}")


def cli_page() -> str:
    """Every command with its options."""
    parts = [f"# Commands\n\n{NOTICE}\n{EXIT_CODES}"]
    for name in COMMANDS:
        for path, command in commands(load_command(name), f"clawtrace {name}"):
            options = options_of(command)
            parts.append(f"\n## {path}\n\n{(command.help or '').strip()}\n")
            if options:
                parts.append("\n" + table(("option", "meaning"), options))
    return "".join(parts)


def openapi_documents() -> dict[str, dict[str, Any]]:
    """OpenAPI documents of the two HTTP services."""
    from api.main import create_app as create_api
    from api.settings import ApiSettings
    from producers.gateway.app import create_app as create_gateway
    from producers.settings import GatewaySettings

    # The gateway wants its secrets before it starts; a document needs none.
    with tempfile.TemporaryDirectory() as folder:
        pepper = Path(folder) / "pepper"
        pepper.write_text("for the document only")
        gateway = create_gateway(
            GatewaySettings(
                postgres_dsn=SecretStr("postgresql+psycopg://nobody@127.0.0.1/none"), key_pepper_file=pepper
            )
        )
        return {"gateway": gateway.openapi(), "api": create_api(ApiSettings()).openapi()}


def http_page() -> str:
    """Every endpoint."""
    parts = [
        f"# Endpoints\n\n{NOTICE}\nEach role may do what the one before it may: viewer (a key with the scope `read`), "
        "operator (`operate`), admin (`admin`).\n"
    ]
    for service, document in openapi_documents().items():
        rows = [
            (
                f"`{method.upper()} {path}`",
                str(operation.get("summary", "")),
                _who(operation),
                " ".join(sorted(operation["responses"])),
            )
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        ]
        parts.append(f"\n## {service}\n\n{table(('endpoint', 'what it does', 'who', 'answers'), rows)}")
    return "".join(parts)


def _who(operation: dict[str, Any]) -> str:
    return str(operation.get(ROLE_FIELD) or ("an ingest key" if any(operation.get("security", [])) else "anybody"))


def rule_settings(type_: type[RuleSettings]) -> list[tuple[str, ...]]:
    """Rows of a rule's settings: its own, or what it changes of the common ones."""
    common = RuleSettings.model_fields
    rows: list[tuple[str, ...]] = []
    for name, field in type_.model_fields.items():
        if type_ is RuleSettings or name not in common or field.default != common[name].default:
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            text = str(default).lower() if isinstance(default, bool) else str(default)
            rows.append((f"`{name}`", f"`{text}`", field.description or common[name].description or ""))
    return rows


def alert_rules_page() -> str:
    """Every alert rule with its settings."""
    head = ("setting", "default", "meaning")
    parts = [
        f"# Alert rules\n\n{NOTICE}\n"
        "All rules are looked at in the stream, after every event. Their defaults are silent on ordinary work. Each "
        "reads its settings from `<home>/config/rules.toml`: a table for a rule, and `[[override]]` tables for one "
        "tenant or one agent of it. Money is written as text. The file is read again when it changes. What a tenant "
        "sets for itself or an agent with `PUT /v1/rules/{rule}/override` lies over the file's tables of the same "
        "scope and holds within seconds.\n\n"
        '```toml\n[session_cost]\nlimit_usd = "50"\n\n[[override]]\ntenant_id = "acme01"\nagent_id = "office-mac"\n'
        "stuck_run.tool_minutes = 120\n```\n\n"
        "An alert is told when its state changes, and not again while it stays: ok, warn, alert, no_data.\n"
        f"\n## Settings of every rule\n\n{table(head, rule_settings(RuleSettings))}"
    ]
    for rule in RULES:
        guide = GUIDES[rule.name]
        parts.append(
            f"\n## {rule.name}\n\n{meaning_of(rule)}\n\n"
            f"- States: {', '.join(('ok', *guide.states))}\n- Ok again: {guide.recovery}\n"
            f"- What to do: {guide.remedy}\n"
        )
        rows = rule_settings(rule.settings_type)
        if rows:
            parts.append("\n" + table(head, rows))
    parts.append(
        "\n## closing\n\nNo rule, but a table of the same file: when a run of which nothing is heard any more is "
        "closed as incomplete, with its open calls. While one of its tools is running, that time begins when "
        "`[stuck_run] tool_minutes` are over. The next event opens it again; `enabled = false` closes none.\n\n"
        + table(head, rule_settings(ClosingSettings))
    )
    parts.append(
        "\n# Rules of the learner\n\nThe process `learner` looks at ended runs, card by card, and compares each with "
        "the earlier runs of its own task and agent. They have no settings; their bounds stand in the evidence.\n"
    )
    for name, found in LEARN_GUIDES.items():
        guide = found.guide
        parts.append(
            f"\n## {name}\n\n{found.meaning}\n\n"
            f"- States: {', '.join(('ok', *guide.states))}\n- Ok again: {guide.recovery}\n"
            f"- What to do: {guide.remedy}\n"
        )
    return "".join(parts)


def expected_pages() -> dict[Path, str]:
    """Every reference page with its text."""
    return {
        FOLDER / "settings.md": settings_page(),
        FOLDER / "metrics.md": metrics_page(),
        FOLDER / "cli.md": cli_page(),
        FOLDER / "http.md": http_page(),
        FOLDER / "alert-rules.md": alert_rules_page(),
    }


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in expected_pages().items():
        path.write_text(text)
        typer.echo(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
