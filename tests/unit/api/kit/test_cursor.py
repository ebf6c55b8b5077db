"""Cursors: pages partition the list, and a forged one is refused in words."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.kit.cursor import Cursor, InvalidCursor, decode_cursor, from_us, to_us

instants = st.integers(0, 10**16).map(from_us)
ids = st.text("0123456789abcdef", min_size=1, max_size=4)
# Few instants, so that many items share one and the id has to decide.
items = st.lists(st.tuples(st.integers(0, 5).map(from_us), ids), unique=True, max_size=30)


def _page(stored: list[tuple[datetime, str]], after: Cursor | None, limit: int) -> list[tuple[datetime, str]]:
    """Do what the SQL of the repositories does."""
    newest_first = sorted(stored, reverse=True)
    if after is not None:
        at, last_id = after.at, after.item_id
        newest_first = [item for item in newest_first if item[0] <= at and (item[0] < at or item[1] < last_id)]
    return newest_first[:limit]


@given(items, st.integers(1, 7), st.lists(st.tuples(st.just(from_us(9)), ids), unique=True, max_size=5))
def test_pages_partition_the_list_while_it_grows(
    stored: list[tuple[datetime, str]], limit: int, newer: list[tuple[datetime, str]]
) -> None:
    whole = sorted(stored, reverse=True)
    seen: list[tuple[datetime, str]] = []
    cursor: Cursor | None = None
    growing = list(stored)
    while True:
        page = _page(growing, cursor, limit + 1)
        seen += page[:limit]
        if len(page) <= limit:
            break
        at, last_id = page[limit - 1]
        cursor = decode_cursor(Cursor("traces", at, last_id).encode(), "traces")
        growing = [*stored, *newer]
    assert seen == whole


@given(instants, st.text(max_size=60), st.none() | instants, st.none() | instants, st.none() | st.text(max_size=20))
def test_a_cursor_comes_back_as_it_was(
    at: datetime, item_id: str, from_at: datetime | None, to_at: datetime | None, agent_id: str | None
) -> None:
    cursor = Cursor("traces", at, item_id, from_at, to_at, agent_id)
    text = cursor.encode()
    assert decode_cursor(text, "traces") == cursor
    assert text.isascii()
    assert not set(text) & set("+/=?&")


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda raw: raw.hex()))
def test_a_forged_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(text, "traces")


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(InvalidCursor, match="list of alerts"):
        decode_cursor(Cursor("traces", datetime.now(UTC), "x").encode(), "alerts")


def test_microseconds_are_exact() -> None:
    at = datetime(2026, 11, 23, 12, 30, 1, 999_999, tzinfo=UTC)
    assert from_us(to_us(at)) == at
    assert from_us(to_us(at) + 1) - at == timedelta(microseconds=1)
