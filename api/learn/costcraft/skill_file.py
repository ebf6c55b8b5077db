"""The text of a SKILL.md: what in it is ours, and what is somebody's own.

Upstream: the skill as it is; lines from api/learn/costcraft/precedence.py.
Downstream: api/learn/costcraft/craft.py.
Guarantee: a line without our mark stays, in its place, whatever is around it; only blank lines at the ends of the five
sections may change. Reading what was written gives the same lines again.

A line of ours ends in a mark such as ``[ct:r1a2b3c4d>5e6f7a8b]``: a letter for its kind and the keys of its steps.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from api.learn.costcraft.precedence import Claim, Rank, Section, SkillLine
from api.learn.costcraft.runs import ToolStep

SECTIONS: Final[tuple[Section, ...]] = get_args(Section)

# Letter of the mark -> rank, and what the line says of its step.
_KINDS: Final[dict[str, Rank]] = {
    "t": Rank.FIGURES,
    "f": Rank.FIGURES,
    "r": Rank.REPAIR,
    "d": Rank.PRUNE_PROVEN,
    "c": Rank.PRUNE_PROVEN,
    "k": Rank.PRESERVE,
    "s": Rank.PRUNE,
}
_MARK: Final = re.compile(
    r"^(?P<text>- .*) \[ct:(?P<tag>(?P<kind>[tfrdcks])(?P<step>[0-9a-f]{8})(?:>(?P<fix>[0-9a-f]{8}))?)\]\s*$"
)
_HEADING: Final = re.compile(r"^#{1,2}\s+(?P<title>.*?)\s*#*\s*$")
_FENCE: Final = re.compile(r"^\s{0,3}(```|~~~)")


@dataclass(frozen=True, slots=True)
class SkillFile:
    """A skill taken apart: what is somebody's own, line by line, and our lines."""

    own_lines: tuple[str, ...]
    our_lines: tuple[SkillLine, ...]


def mark(text: str, tag: str) -> str:
    """Return a line of ours as it stands in the file."""
    return f"- {text} [ct:{tag}]"


def read_skill(text: str, known: Iterable[ToolStep] = ()) -> SkillFile:
    """Take a skill apart. ``known`` are calls by which the keys of our lines can be told."""
    steps = {step.key: step for step in known}
    own: list[str] = []
    ours: list[SkillLine] = []
    for line, section, is_code in _walk(text.split("\n")):
        found = None if is_code or section is None else _MARK.match(line)
        if found is None or section is None:
            own.append(line)
        else:
            ours.append(_line_of(found, section, steps))
    return SkillFile(tuple(own), tuple(ours))


def write_skill(own_lines: Sequence[str], ours: Iterable[SkillLine]) -> str:
    """Put a skill together: our lines stand at the end of their sections; sections that are missing come at the end."""
    of_section: dict[str, list[str]] = {section: [] for section in SECTIONS}
    for line in sorted(ours, key=lambda it: (it.rank, it.place, it.text, it.tag)):
        of_section[line.section].append(mark(line.text, line.tag))
    blocks: list[list[str]] = [[]]
    titles: list[Section | None] = [None]
    seen: Section | None = None
    for text, section, _ in _walk(own_lines):
        if section != seen or (section is not None and _title_of(text) == section):
            blocks.append([])
            # The second of two sections of one name is left as it is.
            titles.append(section if section not in titles else None)
            seen = section
        blocks[-1].append(text)
    out: list[str] = []
    for title, block in zip(titles, blocks, strict=True):
        out += block if title is None else _filled(block, of_section[title])
    for section in SECTIONS:
        if section not in titles:
            out = [*_without_blank_end(out), *([""] if _without_blank_end(out) else [])]
            out += _filled([f"## {section}"], of_section[section])
    return "\n".join(_without_blank_end(out)) + "\n"


def _filled(block: Sequence[str], lines: Sequence[str]) -> list[str]:
    heading, *body = block
    while body and not body[0].strip():
        body.pop(0)
    body = [*_without_blank_end(body), *lines]
    return [heading, "", *body, ""] if body else [heading, ""]


def _without_blank_end(lines: Sequence[str]) -> list[str]:
    kept = list(lines)
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


def _walk(lines: Iterable[str]) -> Iterator[tuple[str, Section | None, bool]]:
    """Yield each line with the section of ours that it is in, and whether it is code."""
    text = list(lines)
    section: Section | None = None
    ends_at = -1
    for number, line in enumerate(text):
        if number > ends_at and (edge := _FENCE.match(line)) is not None:
            # A fence that is never closed is read as text: else what we add behind it would be code the next time.
            ends_at = next((it for it in range(number + 1, len(text)) if _closes(text[it], edge[1])), number - 1)
        is_code = number <= ends_at
        if not is_code and _HEADING.match(line):
            section = _title_of(line)
        yield line, section, is_code


def _closes(line: str, fence: str) -> bool:
    found = _FENCE.match(line)
    return found is not None and found[1] == fence


def _title_of(line: str) -> Section | None:
    found = _HEADING.match(line)
    if found is None or not line.startswith("## "):
        return None
    return next((section for section in SECTIONS if section.lower() == found["title"].lower()), None)


def _line_of(found: re.Match[str], section: Section, steps: dict[str, ToolStep]) -> SkillLine:
    kind, key, fix = found["kind"], found["step"], found["fix"]
    claims: tuple[Claim, ...] = ()
    match kind:
        case "r":
            claims = (Claim("drop", key, steps.get(key), is_exact=True),)
            claims += (Claim("keep", fix, steps.get(fix)),) if fix else ()
        case "d":
            claims = (Claim("drop", key, steps.get(key)),)
        case "k":
            claims = (Claim("keep", key, steps.get(key)),)
        case "c" | "s":
            claims = (Claim("cap", key, steps.get(key)),)
    text = found["text"].removeprefix("- ")
    return SkillLine(
        rank=_KINDS[kind], section=section, tag=found["tag"], text=text, what=f"the line «{text}»", claims=claims
    )
