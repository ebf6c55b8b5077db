"""The instant at which a replay ends."""

import time

import pytest
import typer

from producers.replay.command import instant_us


def test_events_keep_their_times_unless_an_instant_is_given() -> None:
    assert instant_us("", now=False) is None


@pytest.mark.parametrize(
    "text", ["2026-11-24T08:00:00Z", "2026-11-24T08:00:00", "2026-11-24T09:00:00+01:00", "2026-11-24T08:00:00.000Z"]
)
def test_an_instant_is_utc_unless_it_says_otherwise(text: str) -> None:
    assert instant_us(text, now=False) == 1_795_507_200_000_000


def test_now_is_the_time_of_this_machine() -> None:
    before_us = time.time_ns() // 1000
    found_us = instant_us("", now=True)
    assert found_us is not None
    assert before_us <= found_us <= time.time_ns() // 1000


@pytest.mark.parametrize(("text", "now"), [("yesterday", False), ("2026-11-24T08:00:00Z", True)])
def test_what_is_no_instant_is_refused_by_the_name_of_the_option(
    text: str, now: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        instant_us(text, now=now)
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err.startswith("--until: ")
