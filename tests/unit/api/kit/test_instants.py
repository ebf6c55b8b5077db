"""Instants keep their microseconds, where a float of seconds loses them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.kit.instants import from_us, to_us

# The last one of a four-digit year.
_LAST_US = 253_402_300_799_999_999


@given(st.integers(-_LAST_US // 10, _LAST_US))
def test_there_and_back(us: int) -> None:
    assert to_us(from_us(us)) == us


def test_an_instant_without_a_zone_is_nobodys() -> None:
    assert to_us(datetime(1970, 1, 1, 0, 0, 1, 5, UTC)) == 1_000_005
    with pytest.raises(TypeError):
        to_us(datetime(1970, 1, 1))  # noqa: DTZ001
