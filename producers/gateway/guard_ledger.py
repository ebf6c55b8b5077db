"""Verdicts and allowances of all agents, the newest of each id, in memory.

Upstream: records of ``clawtrace.guard.v1``.
Downstream: the gateway's guard state.
Guarantee: pure; reading records again changes nothing; what has lapsed is dropped; a message about a known id that
ends when it is said takes that id back, and no other; a release takes earlier verdicts of its scope out of force;
memory per agent is bounded.

Several write here, each with numbers of its own: the stitcher (offsets), the keeper of budgets (transactions), people
(the clock). Numbers are compared only between messages of one id, and an id has one writer.
"""

from dataclasses import dataclass, field
from typing import Final

from producers.contracts.guard import Allowance, GuardMessage, GuardScope, Verdict

MAX_PER_AGENT: Final = 1_000
_NARROWNESS: Final[dict[GuardScope, int]] = {"tenant": 0, "agent": 1, "session": 2, "run": 3}

Agent = tuple[str, str]


@dataclass(slots=True)
class _Entries:
    verdicts: dict[str, GuardMessage] = field(default_factory=dict)
    allowances: dict[str, GuardMessage] = field(default_factory=dict)
    # Ids that were taken back, with the rev that did: what was said before may come once more.
    taken_back: dict[str, int] = field(default_factory=dict)
    said_at_us: int = 0


class GuardLedger:
    """What was said to every agent and still counts."""

    def __init__(self) -> None:
        self._agents: dict[Agent, _Entries] = {}

    def add(self, message: GuardMessage, now_us: int) -> bool:
        """Take a message in the order of its partition; return whether it changed what counts."""
        agent = (message.tenant_id, message.agent_id)
        body = message.body
        is_allowance = isinstance(body, Allowance)
        key = body.allowance_id if isinstance(body, Allowance) else body.verdict_id
        # By the writer's own clock, so that ours does not matter.
        is_over = body.expires_at_us <= message.issued_at_us
        if is_over or body.expires_at_us <= now_us:
            entries = self._agents.get(agent)
            return entries is not None and _take_back(entries, key, message)
        entries = self._agents.setdefault(agent, _Entries())
        if entries.taken_back.get(key, -1) >= message.rev:
            return False
        changed = _put(entries.allowances if is_allowance else entries.verdicts, key, message)
        if changed:
            entries.said_at_us = max(entries.said_at_us, message.issued_at_us)
        return changed

    def in_force(self, agent: Agent, now_us: int) -> tuple[list[Verdict], list[Allowance], int]:
        """Return verdicts and allowances that count now, in the order they were said, and when the last was said."""
        entries = self._agents.get(agent)
        if entries is None:
            return [], [], 0
        for kept in (entries.verdicts, entries.allowances):
            for lapsed in [key for key, it in kept.items() if it.body.expires_at_us <= now_us]:
                del kept[lapsed]
        if not entries.verdicts and not entries.allowances and not entries.taken_back:
            del self._agents[agent]
            return [], [], 0
        verdicts: list[Verdict] = []
        for message in entries.verdicts.values():
            assert isinstance(message.body, Verdict)
            if message.body.action == "release":
                verdicts = [it for it in verdicts if it.action == "release" or not _releases(message.body, it)]
            verdicts.append(message.body)
        allowances = [it.body for it in entries.allowances.values() if isinstance(it.body, Allowance)]
        return verdicts, allowances, entries.said_at_us


def _put(kept: dict[str, GuardMessage], key: str, message: GuardMessage) -> bool:
    before = kept.get(key)
    if before is not None and (before.rev > message.rev or before == message):
        return False
    # To the end: a verdict that is said again after a release counts again.
    kept.pop(key, None)
    kept[key] = message
    if len(kept) > MAX_PER_AGENT:
        # The narrowest first: a flood about single runs must not push out what holds the whole agent.
        del kept[max(kept, key=lambda it: _NARROWNESS[kept[it].body.scope])]
    return True


def _take_back(entries: _Entries, key: str, message: GuardMessage) -> bool:
    kept = entries.verdicts if key in entries.verdicts else entries.allowances
    before = kept.get(key)
    if before is None or before.rev > message.rev:
        return False
    del kept[key]
    entries.said_at_us = max(entries.said_at_us, message.issued_at_us)
    entries.taken_back[key] = message.rev
    if len(entries.taken_back) > MAX_PER_AGENT:
        del entries.taken_back[next(iter(entries.taken_back))]
    return True


def _releases(release: Verdict, verdict: Verdict) -> bool:
    if release.scope in ("agent", "tenant"):
        return True
    return (release.scope, release.scope_id) == (verdict.scope, verdict.scope_id)
