"""What holds for an agent, from all that it was told."""

from datetime import UTC, datetime, timedelta
from typing import Any

from api.views.guard import hardest, in_force, newest_of_each, said_by

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def told(
    verdict_id: str, minute: int, action: str = "abort", scope: str = "agent", scope_id: str = "laptop", **changes: Any
) -> dict[str, Any]:
    issued_at = NOW - timedelta(minutes=60 - minute)
    row = {"verdict_id": verdict_id, "agent_id": "laptop", "action": action, "scope": scope, "scope_id": scope_id}
    return {**row, "issued_at": issued_at, "expires_at": NOW + timedelta(hours=1), **changes}


def ids(rows: list[Any]) -> list[str]:
    return [row["verdict_id"] for row in rows]


def test_the_newest_word_of_each_counts() -> None:
    rows = [told("a", 1), told("b", 2), told("a", 3, expires_at=NOW - timedelta(minutes=57))]
    assert ids(newest_of_each(rows)) == ["a", "b"]
    # It was taken back.
    assert ids(in_force(rows, NOW)) == ["b"]


def test_what_lapsed_is_not_in_force() -> None:
    assert in_force([told("a", 1, expires_at=NOW)], NOW) == []


def test_a_release_of_the_agent_lifts_all_that_was_said_before() -> None:
    rows = [told("a", 1), told("r", 2, "block", "run", "r1"), told("free", 3, "release"), told("later", 4, "note")]
    assert ids(in_force(rows, NOW)) == ["later"]


def test_a_release_of_a_run_lifts_that_run_alone() -> None:
    rows = [
        told("a", 1, "abort", "run", "r1"),
        told("b", 2, "abort", "run", "r2"),
        told("c", 3, "ask"),
        told("free", 4, "release", "run", "r1"),
    ]
    assert ids(in_force(rows, NOW)) == ["c", "b"]


def test_a_release_counts_also_after_its_own_end() -> None:
    rows = [told("a", 1), told("free", 2, "release", expires_at=NOW - timedelta(minutes=5))]
    assert in_force(rows, NOW) == []


def test_what_is_said_again_after_a_release_holds_again() -> None:
    rows = [told("a", 1), told("free", 2, "release"), told("a", 3)]
    assert ids(in_force(rows, NOW)) == ["a"]


def test_the_hardest_word_about_the_whole_agent_is_its_state() -> None:
    assert hardest([]) == "free"
    assert hardest([told("a", 1, "abort", "run", "r1")]) == "free"
    assert hardest([told("a", 1, "note"), told("b", 2, "ask", "tenant", "acme01"), told("c", 3, "block")]) == "ask"


def test_the_id_tells_who_said_it() -> None:
    assert (said_by("by-hand-1"), said_by("budget-1-2"), said_by("0" * 32)) == ("person", "budget", "rule")
