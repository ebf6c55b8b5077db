"""One ended run as the learner and comparisons see it: what it cost and did, under which labels.

Upstream: cards; rows of the view of cards.
Downstream: every other module here.
Guarantee: pure; a run without a price has no cost, which is not 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

ENDED_WELL: Final = "ok"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a task. ``score`` is the total by a rubric of its agent, 0 to 1."""

    trace_id: str
    task_id: str = ""
    status: str = ENDED_WELL
    cost_usd: Decimal | None = None
    num_model_calls: int = 0
    num_tool_calls: int = 0
    num_failed_steps: int = 0
    duration_ms: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    rubric_version: str = ""
    score: float | None = None

    @property
    def is_failed(self) -> bool:
        """Whether the root run ended otherwise than well."""
        return self.status != ENDED_WELL
