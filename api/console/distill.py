"""`clawtrace skill distill`: a SKILL.md out of the runs of a task, as a diff against the skill as it is.

Upstream: a person at a terminal, or a script with --json.
Downstream: ``POST /v1/skills/distill``; the file of --out.
Guarantee: progress goes to standard error, the diff to standard output; the skill is only written where --out says, and
whole or not at all. Exit code 0 when there is a skill, 1 when there is none, 2 when the question is at fault.
"""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from api.client import EXIT_QUESTION, exit_code_of
from api.console.options import KeyOption, UrlOption
from api.console.printing import asked, fail, print_json, progress_bar, say
from api.tracy.sanitise import strip_invisible


def distill(
    agent: Annotated[str, typer.Option(help="The OpenClaw install.")],
    task: Annotated[
        str | None, typer.Option(help="The task, as its TraceCards name it; default: the one that cost most.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=90, help="Days that are looked back.")] = 30,
    skill: Annotated[
        Path | None, typer.Option(help="The SKILL.md as it is; lines of its own stay. Default: a new one.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the new SKILL.md here.")] = None,
    no_model: Annotated[bool, typer.Option("--no-model", help="Ask no model; the cards decide alone.")] = False,
    payloads: Annotated[
        bool, typer.Option("--payloads", help="Let the model read what tools were asked and answered.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON value, the new text in it.")] = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """Distil a skill from the runs of a task, and show what changes.

    Each patch rests on recorded calls and is checked against them; what is refused is said with the reason.
    """
    current = _read(skill)
    body = {
        "agent_id": agent,
        "task_id": task,
        "days": days,
        "current_text": current,
        "use_model": not no_model,
        "payloads": payloads,
    }
    found, done = _ask(body, url, key)
    if out is not None:
        _write(out, found["text"])
    if as_json:
        print_json({**found, "distillation": done})
        return
    name = str(skill or out or "SKILL.md")
    for line in diff_lines(current, found["text"], name):
        print(strip_invisible(line))
    for line in summary_lines(found, done):
        say(line)
    if out is not None:
        say(f"written: {out}")


def diff_lines(before: str, after: str, name: str) -> Iterable[str]:
    """Lines of a unified diff; none when nothing changes."""
    old, new = before.splitlines(), after.splitlines()
    return difflib.unified_diff(old, new, fromfile=name if before else "/dev/null", tofile=name, lineterm="")


def summary_lines(found: dict[str, Any], done: dict[str, Any]) -> list[str]:
    """Say what the patches save, what was refused and what it cost."""
    lines = [f"task {found['task_id']}: {found['num_runs']} runs, average {_usd(found['mean_cost_usd'])}"]
    if found["model_failure"]:
        lines.append(f"The model gave no patches, so the cards decided alone: {found['model_failure']}")
    for patch in found["patches"]:
        lines.append(f"{patch['kind']}: {patch['line']} ({_saves(patch['saving'])})")
    for refused in found["refused"]:
        lines.append(f"refused ({refused['code']}): {refused['what']}: {refused['reason']}")
    lines.append(f"all together: {_saves(found['saving'])}")
    lines.append(f"{found['num_tokens']} of fewer than {found['max_tokens']} tokens")
    cost = _usd(done["cost_usd"])
    lines.append(f"the distillation: {cost}, {done['tokens']:,} tokens, {done['num_model_calls']} model calls")
    return lines


def _ask(body: dict[str, Any], url: str, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    found: dict[str, Any] | None = None
    done: dict[str, Any] | None = None
    failure: dict[str, Any] = {"message": "The stream ended before the skill did; try again."}
    with asked(url, key) as api, progress_bar("distilling") as progress:
        for name, data in api.post_stream("/v1/skills/distill", body):
            match name:
                case "progress":
                    progress(data["step"], data["done"], data["total"])
                case "skill":
                    found = data
                case "done":
                    done = data
                case "error":
                    failure = data
    if found is None or done is None:
        fail(str(failure["message"]), exit_code_of(failure.get("code", "")))
    return found, done


def _read(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"--skill: {file} cannot be read: {error}", EXIT_QUESTION)


def _write(file: Path, text: str) -> None:
    draft = file.with_name(f"{file.name}.new")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, file)
    except OSError as error:
        fail(f"--out: {file} cannot be written: {error.strerror}", EXIT_QUESTION)


def _saves(saving: dict[str, Any]) -> str:
    runs = f"{saving['num_affected_runs']} of {saving['num_runs']} runs"
    return f"saves {_usd(saving['usd'])} and {saving['num_tool_calls']} tool calls in {runs}"


def _usd(text: str | None) -> str:
    return "unknown cost" if text is None else f"$ {text}"
