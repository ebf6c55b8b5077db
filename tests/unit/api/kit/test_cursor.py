"""Cursors: pages partition the list, and a forged one is refused in words."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.kit.cursor import Cursor, Filters, InvalidCursor, decode_cursor, from_us, to_us

instants = st.integers(0, 10**16).map(from_us)
ids = st.text("0123456789abcdef", min_size=1, max_size=4)
# Few instants, so that many items share one and the id has to decide.
items = st.lists(st.tuples(st.integers(0, 5).map(from_us), ids, ids), unique=True, max_size=30)


Item = tuple[datetime, str, str]


def _page(stored: list[Item], after: Cursor | None, limit: int) -> list[Item]:
    """Do what the SQL of the repositories does."""
    newest_first = sorted(stored, reverse=True)
    if after is not None:
        at, key = after.at, after.key
        newest_first = [item for item in newest_first if item[0] <= at and (item[0] < at or item[1:] < key)]
    return newest_first[:limit]


@given(items, st.integers(1, 7), st.lists(st.tuples(st.just(from_us(9)), ids, ids), unique=True, max_size=5))
def test_pages_partition_the_list_while_it_grows(stored: list[Item], limit: int, newer: list[Item]) -> None:
    whole = sorted(stored, reverse=True)
    seen: list[Item] = []
    cursor: Cursor | None = None
    growing = list(stored)
    while True:
        page = _page(growing, cursor, limit + 1)
        seen += page[:limit]
        if len(page) <= limit:
            break
        at, *key = page[limit - 1]
        cursor = decode_cursor(Cursor("traces", "-started_at", to_us(at), tuple(key)).encode(), "traces", num_keys=2)
        growing = [*stored, *newer]
    assert seen == whole


filters = st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.booleans() | st.integers(0, 10**15), max_size=3)


@given(
    st.integers(-(10**15), 10**15) | st.text(max_size=20),
    st.lists(st.text(max_size=60), min_size=3, max_size=3).map(tuple),
    st.none() | instants,
    st.none() | instants,
    filters,
)
def test_a_cursor_comes_back_as_it_was(
    value: int | str, key: tuple[str, ...], from_at: datetime | None, to_at: datetime | None, wanted: Filters
) -> None:
    cursor = Cursor("traces", "-cost_usd", value, key, from_at, to_at, wanted)
    text = cursor.encode()
    assert decode_cursor(text, "traces", num_keys=3) == cursor
    assert text.isascii()
    assert not set(text) & set("+/=?&")


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda raw: raw.hex()))
def test_a_forged_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(text, "traces")


def test_a_cursor_of_another_list_is_refused() -> None:
    text = Cursor("traces", "-started_at", 0, ("x",)).encode()
    with pytest.raises(InvalidCursor, match="list of alerts"):
        decode_cursor(text, "alerts")
    with pytest.raises(InvalidCursor, match="list of traces"):
        decode_cursor(text, "traces", num_keys=3)


def test_a_number_that_no_column_holds_is_refused() -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(Cursor("traces", "-tokens", 2**63, ("x",)).encode(), "traces")
    with pytest.raises(InvalidCursor, match="instant"):
        _ = Cursor("traces", "-started_at", 2**60, ("x",)).at


def test_microseconds_are_exact() -> None:
    at = datetime(2026, 11, 23, 12, 30, 1, 999_999, tzinfo=UTC)
    assert from_us(to_us(at)) == at
    assert from_us(to_us(at) + 1) - at == timedelta(microseconds=1)
