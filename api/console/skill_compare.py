"""`clawtrace skill compare`: whether runs with the new version of a skill are better than with the old one.

Upstream: a person at a terminal, or a script with --json.
Downstream: ``GET /v1/compare/labels``.
Guarantee: as the other commands over the API; what is shown is the API's verdict, with its bounds.
"""

from decimal import Decimal
from typing import Annotated, Any, Final

import typer

from api.console.options import JsonOption, KeyOption, OnlyAgentOption, UrlOption
from api.console.printing import Cell, answered, print_table

_STYLES: Final = {"better": "green", "worse": "red"}
_WORDS: Final = {
    "better": "better",
    "worse": "worse",
    "no_difference": "no difference shown",
    "not_enough_runs": "not enough runs",
}


def compare(
    old: Annotated[str, typer.Argument(help="The value of the label before.")],
    new: Annotated[str, typer.Argument(help="The value of the label after.")],
    label: Annotated[
        str, typer.Option(help="skill, skill:<name>, config, model, one of your own, or any: what has both values.")
    ] = "skill",
    agent: OnlyAgentOption = None,
    task: Annotated[str | None, typer.Option(help="Only of this task, as cards name it.")] = None,
    days: Annotated[int, typer.Option(min=1, max=400, help="Days to look at, today included.")] = 30,
    as_json: JsonOption = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """Compare runs with either version: cost, calls, failures and duration, with 95 % confidence, and a verdict.

    Runs are compared within the tasks that both versions have run.
    """
    query = {"old": old, "new": new, "label": label, "agent_id": agent, "task_id": task, "days": days}
    found = answered(lambda api: api.get("/v1/compare/labels", **query), url=url, key=key, as_json=as_json)
    typer.echo(f"{found['label']}: {found['old']} → {found['new']}, the last {found['days']} days")
    names = ("measure", "n old", "n new", "median", "→", "mean", "→ ", "difference", "95 % bounds", "verdict")
    right = frozenset(names) - {"measure", "verdict"}
    print_table(names, [*map(_row, found["measures"]), _failures(found["failures"])], right)
    typer.echo(found["sentence"])
    if found["num_left_out"]:
        typer.echo(f"{found['num_left_out']} runs were left out: of tasks that only one side has run, or once.")
    if found["is_cut"]:
        typer.echo("There were more runs; the newest were taken.")


def _row(item: dict[str, Any]) -> list[Cell]:
    old, new = item["old"], item["new"]
    bounds = "" if item["low"] is None else f"{_short(item['low'])} … {_short(item['high'])}"
    difference = "" if item["difference"] is None else _signed(item["difference"])
    if item["percent"] is not None:
        difference += f" ({Decimal(item['percent']):+f} %)"
    figures = [_short(side[name]) for name in ("median", "mean") for side in (old, new)]
    counts = [str(old["num_runs"]), str(new["num_runs"])]
    return [item["measure"], *counts, *figures, difference, bounds, _verdict(item["verdict"])]


def _failures(item: dict[str, Any]) -> list[Cell]:
    old, new = item["old"], item["new"]
    shares = [f"{100 * side['share']:.0f} %" for side in (old, new)]
    bounds = f"{100 * item['low']:+.0f} … {100 * item['high']:+.0f} points"
    counts = [f"{side['num_failed']} of {side['num_runs']}" for side in (old, new)]
    return [
        "failed",
        *counts,
        "",
        "",
        *shares,
        f"{100 * item['difference']:+.0f} points",
        bounds,
        _verdict(item["verdict"]),
    ]


def _verdict(verdict: str) -> Cell:
    return (_WORDS[verdict], _STYLES.get(verdict, ""))


def _short(text: str | None) -> str:
    """At most six digits after the point, without zeros at the end."""
    return "" if text is None else f"{round(Decimal(text), 6).normalize():f}"


def _signed(text: str) -> str:
    return f"{round(Decimal(text), 6).normalize():+f}"
