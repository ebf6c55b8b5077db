"""Makes a skill of patches: checks them, lets the stronger one stand, and keeps the text within its limit.

Upstream: proposed patches, the runs of the task, the skill as it is.
Downstream: api/learn/distiller.py.
Guarantee: pure. The same patches in any order give the same text, and again the same when that text is the skill as it
is. The text is below ``MAX_SKILL_TOKENS``; what does not fit is refused, the weakest first. Every patch is either in
the text or among the refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from api.learn.costcraft.checks import check
from api.learn.costcraft.patches import Patch, Refused
from api.learn.costcraft.precedence import SkillLine, settle
from api.learn.costcraft.runs import Task
from api.learn.costcraft.saving import Saving, removed_by, saving_of
from api.learn.costcraft.skill_file import read_skill, write_skill
from api.learn.costcraft.tokens import MAX_SKILL_TOKENS, count_tokens
from api.learn.costcraft.wording import figure_lines, front_matter, line_of


class NoRoom(ValueError):
    """The skill as it is leaves no room for ours."""


@dataclass(frozen=True, slots=True)
class Crafted:
    """A skill and how it came about. ``saving`` is what all its new lines save together, each call counted once."""

    text: str
    num_tokens: int
    lines: tuple[SkillLine, ...]
    refused: tuple[Refused, ...]
    saving: Saving

    @property
    def accepted(self) -> list[SkillLine]:
        """The lines that came of patches."""
        return [line for line in self.lines if line.patch is not None]


def craft(task: Task, patches: Iterable[Patch], current_text: str = "") -> Crafted:
    """Make the skill.

    Raises:
        NoRoom: what is not ours in the current skill is too long.
    """
    refused: list[Refused] = []
    lines: list[SkillLine] = []
    for patch in patches:
        refusal = check(patch, task)
        if refusal is not None:
            refused.append(refusal)
        else:
            lines.append(line_of(patch, saving_of([removed_by(patch, task)], task), task))
    known = (step for run in task.runs.values() for step in run.steps)
    file = read_skill(current_text, known) if current_text.strip() else read_skill("\n".join(front_matter(task)))
    figures = figure_lines(task)
    told_anew = {line.tag for line in figures}
    before = [line for line in file.our_lines if line.tag not in told_anew]
    staying, gave_way = settle([*figures, *lines, *before])
    fitting, too_many = _fit(file.own_lines, staying)
    text = write_skill(file.own_lines, fitting)
    saving = saving_of((removed_by(line.patch, task) for line in fitting if line.patch is not None), task)
    all_refused = sorted([*refused, *gave_way, *too_many], key=lambda it: (it.code, it.what, it.reason))
    return Crafted(text, count_tokens(text), tuple(fitting), tuple(all_refused), saving)


def _fit(own_lines: tuple[str, ...], lines: list[SkillLine]) -> tuple[list[SkillLine], list[Refused]]:
    """Take lines as long as there is room, those that go before others first."""
    empty = count_tokens(write_skill(own_lines, ()))
    if empty >= MAX_SKILL_TOKENS:
        raise NoRoom(
            f"the skill has {empty} tokens of its own, and may have fewer than {MAX_SKILL_TOKENS} in all: shorten it"
        )
    fitting: list[SkillLine] = []
    refused: list[Refused] = []
    for line in lines:
        num_tokens = count_tokens(write_skill(own_lines, [*fitting, line]))
        if num_tokens < MAX_SKILL_TOKENS:
            fitting.append(line)
        else:
            reason = f"with it the skill would have {num_tokens} tokens; it may have fewer than {MAX_SKILL_TOKENS}"
            refused.append(Refused(line.what, "no_room", reason))
    return fitting, refused
