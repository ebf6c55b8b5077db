"""What holds for an agent now, from all that it was told.

Upstream: rows of verdicts, of the tables and of the live window.
Downstream: api/routers/guard.py.
Guarantee: pure; the same rule as the gateway's ledger: of one verdict its newest word counts, a release takes earlier
verdicts of its scope out of force, one of the agent or the tenant all of them.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from producers.contracts.guard import GuardMessage, Verdict

Row = Mapping[str, Any]
GuardWord = Literal["free", "note", "block", "ask", "abort"]
# From soft to hard.
_WORDS: Final[tuple[GuardWord, ...]] = ("free", "note", "block", "ask", "abort")


def row_of(message: GuardMessage, from_us: Callable[[int], datetime]) -> dict[str, Any]:
    """Make a row, as the table has it, of a message that holds a verdict; ``from_us`` makes an instant."""
    verdict = message.body
    assert isinstance(verdict, Verdict)
    return {
        "verdict_id": verdict.verdict_id,
        "agent_id": message.agent_id,
        "scope": verdict.scope,
        "scope_id": verdict.scope_id,
        "action": verdict.action,
        "reason": verdict.reason,
        "alert_id": verdict.alert_id,
        "issued_at": from_us(message.issued_at_us),
        "expires_at": from_us(verdict.expires_at_us),
    }


def newest_of_each(rows: Iterable[Row]) -> list[Row]:
    """Return each verdict once, as it was said last; newest first."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = (row["agent_id"], row["verdict_id"])
        if key not in found or found[key]["issued_at"] < row["issued_at"]:
            found[key] = row
    return sorted(found.values(), key=lambda it: (it["issued_at"], it["agent_id"], it["verdict_id"]), reverse=True)


def in_force(rows: Iterable[Row], now: datetime) -> list[Row]:
    """Return the words that hold now, newest first, of all that one agent was told."""
    standing: list[Row] = []
    for row in reversed(newest_of_each(rows)):
        if row["action"] == "release":
            standing = [it for it in standing if not _releases(row, it)]
        elif row["expires_at"] > now:
            standing.append(row)
    return standing[::-1]


def hardest(rows: Iterable[Row]) -> GuardWord:
    """Return the hardest word that covers the whole agent."""
    said = [row["action"] for row in rows if row["scope"] in ("agent", "tenant")]
    return max((word for word in _WORDS if word in said), key=_WORDS.index, default="free")


def said_by(verdict_id: str) -> Literal["person", "budget", "rule"]:
    """Return who decided a verdict; its id tells."""
    if verdict_id.startswith("by-hand-"):
        return "person"
    return "budget" if verdict_id.startswith("budget-") else "rule"


def _releases(release: Row, verdict: Row) -> bool:
    if release["scope"] in ("agent", "tenant"):
        return True
    return (release["scope"], release["scope_id"]) == (verdict["scope"], verdict["scope_id"])
