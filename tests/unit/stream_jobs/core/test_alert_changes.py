"""What is told of an alert that changes more than once within one record: that it rose, and that it is over."""

import pytest

from stream_jobs.contracts.alert import Alert
from tests.unit.stream_jobs.core.stitching import Replay
from tests.unit.stream_jobs.detect.story import Story, watch
from tests.unit.stream_jobs.detect.test_batches import everything_at_once


@pytest.fixture(scope="module")
def story() -> Story:
    return everything_at_once()


@pytest.fixture(scope="module")
def one_by_one(story: Story) -> Replay:
    return watch(story, size=1)


def raised(replay: Replay) -> set[tuple[str, str]]:
    return {(it.rule, it.alert_id) for it in replay.alerts if it.state != "ok"}


def over(replay: Replay) -> set[str]:
    last = {alert.alert_id: alert.state for alert in replay.alerts}
    return {alert_id for alert_id, state in last.items() if state == "ok"}


@pytest.mark.parametrize("size", [2, 7, 100, 100_000])
def test_every_alert_that_rose_is_told_whatever_the_cut(story: Story, one_by_one: Replay, size: int) -> None:
    replay = watch(story, size=size)
    assert over(one_by_one), "the story has no alert that is over"
    assert raised(replay) == raised(one_by_one)
    assert over(replay) == over(one_by_one)


def test_one_record_tells_an_alert_once_or_as_raised_and_then_over(story: Story) -> None:
    by_alert: dict[str, list[Alert]] = {}
    for alert in watch(story, size=100_000).alerts:
        by_alert.setdefault(alert.alert_id, []).append(alert)
    twice = [told for told in by_alert.values() if len(told) > 1]
    assert twice
    for first, second in twice:
        assert first.state != "ok"
        assert second.state == "ok"
        assert first.rev == second.rev
        assert first.at_us <= second.at_us
        assert first.evidence


def test_what_rose_and_fell_is_not_told_again(story: Story) -> None:
    replay = watch(story, size=100_000)
    num_alerts = len(replay.alerts)
    replay.feed(story.events)
    assert len(replay.alerts) == num_alerts
