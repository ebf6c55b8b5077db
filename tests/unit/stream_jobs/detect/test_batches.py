"""What is said last of each alert does not depend on how events were cut, sent again or replayed."""

import pytest

from stream_jobs.core.stitch import read_rules
from tests.unit.stream_jobs.core.stitching import Replay
from tests.unit.stream_jobs.detect.story import DEFAULTS, MINUTE_MS, SECOND_MS, Story, last_words, tick, watch


def everything_at_once() -> Story:
    """Ordinary work, and then a bit of all that goes wrong."""
    story = Story()
    for number in range(60):
        story.work(f"agent:main:s{number % 4}", tokens=6_000)
        story.wait(17 * MINUTE_MS)
    run = story.run("agent:main:bad")
    for number in range(40):
        run.call(10_000 + 9_000 * number)
        run.tool("web_fetch", error="ENOTFOUND")
        story.wait(3 * SECOND_MS)
    for _ in range(45):
        run.tool("exec", is_answered=False)
    for number in range(30):
        child = story.run(f"agent:main:subagent:{number:08x}", parent=run)
        child.call(250_000, model="sim-1" if number % 3 else "novel")
        child.call(outcome="error")
        child.end("" if number % 2 else "LLM request timed out")
    run.end()
    for number in range(30):
        story.work(f"agent:main:s{number % 4}", tokens=6_000)
        story.wait(MINUTE_MS)
    return story


@pytest.fixture(scope="module")
def story() -> Story:
    return everything_at_once()


@pytest.fixture(scope="module")
def one_by_one(story: Story) -> Replay:
    return watch(story, size=1)


def test_the_story_raises_every_rule_that_needs_no_clock(one_by_one: Replay) -> None:
    raised = {it.rule for it in one_by_one.alerts if it.state == "alert"}
    wanted = {"run_cost", "session_cost", "cost_rate", "cost_forecast", "context_growth", "tool_errors"}
    assert raised >= wanted | {"subagent_death", "unpriced_model", "blindness"}


@pytest.mark.parametrize("size", [2, 7, 100, 100_000])
def test_any_cut_ends_with_the_same_words(story: Story, one_by_one: Replay, size: int) -> None:
    assert last_words(watch(story, size=size)) == last_words(one_by_one)


@pytest.mark.parametrize("size", [7, 100_000])
def test_what_is_sent_again_alerts_nobody_again(story: Story, size: int) -> None:
    replay = watch(story, size=size)
    num_alerts, store = len(replay.alerts), dict(replay.store)
    replay.feed_each(story.events, 50)
    assert len(replay.alerts) == num_alerts
    assert replay.store == store


def test_no_alert_says_the_same_state_twice_in_a_row(one_by_one: Replay) -> None:
    last: dict[str, str] = {}
    for alert in one_by_one.alerts:
        assert last.get(alert.alert_id, "ok") != alert.state, alert
        last[alert.alert_id] = alert.state


def test_a_rule_that_is_off_says_nothing_and_remembers_nothing(story: Story) -> None:
    quiet = {it.rule for it in watch(story).alerts}
    off = "".join(f"[{rule}]\nenabled = false\n" for rule in sorted(quiet))
    replay = watch(story, rules=read_rules(off))
    assert replay.alerts == []
    for rule in quiet:
        assert not [key for key in replay.store if f"m\x1f{rule}".encode() in key]


def test_what_a_rule_remembers_stays_small() -> None:
    """Ten times the work, and no value has grown: what it remembers is bounded by the rule, not by the stream."""
    sizes = []
    for times in (1, 10):
        story = Story()
        for number in range(30 * times):
            story.work(f"agent:main:s{number % 4}", num_calls=8)
            story.wait(40 * MINUTE_MS)
        replay = Replay(rules=DEFAULTS).feed_each(story.events, 200)
        tick(replay, story.now_ms)
        sizes.append(max(len(value) for key, value in replay.store.items() if b"\x1fm\x1f" in key))
    assert sizes[1] <= 1.5 * sizes[0]
    assert sizes[1] < 4_096
