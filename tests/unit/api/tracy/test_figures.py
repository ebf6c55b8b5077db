"""Figures: what is shown must be the value, rounded as shown, in the unit of its column."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.tracy.figures import parse_figure, say_alike, unit_behind, why_not

GOOD: list[tuple[str, Any, str]] = [
    # counts, thousands separators
    ("3", 3, "num_runs"),
    ("1,234,567", 1_234_567, "input_tokens"),
    ("1 234 567", 1_234_567, "input_tokens"),
    ("1_234", 1_234, "input_tokens"),
    ("1'234", 1_234, "n"),
    ("12,345 tokens", 12_345, "input_tokens"),
    ("-5", -5, "delta"),
    ("−5", -5, "delta"),
    ("7x", 7, "num_calls"),
    # rounding
    ("1.23", Decimal("1.2345"), "avg_depth"),
    ("1.2", Decimal("1.25"), "avg_depth"),
    ("1.3", Decimal("1.25"), "avg_depth"),
    ("2", 1.5, "avg_depth"),
    ("~1,200", 1_234, "num_runs"),
    ("about 1,200", 1_180, "num_runs"),
    ("~12k", 12_345, "input_tokens"),
    # scales
    ("1.2k", 1_234, "input_tokens"),
    ("12.3k tokens", 12_345, "input_tokens"),
    ("1.2M", 1_234_567, "input_tokens"),
    ("1.2 million", 1_234_567, "input_tokens"),
    ("$1.2k", Decimal("1234.5"), "cost_usd"),
    # dollars and cents
    ("$1.23", Decimal("1.2345"), "cost_usd"),
    ("$1", Decimal("1.2345"), "total_cost"),
    ("1.2345 USD", Decimal("1.2345"), "cost_usd"),
    ("12 dollars", Decimal(12), "spend_usd"),
    ("-$5.00", Decimal(-5), "left_usd"),
    ("$-5", Decimal(-5), "left_usd"),
    ("1.5¢", Decimal("0.015"), "cost_usd"),
    ("1.23", Decimal("1.2345"), "cost_usd"),
    # percents
    ("37.5%", Decimal("37.5"), "error_pct"),
    ("37.5 %", Decimal("0.375"), "error_rate"),
    ("38 percent", 0.375, "share"),
    ("100%", 1, "cache_share"),
    # time
    ("1,500 ms", 1_500, "duration_ms"),
    ("1.5 s", 1_500, "duration_ms"),
    ("1.5s", 1_500, "p95_ms"),
    ("2 min", 120, "wait_s"),
    ("2 hours", 7_200_000, "duration_ms"),
    ("1500", 1_500, "duration_ms"),
    # 0 is 0, text is text
    ("0", 0, "num_errors"),
    ("$0.00", Decimal(0), "cost_usd"),
    ("12.50", "12.5", "evidence"),
    ("claude-sonnet-4-6", "claude-sonnet-4-6", "model"),
    ("2026-03-01", datetime(2026, 3, 1, 12, 30, tzinfo=UTC), "started_at"),
    ("2026-03-01 12:30 UTC", datetime(2026, 3, 1, 12, 30, tzinfo=UTC), "started_at"),
    ("2026-03-01T12:30Z", datetime(2026, 3, 1, 12, 30, tzinfo=UTC), "started_at"),
    ("2026-03-01", date(2026, 3, 1), "trace_date"),
]
BAD: list[tuple[str, Any, str]] = [
    ("4", 3, "num_runs"),
    ("1.24", Decimal("1.2345"), "avg_depth"),
    ("1.2346", Decimal("1.2345"), "avg_depth"),
    ("1,200", 1_234, "num_runs"),
    ("~1,300", 1_234, "num_runs"),
    ("12,34", 1_234, "num_runs"),
    ("1,2345", 12_345, "num_runs"),
    ("1.2k", 1_299, "input_tokens"),
    ("1.2m", 1_200_000, "input_tokens"),
    ("1.2M", 1_234, "input_tokens"),
    # units of another kind
    ("$3", 3, "num_runs"),
    ("3 dollars", 3, "input_tokens"),
    ("3 ms", 3, "num_runs"),
    ("3%", Decimal(3), "cost_usd"),
    ("1.5 ms", 1_500, "duration_ms"),
    ("1500 s", 1_500, "duration_ms"),
    ("1.2 tokens", Decimal("1.2"), "cost_usd"),
    ("0.375%", Decimal("0.375"), "error_rate"),
    ("3750%", Decimal("37.5"), "error_pct"),
    # nothing is not 0, and a little is not nothing
    ("0", None, "cost_usd"),
    ("$0.00", Decimal("0.0004"), "cost_usd"),
    ("0", 0.4, "num_errors"),
    ("1", True, "has_error"),
    ("5", float("nan"), "avg"),
    ("5", float("inf"), "avg"),
    # what is no figure
    ("", 0, "n"),
    ("some", 5, "n"),
    ("5 of 7", 5, "n"),
    ("5-7", 5, "n"),
    ("5e3", 5_000, "n"),
    ("٥", 5, "n"),
    ("1 500 000 000 000 000 000 000 000 000 000 000", 5, "n"),
    ("2026-03-02", datetime(2026, 3, 1, tzinfo=UTC), "started_at"),
    ("2026", datetime(2026, 3, 1, tzinfo=UTC), "started_at"),
    ("claude", "claude-sonnet-4-6", "model"),
]


@pytest.mark.parametrize(("shown", "cell", "column"), GOOD)
def test_what_says_the_value_is_taken(shown: str, cell: Any, column: str) -> None:
    assert why_not(shown, cell, column) is None


@pytest.mark.parametrize(("shown", "cell", "column"), BAD)
def test_what_does_not_say_it_is_refused(shown: str, cell: Any, column: str) -> None:
    assert why_not(shown, cell, column)


@pytest.mark.parametrize(
    ("behind", "unit"),
    [(" ms on average", " ms"), ("% of all", "%"), (" million tokens", " million tokens"), (" runs", ""),
     (" minor", ""), (", s", ""), (" M", " M"), ("k", "k")],
)  # fmt: skip
def test_a_unit_behind_a_marker_belongs_to_it(behind: str, unit: str) -> None:
    assert unit_behind(behind) == unit


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=6), st.integers(0, 4))
def test_a_rounded_value_matches_and_its_neighbour_does_not(value: Decimal, places: int) -> None:
    step = Decimal(1).scaleb(-places)
    shown = value.quantize(step)
    if shown or not value:
        assert why_not(f"{shown:,f}", value, "n") is None
        assert why_not(f"{shown + 2 * step:f}", value, "n")


@given(st.text(max_size=30))
def test_any_text_is_read_without_an_error(text: str) -> None:
    parse_figure(text)
    why_not(text, Decimal("1.5"), "cost_usd")
    why_not("1.5", text, "n")


@pytest.mark.parametrize(
    ("shown", "cell", "column", "said"),
    [
        ("$1.2k", Decimal("2345.6"), "cost_usd", "$2.3k"),
        ("1,234", 5_678, "n", "5,678"),
        ("1.5 s", 2_250, "duration_ms", "2.3 s"),
        ("37%", 0.421, "rate", "42%"),
        ("9,999", 123_456, "n", "123,456"),
        ("abc", 5, "n", None),
        ("$1", None, "cost_usd", None),
    ],
)
def test_a_newer_value_is_said_in_the_same_words(shown: str, cell: Any, column: str, said: str | None) -> None:
    assert say_alike(shown, cell, column) == said
