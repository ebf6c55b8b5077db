"""Dollars in sentences read as on the pages: the examples of api/web/src/kit/format.test.ts."""

from decimal import Decimal

import pytest

from stream_jobs.core.amounts import usd_text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0"),
        ("0.000000321", "$0.00000032"),
        ("0.000000000004", "$0.000000000004"),
        ("0.0526", "$0.053"),
        ("0.055950", "$0.056"),
        ("0.05", "$0.05"),
        ("0.999", "$1.00"),
        ("1", "$1.00"),
        ("47000.5", "$47,000.50"),
        ("-0.25", "−$0.25"),
    ],
)
def test_two_digits_below_a_dollar_and_cents_above(amount: str, text: str) -> None:
    assert usd_text(Decimal(amount)) == text
