"""The shape of a rule.

Upstream: facts of a batch, and whatever the workspace knows.
Downstream: ``alerting.set_alert``; marks on tool calls.
Guarantee: a rule keeps its memory in the workspace under its own name, bounded, and never raises.
"""

from typing import ClassVar, Protocol

from stream_jobs.contracts.alert import AlertRule
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.workspace import Workspace

_MAX_AHEAD_US = 60_000_000


class Rule(Protocol):
    """One rule: which facts it wants, and what it makes of them."""

    name: ClassVar[AlertRule]
    settings_type: ClassVar[type[RuleSettings]]
    wants: ClassVar[frozenset[FactKind]]

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Look at one fact of the kinds it wants."""
        ...


def heard_at_us(ws: Workspace, fact: Fact) -> int:
    """Return when the server heard of a fact, by its own clock: what silence is measured by."""
    return fact.at_us if fact.kind == "tick" else ws.received_at_us or fact.at_us


def happened_at_us(ws: Workspace, fact: Fact) -> int:
    """Return when a fact happened; an agent's clock that is ahead must not make all that follows look late."""
    if fact.kind == "tick" or not ws.received_at_us:
        return fact.at_us
    return min(fact.at_us, ws.received_at_us + _MAX_AHEAD_US)
