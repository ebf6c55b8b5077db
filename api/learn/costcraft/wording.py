"""Writes a patch as a line of a skill.

Upstream: patches that hold; the recorded steps.
Downstream: api/learn/costcraft/craft.py.
Guarantee: of what was recorded only names of tools and their arguments are in a line, in one pair of backticks, on one
line and cut; nothing of what a tool or a model said.
"""

import json
import re
from decimal import Decimal
from statistics import median
from typing import Final

from api.learn.costcraft.patches import Patch, Preserve, Prune, Repair, describe
from api.learn.costcraft.precedence import Claim, Rank, SkillLine
from api.learn.costcraft.runs import Task, TaskRun, ToolStep, middle_usd
from api.learn.costcraft.saving import Saving
from api.tracy.sanitise import plain_label, strip_invisible

MAX_SHOWN_CHARS: Final = 120
_MAX_NAME_CHARS: Final = 120
_PATH_NAMES: Final = ("path", "file_path", "filePath", "file", "filename")


def line_of(patch: Patch, saving: Saving, task: Task) -> SkillLine:
    """Return the line of a patch that holds."""
    step = task.find(patch.step.trace_id, patch.step.span_id)
    assert step is not None, "patches are checked first"
    match patch:
        case Preserve():
            return _preserve_line(patch, saving, step, task)
        case Prune():
            return _prune_line(patch, saving, step)
        case Repair():
            fix = task.find(patch.fix.trace_id, patch.fix.span_id)
            assert fix is not None, "patches are checked first"
            return SkillLine(
                rank=Rank.REPAIR,
                section="Workflow",
                tag=f"r{step.key}>{fix.key}",
                text=f"Do not call {call_text(step)}, which fails: call {call_text(fix)}.",
                what=describe(patch),
                claims=(Claim("drop", step.key, step, is_exact=True), Claim("keep", fix.key, fix)),
                patch=patch,
                saving=saving,
            )


def figure_lines(task: Task) -> list[SkillLine]:
    """Return what the skill is for, and what a good run of it needs."""
    name = plain_label(task.name, _MAX_NAME_CHARS)
    what = f"the task is «{name}»" if name else "the task is this one"
    lines = [_figure_line(task, "Trigger", "t", f"Use this when {what} ({plain_label(task.task_id, 80)}).")]
    good = task.good_runs
    if good:
        lines.append(_figure_line(task, "Cost control", "f", _need_text(good)))
    return lines


def call_text(step: ToolStep) -> str:
    """Return a call as it stands in a line: the tool and its arguments, in backticks."""
    shown = " ".join(strip_invisible(step.shown).split()).replace("`", "'")
    shown = shown if len(shown) <= MAX_SHOWN_CHARS else f"{shown[: MAX_SHOWN_CHARS - 1]}…"
    return f"`{_tool_name(step)} {shown}`"


def front_matter(task: Task) -> list[str]:
    """Return the head of a new skill."""
    name = re.sub(r"[^a-z0-9]+", "-", task.task_id.removeprefix("agent:").lower()).strip("-")[:60] or "task"
    words = plain_label(task.name, _MAX_NAME_CHARS) or task.task_id
    description = f"The way that costs least to do: {words}"
    return ["---", f"name: {name}", f"description: {json.dumps(description, ensure_ascii=False)}", "---", ""]


def _preserve_line(patch: Preserve, saving: Saving, step: ToolStep, task: Task) -> SkillLine:
    is_artifact = patch.section == "artifact_checklist"
    path = _path_of(step) if is_artifact else ""
    run = task.runs[patch.step.trace_id]
    earlier = sum(it.started_at_us < step.started_at_us for it in run.steps)
    return SkillLine(
        rank=Rank.PRESERVE,
        section="Artifact checklist" if is_artifact else "Workflow",
        tag=f"k{step.key}",
        text=f"`{path}` is there, made with `{_tool_name(step)}`." if path else f"Call {call_text(step)}.",
        what=describe(patch),
        claims=(Claim("keep", step.key, step),),
        patch=patch,
        saving=saving,
        place=earlier / max(1, len(run.steps)),
    )


def _prune_line(patch: Prune, saving: Saving, step: ToolStep) -> SkillLine:
    is_proven = patch.counterfactual_trace_id is not None
    call = call_text(step)
    if patch.max_calls == 0:
        letter, text = "d", f"Do not call {call} or the like: the task ends well without it."
    else:
        often = "once" if patch.max_calls == 1 else f"{patch.max_calls} times"
        why = "the task ends well with that" if is_proven else "asked again, it answers the same"
        letter = "c" if is_proven else "s"
        text = f"Call {call} or the like at most {often}: {why}."
    return SkillLine(
        rank=Rank.PRUNE_PROVEN if is_proven else Rank.PRUNE,
        section="Cost control" if is_proven else "Stop rules",
        tag=f"{letter}{step.key}",
        text=text,
        what=describe(patch),
        claims=(Claim("cap" if patch.max_calls else "drop", step.key, step),),
        patch=patch,
        saving=saving,
    )


def _figure_line(task: Task, section: str, letter: str, text: str) -> SkillLine:
    return SkillLine(
        rank=Rank.FIGURES,
        section="Trigger" if section == "Trigger" else "Cost control",
        tag=f"{letter}{task.key}",
        text=text,
        what=f"figures of {task.task_id}",
    )


def _need_text(runs: tuple[TaskRun, ...]) -> str:
    num_tools = int(median(run.num_tool_calls for run in runs))
    num_models = int(median(run.num_model_calls for run in runs))
    usd = middle_usd(runs)
    cost = f" and ${_rounded(usd)}" if usd else ""
    return (
        f"A run that ended well needed {_counted(num_tools, 'tool call')}, {_counted(num_models, 'model call')}{cost}. "
        "At twice that, stop and say what is missing."
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _rounded(usd: Decimal) -> str:
    """Two digits that count."""
    return f"{usd.quantize(Decimal(1).scaleb(usd.adjusted() - 1)).normalize():f}"


def _path_of(step: ToolStep) -> str:
    try:
        asked = json.loads(step.shown)
    except ValueError:
        return ""
    values = (asked.get(name) for name in _PATH_NAMES) if isinstance(asked, dict) else ()
    found = next((value for value in values if isinstance(value, str) and value), "")
    return " ".join(strip_invisible(found).split()).replace("`", "'")[:MAX_SHOWN_CHARS]


def _tool_name(step: ToolStep) -> str:
    return re.sub(r"[^A-Za-z0-9_.:-]", "", step.tool_name)[:60] or "tool"
