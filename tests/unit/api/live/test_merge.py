"""One answer from the tables and the live window."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from api.live.merge import merge_columns, merge_rows
from api.live.rows import compact_row, row_of
from api.views.columns import SpanColumns
from stream_jobs.contracts.span import Span
from tests.integration.api.live_topics import span_of


def span(span_id: str, rev: int, started: int = 0, **more: Any) -> Span:
    return span_of("tenant1", span_id, rev, started_at_us=1_000_000 + started, **more)


def columns(*spans: Span) -> SpanColumns:
    return SpanColumns.of_rows(map(compact_row, spans))


def test_what_came_since_replaces_and_adds() -> None:
    table = [span("r", 1, kind="run", status="running"), span("a", 2, 10, status="running")]
    live = [span("a", 5, 10, status="ok", output_tokens=7), span("b", 6, 5)]
    merged = merge_rows([row_of(one) for one in table], live)
    assert [(row["span_id"], row["status"]) for row in merged] == [("r", "running"), ("b", "ok"), ("a", "ok")]
    assert merged[2]["output_tokens"] == 7
    assert merge_columns(columns(*table), live) == columns(table[0], live[1], live[0])


def test_an_end_is_never_taken_back() -> None:
    ended, running = span("a", 5, status="ok"), span("a", 2, status="running")
    assert merge_rows([row_of(ended)], [running]) == [row_of(ended)]
    assert merge_rows([row_of(running)], [ended]) == [row_of(ended)]


def test_parents_come_first_when_all_start_at_once() -> None:
    table = columns(span("a", 1, parent_span_id="z"))
    merged = merge_columns(table, [span("z", 2), span("b", 3, parent_span_id="a")])
    assert merged.span_id == ["z", "a", "b"]
    assert merged.parents() == [-1, 0, 1]


def test_a_ring_of_parents_ends() -> None:
    merged = merge_columns(columns(span("a", 1, parent_span_id="b")), [span("b", 2, parent_span_id="a")])
    assert sorted(merged.span_id) == ["a", "b"]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3)), max_size=20), st.integers(0, 20))
def test_wherever_the_tables_end_the_answer_is_the_same(changes: list[tuple[str, int]], stored: int) -> None:
    """Of a history of revisions, the tables have the first, the window has the last; they may overlap."""
    history = [span(span_id, rev, started) for rev, (span_id, started) in enumerate(changes)]
    newest = {one.span_id: one for one in history}
    whole = merge_rows([], list(newest.values()))
    in_tables = {one.span_id: one for one in history[:stored]}
    for overlap in (0, 3):
        in_window = {one.span_id: one for one in history[max(0, stored - overlap) :]}
        rows = merge_rows([row_of(one) for one in in_tables.values()], list(in_window.values()))
        assert rows == whole
