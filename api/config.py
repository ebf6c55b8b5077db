"""``clawtrace config show``: every setting with its value, where it can be set, and what it means.

Upstream: the settings classes of all stages.
Downstream: people; the settings reference (infra/reference/settings.md) is made from the same table.
Guarantee: secrets are never printed.
"""

import json
from dataclasses import dataclass
from typing import Annotated

import typer
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings
from rich.console import Console
from rich.table import Table

from api.settings import ApiSettings
from api.tracy.settings import TracySettings
from infra.runtime.settings import StackSettings
from lakehouse.settings import SinkSettings, UpkeepSettings
from producers.settings import GatewaySettings
from stream_jobs.settings import BudgetsSettings, LearnerSettings, NotifierSettings, StitcherSettings

# Process -> its settings. A setting is shown under the first that has it.
PROCESSES: dict[str, type[StackSettings]] = {
    "every process": StackSettings,
    "gateway": GatewaySettings,
    "stitcher": StitcherSettings,
    "budgets": BudgetsSettings,
    "learner": LearnerSettings,
    "notifier": NotifierSettings,
    "sink": SinkSettings,
    "upkeep": UpkeepSettings,
    "api": ApiSettings,
    "tracy": TracySettings,
}

config_app = typer.Typer(no_args_is_help=True, help="Show every setting with its value; secrets stay hidden.")


@dataclass(frozen=True)
class SettingRow:
    """One setting."""

    process: str
    variable: str
    default: str
    description: str
    field: str
    settings: type[BaseSettings]


def setting_rows() -> list[SettingRow]:
    """Every setting once, under the first process that has it."""
    rows: list[SettingRow] = []
    seen: set[str] = set()
    for process, settings in PROCESSES.items():
        for name, field in settings.model_fields.items():
            if name in seen:
                continue
            seen.add(name)
            default = "" if isinstance(field.default, SecretStr) or str(field.default) == "." else str(field.default)
            variable = f"{settings.model_config.get('env_prefix', '')}{name}".upper()
            rows.append(SettingRow(process, variable, default, field.description or "", name, settings))
    return rows


@config_app.callback()
def config() -> None:
    """Show every setting with its value; secrets stay hidden."""


@config_app.command()
def show(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False) -> None:
    """Show every setting with its value."""
    try:
        values = {settings: settings() for settings in PROCESSES.values()}
    except ValidationError as error:
        for problem in error.errors():
            typer.echo(f"CLAWTRACE_{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}", err=True)
        raise typer.Exit(1) from None
    rows = [(row, str(getattr(values[PROCESSES[row.process]], row.field))) for row in setting_rows()]
    if as_json:
        typer.echo(json.dumps({row.variable: value for row, value in rows}, indent=1))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("process", "setting", "value", "meaning"):
        table.add_column(title, overflow="fold")
    for row, value in rows:
        table.add_row(row.process, row.variable, value, row.description)
    Console().print(table)
