"""Verdicts and allowances of all agents, the newest of each id, in memory.

Upstream: records of ``clawtrace.guard.v1``.
Downstream: the gateway's guard state.
Guarantee: pure; reading records again changes nothing; what has lapsed is dropped; a release takes earlier verdicts of
its scope out of force; memory per agent is bounded.
"""

from dataclasses import dataclass, field
from typing import Final

from producers.contracts.guard import Allowance, GuardMessage, Verdict

MAX_PER_AGENT: Final = 1_000

Agent = tuple[str, str]


@dataclass(slots=True)
class _Entries:
    verdicts: dict[str, GuardMessage] = field(default_factory=dict)
    allowances: dict[str, GuardMessage] = field(default_factory=dict)


class GuardLedger:
    """What was said to every agent and still counts."""

    def __init__(self) -> None:
        self._agents: dict[Agent, _Entries] = {}

    def add(self, message: GuardMessage, now_us: int) -> bool:
        """Take a message in the order of its partition; return whether it changed what counts."""
        if message.body.expires_at_us <= now_us:
            return False
        entries = self._agents.setdefault((message.tenant_id, message.agent_id), _Entries())
        if isinstance(message.body, Allowance):
            return _put(entries.allowances, message.body.allowance_id, message)
        return _put(entries.verdicts, message.body.verdict_id, message)

    def in_force(self, agent: Agent, now_us: int) -> tuple[list[Verdict], list[Allowance], int]:
        """Return verdicts and allowances that count now, in the order they were said, and when the last was said."""
        entries = self._agents.get(agent)
        if entries is None:
            return [], [], 0
        for kept in (entries.verdicts, entries.allowances):
            for lapsed in [key for key, it in kept.items() if it.body.expires_at_us <= now_us]:
                del kept[lapsed]
        if not entries.verdicts and not entries.allowances:
            del self._agents[agent]
            return [], [], 0
        verdicts: list[Verdict] = []
        for message in entries.verdicts.values():
            assert isinstance(message.body, Verdict)
            if message.body.action == "release":
                verdicts = [it for it in verdicts if it.action == "release" or not _releases(message.body, it)]
            verdicts.append(message.body)
        allowances = [it.body for it in entries.allowances.values() if isinstance(it.body, Allowance)]
        said = [it.issued_at_us for it in (*entries.verdicts.values(), *entries.allowances.values())]
        return verdicts, allowances, max(said)


def _put(kept: dict[str, GuardMessage], key: str, message: GuardMessage) -> bool:
    before = kept.get(key)
    if before is not None and (before.rev > message.rev or before == message):
        return False
    # To the end: a verdict that is said again after a release counts again.
    kept.pop(key, None)
    kept[key] = message
    if len(kept) > MAX_PER_AGENT:
        del kept[next(iter(kept))]
    return True


def _releases(release: Verdict, verdict: Verdict) -> bool:
    if release.scope in ("agent", "tenant"):
        return True
    return (release.scope, release.scope_id) == (verdict.scope, verdict.scope_id)
