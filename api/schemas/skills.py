"""What POST /v1/skills/distill and POST /v1/evolve/skill take, and the skill that it answers with.

Upstream: clients; api/learn/costcraft.
Downstream: OpenAPI, `clawtrace skill distill`.
Guarantee: a tenant can nowhere be named; money is decimal text or null.
"""

from decimal import Decimal
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.learn.costcraft.craft import Crafted
from api.learn.costcraft.patches import Preserve, Prune, Refused, Repair
from api.learn.costcraft.precedence import SkillLine
from api.learn.costcraft.runs import Task
from api.learn.costcraft.saving import Saving
from api.learn.costcraft.tokens import MAX_SKILL_TOKENS
from api.schemas.common import Answer, Usd
from api.tracy.sanitise import plain_label, storable_text
from infra.runtime.access_keys import AGENT_ID

MAX_SKILL_CHARS = 20_000
MAX_DAYS = 90
_MAX_WHY_CHARS = 300
_MAX_WHAT_CHARS = 200
# As the tables hold dollars.
_USD_UNIT = Decimal("1e-12")


class OwnSkillRequest(BaseModel):
    """What an agent wants distilled of its own runs."""

    model_config = ConfigDict(extra="forbid")

    task_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        pattern=r"^[^\x00-\x1f]*$",
        description="The task, as its TraceCards name it; without it the one that the agent spent most on.",
    )
    days: int = Field(default=30, ge=1, le=MAX_DAYS, description="Days that are looked back.")
    current_text: Annotated[str, AfterValidator(storable_text)] = Field(
        default="", max_length=MAX_SKILL_CHARS, description="The skill as it is; empty for a new one."
    )


class DistillRequest(OwnSkillRequest):
    """What to distil."""

    agent_id: str = Field(pattern=f"^{AGENT_ID.pattern.strip('^$')}$", description="The OpenClaw install.")
    use_model: bool = Field(default=True, description="Whether a model is asked; without it the cards decide alone.")
    payloads: bool = Field(default=False, description="Whether the model may read what tools were asked and answered.")


class SavingItem(Answer):
    """What would have been saved, in sums over the runs that it would have touched."""

    usd: Usd
    usd_per_run: Usd = Field(description="Dollars of an average run of those looked at, as decimal text.")
    num_tool_calls: int = Field(description="Tool calls.")
    num_model_calls: int = Field(description="Model calls.")
    num_affected_runs: int = Field(description="Runs that it would have touched.")
    num_runs: int = Field(description="Runs looked at.")

    @classmethod
    def of(cls, saving: Saving) -> Self:
        """Make it from the sums."""
        return cls(
            usd=saving.usd,
            usd_per_run=_rounded(saving.usd_per_run),
            num_tool_calls=saving.num_tool_calls,
            num_model_calls=saving.num_model_calls,
            num_affected_runs=saving.num_affected_runs,
            num_runs=saving.num_runs,
        )


class PatchItem(Answer):
    """A patch that is in the skill."""

    kind: str = Field(description="preserve, prune or repair.")
    section: str = Field(description="Section that its line is in.")
    line: str = Field(description="The line.")
    trace_id: str = Field(description="Run of the step.")
    span_id: str = Field(description="Call of the step.")
    max_calls: int | None = Field(description="Of a prune: calls that stay.")
    counterfactual_trace_id: str | None = Field(description="Of a prune: the run that did without.")
    fix_trace_id: str | None = Field(description="Of a repair: the run in which another way worked.")
    fix_span_id: str | None = Field(description="Of a repair: the call that worked.")
    why: str = Field(description="Reason, by whoever proposed it.")
    saving: SavingItem

    @classmethod
    def of(cls, line: SkillLine) -> Self:
        """Make it from a line that came of a patch."""
        patch, saving = line.patch, line.saving
        assert isinstance(patch, Preserve | Prune | Repair)
        assert saving is not None
        fix = patch.fix if isinstance(patch, Repair) else None
        return cls(
            kind=patch.kind,
            section=line.section,
            line=line.text,
            trace_id=patch.step.trace_id,
            span_id=patch.step.span_id,
            max_calls=patch.max_calls if isinstance(patch, Prune) else None,
            counterfactual_trace_id=patch.counterfactual_trace_id if isinstance(patch, Prune) else None,
            fix_trace_id=fix.trace_id if fix else None,
            fix_span_id=fix.span_id if fix else None,
            # A model wrote it, after reading what strangers wrote.
            why=plain_label(patch.why, _MAX_WHY_CHARS),
            saving=SavingItem.of(saving),
        )


class RefusedItem(Answer):
    """A patch that was refused, or a line that gave way."""

    what: str = Field(description="What it was.")
    code: str = Field(description="Stable code of the reason.")
    reason: str = Field(description="Why, in words.")

    @classmethod
    def of(cls, refused: Refused) -> Self:
        """Make it; parts of it may be a model's."""
        return cls(
            what=plain_label(refused.what, _MAX_WHAT_CHARS),
            code=refused.code,
            reason=plain_label(refused.reason, _MAX_WHY_CHARS),
        )


class DistilledSkill(Answer):
    """A skill, and how it came about."""

    agent_id: str = Field(description="The OpenClaw install.")
    task_id: str = Field(description="The task.")
    made_by: str = Field(description="model, or cards when no model was asked or it failed.")
    model_failure: str | None = Field(description="Why the model gave no patches; null when it did or was not asked.")
    num_runs: int = Field(description="Runs looked at.")
    mean_cost_usd: Usd = Field(description="Dollars of an average one; null when the cost of any is not known.")
    mean_tool_calls: float | None = Field(description="Tool calls of an average one.")
    text: str = Field(description="The whole SKILL.md.")
    num_tokens: int = Field(description="Its tokens, an upper estimate.")
    max_tokens: int = Field(description="Tokens that it stays below.")
    patches: list[PatchItem] = Field(description="What is in it of this distillation, the strongest first.")
    refused: list[RefusedItem] = Field(description="What is not, with the reason.")
    saving: SavingItem = Field(description="What all patches save together, each call counted once.")

    @classmethod
    def of(cls, task: Task, crafted: Crafted, refused: list[Refused], model_failure: str | None, made_by: str) -> Self:
        """Make it from what was crafted; ``refused`` are further refusals."""
        runs = list(task.runs.values())
        costs = [run.cost_usd for run in runs if run.cost_usd is not None]
        return cls(
            agent_id=task.agent_id,
            task_id=task.task_id,
            made_by=made_by,
            model_failure=model_failure,
            num_runs=len(runs),
            mean_cost_usd=_rounded(sum(costs, Decimal(0)) / len(runs)) if runs and len(costs) == len(runs) else None,
            mean_tool_calls=sum(run.num_tool_calls for run in runs) / len(runs) if runs else None,
            text=crafted.text,
            num_tokens=crafted.num_tokens,
            max_tokens=MAX_SKILL_TOKENS,
            patches=[PatchItem.of(line) for line in crafted.accepted],
            refused=[RefusedItem.of(it) for it in [*refused, *crafted.refused]],
            saving=SavingItem.of(crafted.saving),
        )


def _rounded(usd: Decimal | None) -> Decimal | None:
    return None if usd is None else usd.quantize(_USD_UNIT)
