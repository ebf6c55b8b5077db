"""Scores a card by the rules of a rubric.

Upstream: cards, rubrics.
Downstream: scores; the run's total, on which regressions are looked for.
Guarantee: pure; the same card and rubric give the same marks. What the card does not tell (a cost without a price) is
not scored, and does not count in the total.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from stream_jobs.contracts.card import Card
from stream_jobs.contracts.rubric import (
    TOTAL,
    AnyCriterion,
    CostAtMost,
    DurationAtMost,
    Ended,
    FailedStepsAtMost,
    Judge,
    ModelCallsAtMost,
    RedundantCallsAtMost,
    ReplyMatches,
    Rubric,
    ToolCallsAtMost,
    ToolUsed,
)


@dataclass(frozen=True, slots=True)
class CriterionMark:
    """What one criterion says of a run: 1 met, 0 not, None unknown; and why."""

    criterion: str
    value: float | None
    weight: float
    why: str


def mark_card(rubric: Rubric, card: Card) -> list[CriterionMark]:
    """Return a mark for each rule of the rubric, and the total last."""
    marks = []
    for criterion in rubric.criterion:
        if not isinstance(criterion, Judge):
            is_met, why = _look(criterion, card)
            marks.append(
                CriterionMark(criterion.name, None if is_met is None else float(is_met), criterion.weight, why)
            )
    return [*marks, total_of(marks)]


def total_of(marks: Sequence[CriterionMark]) -> CriterionMark:
    """Return the weighted mean of what is known."""
    known = [(it.value, it.weight) for it in marks if it.value is not None]
    weight = sum(share for _, share in known)
    value = round(sum(value * share for value, share in known) / weight, 6) if weight else None
    num_met = sum(value == 1 for value, _ in known)
    return CriterionMark(TOTAL, value, 1.0, f"{num_met} of {len(known)} criteria are met")


def _look(criterion: AnyCriterion, card: Card) -> tuple[bool | None, str]:
    match criterion:
        case CostAtMost(usd=limit):
            cost = card.total_cost_usd
            if cost is None:
                return None, "no price is known"
            return cost <= limit, f"{cost.normalize():f} dollars, at most {limit.normalize():f}"
        case DurationAtMost(seconds=limit_s):
            return card.duration_ms <= limit_s * 1000, f"{card.duration_ms / 1000:.1f} s, at most {limit_s:g}"
        case ToolCallsAtMost(count=limit_calls):
            return card.num_tool_calls <= limit_calls, f"{card.num_tool_calls} tool calls, at most {limit_calls}"
        case ModelCallsAtMost(count=limit_calls):
            return card.num_model_calls <= limit_calls, f"{card.num_model_calls} model calls, at most {limit_calls}"
        case FailedStepsAtMost(count=limit_steps):
            return card.num_failed_steps <= limit_steps, f"{card.num_failed_steps} failed steps, at most {limit_steps}"
        case RedundantCallsAtMost(count=limit_calls):
            num_redundant = sum(it.count for it in card.redundant_tool_calls)
            return num_redundant <= limit_calls, f"{num_redundant} redundant calls, at most {limit_calls}"
        case Ended(statuses=statuses):
            return card.status in statuses, f"ended {card.status}, wanted {' or '.join(statuses)}"
        case ToolUsed(tool=tool, used=wanted):
            is_used = tool in card.tools_used
            return is_used == wanted, f"{tool} was {'' if is_used else 'not '}used"
        case ReplyMatches(pattern=pattern):
            is_match = fnmatchcase(card.reply.casefold(), f"{pattern.casefold()}")
            return is_match, f"the reply {'fits' if is_match else 'does not fit'} {pattern!r}"
        case Judge():
            raise TypeError("a rule cannot answer the question of a judge")
