"""Positions as texts, and what they mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.live.position import ITEMS_PER_RECORD, InvalidPosition, Layout, furthest, is_behind, place_value

LAYOUT = Layout((2, 1, 3))
VALUES = st.builds(place_value, st.integers(0, 2**40), st.integers(0, ITEMS_PER_RECORD - 1))


@given(st.tuples(*[VALUES] * LAYOUT.num_places))
def test_a_position_survives_its_text(position: tuple[int, ...]) -> None:
    assert LAYOUT.decode(LAYOUT.encode(position)) == position


def test_the_text_is_short_and_fit_for_a_header() -> None:
    text = Layout((4, 4, 4, 4)).encode((place_value(10**9),) * 15 + (place_value(10**9, 7),))
    assert len(text) < 160
    assert set(text) <= set("0123456789abcdef.-_")


def test_partitions_that_were_added_are_read_from_their_beginning() -> None:
    assert Layout((3,)).decode("1-a.b") == (place_value(10), place_value(11), 0)


@pytest.mark.parametrize(
    "text", ["", "1", "2-0.0-0-0.0.0", "1-0.0.0-0-0.0.0", "1-x.0-0-0.0.0", "1--1.0-0-0.0.0", "1-0_fffff.0-0-0.0.0"]
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(InvalidPosition):
        LAYOUT.decode(text)


def test_places_are_numbered_through() -> None:
    assert [LAYOUT.place(LAYOUT.index(topic, p)) for topic, count in enumerate((2, 1, 3)) for p in range(count)] == [
        (0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (2, 2),
    ]  # fmt: skip


def test_furthest_and_behind() -> None:
    assert furthest((1, 5), (3, 2)) == (3, 5)
    assert is_behind((1, 5), (1, 6))
    assert not is_behind((1, 5), (0, 5))
