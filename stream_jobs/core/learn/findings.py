"""What the learner has found, as an alert.

Upstream: ``dear_run``, ``worse_version``, ``score_regression``.
Downstream: ``stream_jobs/learn``, which tells each change of state once.
Guarantee: pure; the alert's id follows from tenant, agent, rule and what it is about.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from stream_jobs.contracts.alert import Alert, AlertSeverity, AlertState

LearnRule = Literal["dear_run", "worse_version", "score_regression"]
LEARN_RULES: Final[tuple[LearnRule, ...]] = ("dear_run", "worse_version", "score_regression")


@dataclass(frozen=True, slots=True)
class Finding:
    """One change of state. ``about`` tells it from others of the rule: a trace, a version, a rubric."""

    rule: LearnRule
    about: str
    state: AlertState
    message: str
    severity: AlertSeverity = "warning"
    labels: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, str] = field(default_factory=dict)
    trace_id: str | None = None

    def alert_id(self, tenant_id: str, agent_id: str) -> str:
        """Id of its alert: 32 hex digits."""
        text = "\x1f".join((tenant_id, agent_id, self.rule, self.about))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def as_alert(self, tenant_id: str, agent_id: str, *, at_us: int, rev: int) -> Alert:
        """Make the alert."""
        return Alert(
            tenant_id=tenant_id,
            agent_id=agent_id,
            alert_id=self.alert_id(tenant_id, agent_id),
            rule=self.rule,
            severity=self.severity,
            state=self.state,
            message=self.message,
            labels=dict(self.labels),
            evidence=dict(self.evidence),
            trace_id=self.trace_id,
            at_us=at_us,
            rev=rev,
        )
