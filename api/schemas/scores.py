"""What the routes of scores take and answer.

Upstream: api/repositories/scores.py.
Downstream: OpenAPI, the web UI, clients.
Guarantee: names and words are those of the table; a score of a person has a value, a comment, or both.
"""

from datetime import UTC, date, datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api.schemas.common import Answer
from stream_jobs.contracts.score import MAX_COMMENT_CHARS, Score, ScoreSource

# No control characters but the ends of lines and tabs: it is shown, and lies in tables that refuse some.
_PROSE = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
CriterionName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class ScoreItem(Answer):
    """One score of a run, or a comment on it."""

    score_id: str = Field(description="Follows from trace, criterion and who says it (32 hex digits).")
    source: ScoreSource = Field(description="rule, model or human.")
    scorer: str = Field(description="Who says it: the rubric, the model, or the person.")
    criterion: str = Field(description="What was looked at; total: the weighted mean of a rubric's rules.")
    value: float | None = Field(description="0 to 1; null for a comment alone, and for what could not be said.")
    weight: float = Field(description="Weight in the total.")
    comment: str = Field(description="Why, in words.")
    rubric_version: str = Field(description="Version of the rubric; empty for people.")
    at: datetime = Field(description="When it was said (UTC).")

    @classmethod
    def of(cls, score: Score) -> Self:
        """Make it from the contract's own."""
        at = datetime.fromtimestamp(score.at_us / 1e6, UTC)
        return cls(at=at, **{name: getattr(score, name) for name in cls.model_fields if name != "at"})


class ScoreList(Answer):
    """All scores of one trace."""

    trace_id: str = Field(description="The trace.")
    agent_id: str = Field(description="The OpenClaw install.")
    trace_date: date = Field(description="Day the trace was first seen.")
    has_questions: bool = Field(description="Whether the agent's rubric has questions that a model can be asked.")
    items: list[ScoreItem] = Field(description="People first, the newest first; then models, then rules, total last.")


class ScoreRequest(BaseModel):
    """What a person says of a run."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    criterion: CriterionName = Field("overall", description="What is scored; the same person's same one is replaced.")
    value: float | None = Field(None, ge=0, le=1, allow_inf_nan=False, description="0 (bad) to 1 (good).")
    comment: str = Field("", max_length=MAX_COMMENT_CHARS, pattern=_PROSE, description="Why, in words.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.value is None and not self.comment:
            raise ValueError("give a value from 0 to 1, a comment, or both")
        return self
