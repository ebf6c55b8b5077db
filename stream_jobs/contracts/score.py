"""The score: how well a run met one criterion, said by a rule, by a model or by a person.

Upstream: the learner; people and judges, through the API, which leave it to the learner to send.
Downstream: topic ``clawtrace.scores.v1``, table ``silver.scores``, the page of a trace.
Guarantee: ``score_id`` follows from what is scored and who scores, so that scoring again replaces what was said.
"""

import hashlib
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

ScoreSource = Literal["rule", "model", "human"]
MAX_COMMENT_CHARS: Final = 2_000


class Score(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One revision of one score."""

    tenant_id: Annotated[str, Meta(description="Who pays and sees.")]
    agent_id: Annotated[str, Meta(description="The OpenClaw install.")]
    trace_id: Annotated[str, Meta(description="The trace.")]
    trace_date: Annotated[str, Meta(description="Day the trace was first seen (YYYY-MM-DD).")]
    score_id: Annotated[str, Meta(description="Follows from trace, criterion and who says it (32 hex digits).")]
    source: Annotated[ScoreSource, Meta(description="rule, model or human.")]
    scorer: Annotated[str, Meta(description="Who says it: the rubric, the model, or the person.")]
    criterion: Annotated[str, Meta(description="What was looked at; total: the weighted mean of a rubric's rules.")]
    value: Annotated[
        float | None, Meta(description="0 to 1; NULL for a comment alone, and for what could not be said.")
    ] = None
    weight: Annotated[float, Meta(description="Weight in the total.")] = 1.0
    comment: Annotated[str, Meta(description="Why, in words.")] = ""
    rubric_version: Annotated[str, Meta(description="Version of the rubric (12 hex digits); empty for people.")] = ""
    task_id: Annotated[str, Meta(description="What the run was about; empty for people.")] = ""
    at_us: Annotated[int, Meta(description="When it was said (UTC, microseconds).")]
    rev: Annotated[int, Meta(description="Number of the learner's transaction; newest wins.")]


class ScoreBatch(msgspec.Struct, frozen=True, kw_only=True):
    """One record of ``clawtrace.scores.v1``."""

    schema_version: Annotated[int, Meta(description="Major version of this contract.")] = 1
    tenant_id: Annotated[str, Meta(description="Who pays and sees.")]
    agent_id: Annotated[str, Meta(description="The OpenClaw install.")]
    rev: Annotated[int, Meta(description="Number of the learner's transaction; readers drop what is not above theirs.")]
    part: Annotated[int, Meta(description="Number of this part, when one record could not hold all.")] = 0
    scores: Annotated[list[Score], Meta(description="Whole new revisions.")]


def score_id_of(
    tenant_id: str, agent_id: str, trace_id: str, source: ScoreSource, scorer: str, criterion: str, remark: str = ""
) -> str:
    """Make the id of a score: 32 hex digits; ``remark`` tells comments of one person from each other."""
    parts = (tenant_id, agent_id, trace_id, source, scorer, criterion, remark)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
