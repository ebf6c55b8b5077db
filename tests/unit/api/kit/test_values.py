"""Values as JSON: always valid, never a float for money."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.kit.values import decimal_text, json_value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("1.500000000000"), "1.5"),
        (Decimal("0E-12"), "0"),
        (Decimal("0.000000000001"), "0.000000000001"),
        (Decimal("120"), "120"),
        (Decimal("-0.10"), "-0.1"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (b"\x00\xff", "00ff"),
        (date(2026, 11, 23), "2026-11-23"),
        (datetime(2026, 11, 23, 1, tzinfo=UTC), "2026-11-23T01:00:00Z"),
        (datetime(2026, 11, 23, 1, tzinfo=timezone(timedelta(hours=1))), "2026-11-23T00:00:00Z"),
        (datetime.fromisoformat("2026-11-23T01:00"), "2026-11-23T01:00:00"),
        ({"a": [Decimal("1.10"), None], 2: True}, {"a": ["1.1", None], "2": True}),
        ((1, "x"), [1, "x"]),
    ],
)
def test_known_values(value: Any, expected: Any) -> None:
    assert json_value(value) == expected


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12))
def test_decimal_text_keeps_the_value(value: Decimal) -> None:
    text = decimal_text(value)
    assert Decimal(text) == value
    assert "E" not in text


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.decimals() | st.datetimes() | st.binary() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    )
)
def test_everything_becomes_valid_json(value: Any) -> None:
    json.dumps(json_value(value), allow_nan=False)
