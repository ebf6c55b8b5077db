"""Decides between lines of a skill that contradict each other.

Upstream: lines made of patches that hold, and those that the skill has already.
Downstream: api/learn/costcraft/craft.py.
Guarantee: repair goes before prune with a counterfactual, that before preserve, that before prune without one; what
gives way is named with what it gave way to. The same lines come out in whatever order they go in.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from api.learn.costcraft.likeness import is_same_call, is_same_step
from api.learn.costcraft.patches import Patch, Refused
from api.learn.costcraft.runs import ToolStep
from api.learn.costcraft.saving import Saving

Section = Literal["Trigger", "Workflow", "Stop rules", "Artifact checklist", "Cost control"]


class Rank(IntEnum):
    """Who goes before whom; figures contradict nothing."""

    FIGURES = 0
    REPAIR = 1
    PRUNE_PROVEN = 2
    PRESERVE = 3
    PRUNE = 4


_WORDS = {
    Rank.FIGURES: "figures",
    Rank.REPAIR: "repair",
    Rank.PRUNE_PROVEN: "prune with a counterfactual",
    Rank.PRESERVE: "preserve",
    Rank.PRUNE: "prune without a counterfactual",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """What a line says of a step: keep it, leave it out, or do it at most so often.

    ``key`` is that of the step; ``step`` is None when no run that is looked at has it. ``is_exact`` when only the very
    call is meant, and not what is nearly the same.
    """

    says: Literal["keep", "drop", "cap"]
    key: str
    step: ToolStep | None = None
    is_exact: bool = False

    def is_about(self, other: "Claim") -> bool:
        """Whether what this says holds for the step of the other."""
        if self.key == other.key:
            return True
        if self.step is None or other.step is None:
            return False
        return is_same_call(self.step, other.step) if self.is_exact else is_same_step(self.step, other.step)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillLine:
    """One line of ours. ``tag`` is its mark in the text; ``patch`` and ``saving`` are None when it was there before."""

    rank: Rank
    section: Section
    tag: str
    text: str
    what: str
    claims: tuple[Claim, ...] = ()
    patch: Patch | None = None
    saving: Saving | None = None
    place: float = 1.0

    @property
    def order(self) -> tuple[object, ...]:
        """Who is looked at first: by rank, the new ones, those that save most."""
        usd = (self.saving.usd if self.saving else None) or 0
        num_calls = self.saving.num_tool_calls if self.saving else 0
        return self.rank, self.patch is None, -usd, -num_calls, self.tag, self.text, self.what


def settle(lines: Iterable[SkillLine]) -> tuple[list[SkillLine], list[Refused]]:
    """Return the lines that stay, first the one that goes before all, and those that give way."""
    staying: list[SkillLine] = []
    refused: list[Refused] = []
    for line in sorted(lines, key=lambda it: it.order):
        refusal = next((it for other in staying if (it := _clash(line, other)) is not None), None)
        if refusal is None:
            staying.append(line)
        elif line.tag not in (it.tag for it in staying) or line.patch is not None:
            # A line that was there already and is said anew is no loss.
            refused.append(refusal)
    return staying, refused


def _clash(line: SkillLine, before: SkillLine) -> Refused | None:
    if line.tag == before.tag:
        return Refused(line.what, "duplicate", f"«{before.what}» says the same")
    for mine in line.claims:
        for theirs in before.claims:
            if not (mine.is_about(theirs) or theirs.is_about(mine)):
                continue
            if mine.says == theirs.says and _is_same_intent(line, before):
                return Refused(line.what, "duplicate", f"«{before.what}» is about the same step")
            if "drop" in (mine.says, theirs.says) and _contradict(mine, theirs):
                return Refused(line.what, "contradiction", _lost_to(line, before))
    return None


def _is_same_intent(line: SkillLine, before: SkillLine) -> bool:
    """What two repairs keep may be the same; what two lines of one kind are about may not."""
    return line.claims[0].says == before.claims[0].says and (
        line.claims[0].is_about(before.claims[0]) or before.claims[0].is_about(line.claims[0])
    )


def _contradict(mine: Claim, theirs: Claim) -> bool:
    drop, other = (mine, theirs) if mine.says == "drop" else (theirs, mine)
    return drop.is_about(other)


def _lost_to(line: SkillLine, before: SkillLine) -> str:
    said = f"«{before.what}» says otherwise of the same step"
    if line.rank == before.rank:
        return f"{said} and saves no less"
    return f"{said}, and {_WORDS[before.rank]} goes before {_WORDS[line.rank]}"
