"""A table takes each record once."""

import pytest

from lakehouse.contracts.tables import table_named
from lakehouse.sink.buffer import TableBuffer
from lakehouse.sink.feeds import Columns, Mark, Record
from lakehouse.sink.progress import SourceProgress, TableProgress
from stream_jobs.contracts.topics import SPANS, TRACES

TOPIC_IDS = {SPANS.name: "id-spans", TRACES.name: "id-traces"}
ONE_ROW: Columns = {"tenant_id": ["acme01"]}


def buffer_at(progress: TableProgress | None = None) -> TableBuffer:
    """A buffer of the edges, which have two sources."""
    return TableBuffer(table_named("edges"), progress or TableProgress(), TOPIC_IDS)


def offer(buffer: TableBuffer, offset: int, mark: Mark, partition: int = 0) -> bool:
    """Offer a record of spans; whether it was taken."""
    record = Record(SPANS.name, partition, offset, b"value")
    if not buffer.wants(record, mark):
        return False
    buffer.take(record, mark, ONE_ROW, 10)
    return True


def test_progress_survives_its_json() -> None:
    progress = TableProgress(
        epoch=3,
        commit_id="c",
        sources={SPANS.name: SourceProgress("id-spans", {0: 5, 11: 7}, {0: (9, 1), 11: (2**53 + 1, 0)})},
    )
    assert TableProgress.from_json(progress.to_json()) == progress
    assert TableProgress.from_json(None) == TableProgress()


def test_each_commit_has_an_id_of_its_own() -> None:
    progress = TableProgress()
    assert progress.following().epoch == 1
    assert progress.following().commit_id != progress.following().commit_id


def test_a_record_is_taken_once() -> None:
    buffer = buffer_at()
    assert offer(buffer, 0, (7, 0))
    assert not offer(buffer, 0, (7, 0))
    assert offer(buffer, 0, (7, 0), partition=1)


def test_a_record_said_again_under_another_offset_is_passed_over() -> None:
    buffer = buffer_at()
    assert [offer(buffer, 0, (7, 0)), offer(buffer, 1, (7, 1)), offer(buffer, 2, (9, 0))] == [True] * 3
    assert [offer(buffer, 3, (7, 0)), offer(buffer, 4, (7, 1)), offer(buffer, 5, (9, 0))] == [False] * 3
    assert offer(buffer, 6, (9, 1))
    assert buffer.following().sources[SPANS.name].next_offset == {0: 7}


def test_progress_counts_when_it_is_committed_not_before() -> None:
    buffer = buffer_at()
    offer(buffer, 0, (7, 0))
    following = buffer.following()
    offer(buffer, 1, (8, 0))
    assert following.sources[SPANS.name].next_offset == {0: 1}
    assert buffer.committed.sources == {}


def test_a_topic_made_anew_starts_over() -> None:
    old = TableProgress(5, "c", {SPANS.name: SourceProgress("another-id", {0: 100}, {0: (99, 1)})})
    buffer = buffer_at(old)
    assert buffer.next_offset(SPANS.name, 0) == 0
    assert offer(buffer, 0, (1, 0))
    assert buffer.following().epoch == 6


def test_a_known_topic_goes_on() -> None:
    known = TableProgress(5, "c", {SPANS.name: SourceProgress("id-spans", {0: 100}, {0: (99, 1)})})
    buffer = buffer_at(known)
    assert not offer(buffer, 99, (150, 0))
    assert not offer(buffer, 100, (99, 0))
    assert offer(buffer, 101, (99, 1))


@pytest.mark.parametrize("num_rows", [0, 1])
def test_a_record_without_rows_moves_progress_only(num_rows: int) -> None:
    buffer = buffer_at()
    record = Record(TRACES.name, 0, 0, b"value")
    buffer.take(record, (1, 0), {"tenant_id": ["acme01"] * num_rows}, 10)
    assert buffer.has_progress
    assert buffer.has_rows == bool(num_rows)
