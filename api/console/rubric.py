"""`clawtrace rubric`: check and show the rubric of an agent, and have a model answer its questions about a run.

Upstream: a person at a terminal, or a script with --json.
Downstream: the files in ``<home>/config/rubrics``; ``POST /v1/traces/{trace_id}/scores/judge``.
Guarantee: ``check`` and ``show`` read files only; exit code 2 when a rubric is wrong, with the criterion and the field.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.client import EXIT_QUESTION
from api.console.options import JsonOption, KeyOption, TraceAgentOption, TraceArgument, UrlOption
from api.console.printing import Cell, answered, fail, print_json, print_table, quoted

if TYPE_CHECKING:
    from stream_jobs.contracts.rubric import Rubric

rubric_app = typer.Typer(no_args_is_help=True, help="Say what a good run of an agent is, and score runs by it.")

TenantOption = Annotated[str, typer.Option(help="Whose agent.")]
AgentOption = Annotated[str, typer.Option(help="The OpenClaw install, as its key names it.")]


@rubric_app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The rubric: a TOML file.")],
    as_json: JsonOption = False,
) -> None:
    """Say whether a file is a rubric; as <home>/config/rubrics/<tenant>/<agent>.toml it scores the runs that end."""
    _show(file, as_json=as_json)


@rubric_app.command()
def show(tenant: TenantOption, agent: AgentOption, as_json: JsonOption = False) -> None:
    """Show the rubric of an agent, with its version."""
    from stream_jobs.admin import LearnerSettings, rubric_path
    from stream_jobs.contracts.rubric import InvalidRubric

    try:
        path = rubric_path(LearnerSettings().rubrics_folder, tenant, agent)
    except InvalidRubric as error:
        fail(str(error), EXIT_QUESTION)
    if not path.exists():
        fail(f"There is no rubric of {agent}: {path} would be it.", EXIT_QUESTION)
    _show(path, as_json=as_json)


@rubric_app.command()
def judge(
    trace_id: TraceArgument,
    agent: TraceAgentOption = None,
    as_json: JsonOption = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """Have a model answer the questions of the agent's rubric about a run, with an operate key; marks are stored."""
    path = f"/v1/traces/{quoted(trace_id)}/scores/judge"
    found = answered(lambda api: api.post(path, {}, agent_id=agent), url=url, key=key, as_json=as_json)
    print_table(("criterion", "score", "by", "what"), [_score(it) for it in found["items"]], frozenset({"score"}))


def _show(path: Path, *, as_json: bool) -> None:
    from stream_jobs.admin import read_rubric
    from stream_jobs.contracts.rubric import InvalidRubric

    try:
        rubric = read_rubric(path)
    except InvalidRubric as error:
        fail(str(error), EXIT_QUESTION)
    document = _document(rubric)
    if as_json:
        print_json(document)
        return
    typer.echo(f"rubric {rubric.name}, version {rubric.version}, {len(rubric.criterion)} criteria")
    rows = [(it["name"], it["kind"], f"{it['weight']:g}", _settings(it)) for it in document["criterion"]]
    print_table(("criterion", "kind", "weight", "what"), rows, frozenset({"weight"}))


def _document(rubric: "Rubric") -> dict[str, Any]:
    import msgspec

    return {"version": rubric.version, **msgspec.to_builtins(rubric)}


def _settings(criterion: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in criterion.items() if name not in ("name", "kind", "weight"))


def _score(item: dict[str, Any]) -> list[Cell]:
    value = "" if item["value"] is None else f"{item['value']:.2f}"
    return [item["criterion"], value, f"{item['scorer']} ({item['source']})", item["comment"]]
