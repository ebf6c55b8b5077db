"""What may be proposed for a skill: to keep a step, to leave one out, to do one otherwise.

Upstream: a model's tool call, or api/learn/costcraft/evident.py.
Downstream: api/learn/costcraft/checks.py.
Guarantee: a patch holds ids, numbers and one reason for people. It holds no word of the skill: whoever proposes has
read what tools returned, and a skill is an instruction. The text is made from the recorded steps, by us.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

MAX_PATCHES: Final = 24
MAX_EVIDENCE: Final = 8
MAX_WHY_CHARS: Final = 300
MAX_CALLS: Final = 100

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:~-]{1,128}$")]
Why = Annotated[str, Field(max_length=MAX_WHY_CHARS, description="Why, in one sentence, for the person who reviews.")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SpanRef(_Part):
    """A tool call."""

    trace_id: Id = Field(description="The run.")
    span_id: Id = Field(description="The tool call within it.")


class Preserve(_Part):
    """Keep a step: the runs that ended well did it."""

    kind: Literal["preserve"]
    step: SpanRef = Field(description="The call to keep.")
    evidence: list[SpanRef] = Field(
        default=[], max_length=MAX_EVIDENCE, description="The same step in other runs that ended well."
    )
    section: Literal["workflow", "artifact_checklist"] = Field(
        default="workflow", description="artifact_checklist when the step makes what the task is about."
    )
    why: Why = ""


class Prune(_Part):
    """Leave a step out, or do it less often."""

    kind: Literal["prune"]
    step: SpanRef = Field(description="A call of the step, in a run that did it too often.")
    max_calls: int = Field(default=0, ge=0, le=MAX_CALLS, description="Calls that stay; 0 leaves the step out.")
    counterfactual_trace_id: Id | None = Field(
        default=None,
        description="A run of the same task that ended well with at most so many calls of the step, and was not "
        "dearer. Only repeats that got the same answer can be pruned without one.",
    )
    why: Why = ""


class Repair(_Part):
    """Do a step otherwise: one way failed, another one worked."""

    kind: Literal["repair"]
    step: SpanRef = Field(description="The call that failed.")
    fix: SpanRef = Field(description="The call that worked, later in the same run or in another run that ended well.")
    why: Why = ""


Patch = Preserve | Prune | Repair
_ONE: Final = TypeAdapter[Patch](Annotated[Patch, Field(discriminator="kind")])


@dataclass(frozen=True, slots=True)
class Refused:
    """A patch that is not taken, or a line that gave way. ``code`` is stable, ``reason`` is for people and models."""

    what: str
    code: str
    reason: str


def parse_patches(proposed: object) -> tuple[list[Patch], list[Refused]]:
    """Read what was proposed; what is no patch is refused with the field that is at fault."""
    if not isinstance(proposed, list):
        return [], [Refused("patches", "shape", "patches: must be a list")]
    patches: list[Patch] = []
    refused: list[Refused] = []
    for number, item in enumerate(proposed, start=1):
        if number > MAX_PATCHES:
            left = len(proposed) - MAX_PATCHES
            refused.append(Refused(f"{left} more patches", "too_many", f"there may be {MAX_PATCHES} patches"))
            break
        try:
            patches.append(_ONE.validate_python(item))
        except ValidationError as error:
            refused.append(Refused(f"patch {number}", "shape", _first_fault(error)))
    return patches, refused


def describe(patch: Patch) -> str:
    """Return what a patch is about, in a few words."""
    where = f"{patch.step.span_id} of {patch.step.trace_id}"
    match patch:
        case Prune(max_calls=0):
            return f"prune {where}"
        case Prune():
            return f"prune {where} to {patch.max_calls}"
        case Repair():
            return f"repair {where} by {patch.fix.span_id}"
    return f"preserve {where}"


def patch_schema() -> dict[str, Any]:
    """Return the JSON schema of one patch."""
    return _ONE.json_schema()


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    # The first part is the kind, by which pydantic chose the model.
    field = ".".join(str(part) for part in fault["loc"] if part not in ("preserve", "prune", "repair"))
    return f"{field}: {fault['msg']}" if field else str(fault["msg"])
