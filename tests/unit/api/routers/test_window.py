"""The time window of a list."""

from datetime import UTC, datetime, timedelta

import pytest

from api.routers.window import check_window, in_utc
from infra.runtime.problem import Problem

WIDTH = timedelta(days=90)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
DAY = timedelta(days=1)


def test_without_anything_it_is_the_newest_ninety_days() -> None:
    assert check_window(None, None, width=WIDTH, latest=NOW) == (NOW - WIDTH, NOW)


def test_with_one_end_the_other_is_ninety_days_away() -> None:
    old = datetime(2020, 1, 1, tzinfo=UTC)
    assert check_window(old, None, width=WIDTH, latest=NOW) == (old, old + WIDTH)
    assert check_window(None, old, width=WIDTH, latest=NOW) == (old - WIDTH, old)


def test_no_zone_means_utc_and_another_is_converted() -> None:
    assert in_utc(datetime.fromisoformat("2026-01-01"), "from") == datetime(2026, 1, 1, tzinfo=UTC)
    assert in_utc(datetime.fromisoformat("2026-01-01T02:00+02:00"), "from") == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("from_at", "to_at", "field"),
    [
        (NOW, NOW, "to"),
        (NOW, NOW - DAY, "to"),
        (NOW - WIDTH - DAY, NOW, "from"),
        (datetime(1, 1, 1, tzinfo=UTC), None, "from"),
        (None, datetime(9999, 12, 31, tzinfo=UTC), "to"),
    ],
)
def test_nonsense_is_a_422_that_names_the_field(from_at: datetime | None, to_at: datetime | None, field: str) -> None:
    with pytest.raises(Problem) as problem:
        check_window(from_at, to_at, width=WIDTH, latest=NOW)
    assert problem.value.status == 422
    assert problem.value.errors[0].field == field
