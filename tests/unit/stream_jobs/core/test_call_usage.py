"""OpenClaw's own estimates are doubles; what is kept of them adds up."""

from decimal import Decimal

import pytest

from stream_jobs.core.call_usage import dollars_of


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("0.0049499999999999995", "0.00495"),
        ("0.0050999999999999995", "0.0051"),
        ("0.006675", "0.006675"),
        ("1e-12", "1e-12"),
        ("4e-13", "0"),
        ("0", "0"),
    ],
)
def test_the_noise_of_floating_point_is_dropped(told: str, kept: str) -> None:
    assert dollars_of(told) == Decimal(kept)


def test_calls_of_a_real_run_add_up_to_its_own_sum() -> None:
    # From the capture ``multi-tool``: its five calls, and the sum that its ``llm_output`` tells.
    calls = ["0.006675", "0.004275", "0.004575", "0.0049499999999999995", "0.0050999999999999995"]
    assert sum(Decimal(told) for told in calls) != Decimal("0.025575")
    assert sum(dollars_of(told) or 0 for told in calls) == dollars_of("0.025575")


@pytest.mark.parametrize("told", [None, "NaN", "Infinity", "1e9", "-1e30"])
def test_what_is_no_sensible_amount_is_none(told: str | None) -> None:
    assert dollars_of(told) is None
