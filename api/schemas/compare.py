"""What GET /v1/compare/labels answers.

Upstream: api/repositories/labelled_runs.py; stream_jobs' comparison.
Downstream: OpenAPI, `clawtrace skill compare`, clients.
Guarantee: numbers are as the comparison found them: money and times as decimal text, shares as numbers.
"""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, PlainSerializer

from api.kit.values import decimal_text
from api.schemas.common import Answer
from stream_jobs.admin import Comparison

Amount = Annotated[
    Decimal | None,
    PlainSerializer(lambda value: None if value is None else decimal_text(value), return_type=str | None),
    Field(description="Decimal text in the measure's unit; null when it is unknown."),
]
Verdict = Literal["better", "worse", "no_difference", "not_enough_runs"]
MeasureName = Literal["cost_usd", "num_model_calls", "num_tool_calls", "num_failed_steps", "duration_ms"]


class ComparedSide(Answer):
    """One side in one measure."""

    num_runs: int = Field(description="Runs whose value is known.")
    mean: Amount
    median: Amount


class ComparedMeasure(Answer):
    """One measure of both sides."""

    measure: MeasureName = Field(description="What is measured, with its unit.")
    old: ComparedSide = Field(description="Runs with the old value of the label.")
    new: ComparedSide = Field(description="Runs with the new value.")
    difference: Amount
    low: Amount
    high: Amount
    percent: Amount
    method: str = Field(description="How the bounds were found: bootstrap-t, percentile or no-spread.")
    verdict: Verdict = Field(description="What the bounds say; less is better.")


class FailedShare(Answer):
    """Runs that did not end well."""

    num_failed: int = Field(description="Runs that ended otherwise than ok.")
    num_runs: int = Field(description="All runs.")
    share: float = Field(description="Failed of all, 0 to 1.")
    low: float = Field(description="Lower bound (Wilson).")
    high: float = Field(description="Upper bound (Wilson).")


class ComparedFailures(Answer):
    """The share of runs that did not end well, on both sides."""

    old: FailedShare = Field(description="Runs with the old value of the label.")
    new: FailedShare = Field(description="Runs with the new value.")
    difference: float = Field(description="New minus old, within tasks.")
    low: float = Field(description="Lower bound of the difference (Newcombe).")
    high: float = Field(description="Upper bound of the difference (Newcombe).")
    verdict: Verdict = Field(description="What the bounds say; fewer is better.")


class LabelComparison(Answer):
    """Runs with one value of a label, compared with runs with another."""

    label: str = Field(description="The label that is compared.")
    old: str = Field(description="Its old value.")
    new: str = Field(description="Its new value.")
    days: int = Field(description="Days that were looked at.")
    verdict: Verdict = Field(description="Failing more is worse; else money decides, without prices tool calls.")
    sentence: str = Field(description="The verdict in words.")
    confidence: float = Field(description="Confidence of all bounds.")
    method: str = Field(description="How means and bounds are found.")
    num_old: int = Field(description="Runs that count on the old side.")
    num_new: int = Field(description="Runs that count on the new side.")
    num_left_out: int = Field(description="Runs of tasks that only one side has run, or once.")
    is_cut: bool = Field(description="Whether there were more runs; the newest were taken.")
    tasks: list[str] = Field(description="Tasks that both sides have run.")
    measures: list[ComparedMeasure] = Field(description="Cost, model calls, tool calls, failed steps, duration.")
    failures: ComparedFailures = Field(description="Runs that did not end well.")

    @classmethod
    def of(cls, found: Comparison, *, label: str, old: str, new: str, days: int, is_cut: bool) -> Self:
        """Make it from a comparison."""
        return cls(
            label=label,
            old=old,
            new=new,
            days=days,
            is_cut=is_cut,
            confidence=found.confidence,
            method=found.method,
            verdict=found.verdict,
            sentence=found.sentence,
            num_old=found.num_old,
            num_new=found.num_new,
            num_left_out=found.num_left_out,
            tasks=list(found.tasks),
            measures=[ComparedMeasure.model_validate(it, from_attributes=True) for it in found.measures],
            failures=ComparedFailures.model_validate(found.failures, from_attributes=True),
        )
