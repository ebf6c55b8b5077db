"""The redo log: whole, in parts, and half overwritten."""

import pytest

from stream_jobs.processors.journal import Journal, core_key, journal_writes, read_journal

AGENT = b"tenant|agent"
CHANGES = {core_key(b"%d" % number): None if number % 5 == 0 else b"x" * number for number in range(40)}


@pytest.mark.parametrize("max_bytes", [10_000, 100, 37])
def test_what_is_written_is_read(max_bytes: int) -> None:
    writes = list(journal_writes(AGENT, 7, CHANGES, max_bytes))
    assert len(writes) == 1 or max_bytes < 10_000
    kept = dict(writes)
    assert read_journal(kept.get, AGENT) == Journal(rev=7, changes=list(CHANGES.items()))
    assert read_journal(kept.get, b"tenant|other") is None


def test_the_head_comes_last_and_no_part_is_too_large() -> None:
    *parts, head = journal_writes(AGENT, 7, CHANGES, 100)
    assert head[0].endswith(b"\x000")
    assert all(len(value or b"") <= 100 for _, value in parts)


def test_parts_overwritten_by_an_unfinished_journal_are_not_applied() -> None:
    older = dict(journal_writes(AGENT, 7, CHANGES, 100))
    newer = list(journal_writes(AGENT, 8, dict.fromkeys(CHANGES, b"y" * 30), 100))
    for number_written in range(1, len(newer)):
        kept = {**older, **dict(newer[:number_written])}
        found = read_journal(kept.get, AGENT)
        assert found == Journal(rev=7, changes=[]), "journal 7 was applied before 8 began"
    assert read_journal({**older, **dict(newer)}.get, AGENT) == Journal(
        rev=8, changes=[(key, b"y" * 30) for key in CHANGES]
    )


def test_a_shorter_journal_ignores_parts_left_by_a_longer_one() -> None:
    kept = dict(journal_writes(AGENT, 7, CHANGES, 50)) | dict(journal_writes(AGENT, 8, {b"sk": b"v"}, 50))
    assert read_journal(kept.get, AGENT) == Journal(rev=8, changes=[(b"sk", b"v")])
