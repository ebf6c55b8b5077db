"""What all rules have in common in their settings.

Upstream: ``rulebook``.
Downstream: a settings class per rule, with its thresholds.
Guarantee: unknown fields and impossible values are refused; money is text, never a float.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from stream_jobs.contracts.alert import AlertSeverity

RuleAction = Literal["none", "note", "block", "ask", "abort"]


class RuleSettings(BaseModel):
    """Common settings; each rule adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: Annotated[bool, Field(description="Whether the rule is looked at.")] = True
    severity: Annotated[AlertSeverity, Field(description="How bad it is when it fires.")] = "warning"
    action: Annotated[RuleAction, Field(description="What the agent is told when it fires; none only alerts.")] = "none"
    hold_s: Annotated[int, Field(gt=0, description="Seconds until that word lapses by itself.")] = 3_600
