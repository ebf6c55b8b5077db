"""A rule tried on stored events raises what the stitcher raised, and says what halting would have changed."""

from decimal import Decimal

import pytest

from stream_jobs.core.detect.rulebook import RuleRow
from stream_jobs.core.detect.rules import RULES
from stream_jobs.processors.backtest import rules_to_try
from tests.captures import SCENARIOS
from tests.unit.stream_jobs.detect.story import MINUTE_MS, SECOND_MS, Story
from tests.unit.stream_jobs.learn.trying import (
    DAY_US,
    HOUR_US,
    MINUTE_US,
    TENANT,
    Live,
    batches_of,
    batches_of_events,
    newest_of,
    order,
    rules,
    tried,
)

LOW = '[run_cost]\nlimit_usd = "0.02"\n[session_cost]\nlimit_usd = "0.05"\n[closing]\nidle_minutes = 5\n'


def test_every_rule_fires_as_it_did_over_all_captures() -> None:
    batches = batches_of(SCENARIOS)
    until_us = batches[-1].received_at_us + HOUR_US
    live = Live(rules(LOW)).run(batches, until_us)
    fired = {it.rule for it in live.alerts}
    assert {"run_cost", "tool_loop"} <= fired
    for rule in sorted(fired):
        result = tried(order(rule, batches, rules_toml=LOW), batches)
        assert newest_of(result) == live.newest(rule), rule
        assert {it.alert_id for it in result.firings} == {
            it.alert_id for it in live.alerts if it.rule == rule and it.state != "ok"
        }
        assert result.num_events == sum(len(batch.events) for batch in batches)


def test_what_time_alone_raises_is_raised_by_made_ticks() -> None:
    story = Story()
    run = story.run()
    run.call(5_000)
    run.tool("read")
    story.wait(90 * MINUTE_MS)
    other = story.run("agent:main:other")
    other.call(5_000)
    batches = batches_of_events(story.events, size=1)
    until_us = batches[-1].received_at_us + 2 * DAY_US
    hear_soon = "[no_data]\nmin_hours = 0\n"
    live = Live(rules(hear_soon), phase_us=3_700_000).run(batches, until_us)
    for rule in ("stuck_run", "no_data"):
        told = live.newest(rule)
        found = newest_of(tried(order(rule, batches, after_us=2 * DAY_US, rules_toml=hear_soon), batches))
        assert told.keys() == found.keys() != set(), rule
        for key, (state, at_us) in told.items():
            assert found[key][0] == state
            assert abs(found[key][1] - at_us) <= MINUTE_US


def test_two_agents_at_once_are_told_apart_and_one_can_be_asked_for() -> None:
    batches = batches_of(["runaway"], agent_id="box-1") + batches_of(["runaway", "simple"], agent_id="box-2")
    batches.sort(key=lambda it: (it.received_at_us, it.agent_id))
    live = Live(rules()).run(batches, batches[-1].received_at_us + HOUR_US)
    result = tried(order("tool_loop", batches), batches)
    assert newest_of(result) == live.newest("tool_loop")
    assert {agent for agent, _ in newest_of(result)} == {"box-1", "box-2"}


def test_the_same_order_gives_the_same_result_however_often_it_is_asked() -> None:
    batches = batches_of(["runaway", "subagent"])
    wanted = order("run_cost", batches, rules_toml=LOW)
    assert tried(wanted, batches) == tried(wanted, batches)


def _dear_run(*, is_ok: bool) -> Story:
    """A run of five calls of a cent and a half; its sub-agent makes two more at its end."""
    story = Story()
    run = story.run()
    for _ in range(5):
        run.call(5_000)
        story.wait(SECOND_MS)
    child = story.run("agent:main:subagent:1", parent=run)
    child.call(1_000)
    child.call(1_000)
    child.end()
    run.end(error="" if is_ok else "it broke")
    return story


@pytest.mark.parametrize("is_ok", [True, False])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_what_came_after_the_firing_is_what_halting_saves(is_ok: bool, size: int) -> None:
    batches = batches_of_events(_dear_run(is_ok=is_ok).events, size=size)
    result = tried(order("run_cost", batches, settings={"limit_usd": "0.029"}), batches)
    (firing,) = result.firings
    # The second call of a cent and a half crosses the limit; three of the run and two of its sub-agent come after.
    assert (firing.state, firing.scope, firing.scope_id) == ("alert", "run", "run-1")
    assert (firing.saved_usd, firing.num_calls_saved, firing.num_runs_stopped) == (Decimal("0.051"), 5, 2)
    assert [(it.session_key, it.spent_after_usd, it.num_calls_after) for it in result.stopped_runs] == [
        ("agent:main:work", Decimal("0.045"), 3),
        ("agent:main:subagent:1", Decimal("0.006"), 2),
    ]
    assert [it.status for it in result.stopped_runs] == ["ok" if is_ok else "error", "ok"]
    assert result.stopped_runs[0].cost_usd == Decimal("0.075")
    assert result.settings["limit_usd"] == "0.029"
    assert result.settings["action"] == "none"


def test_a_session_is_halted_for_as_long_as_the_word_holds() -> None:
    story = Story()
    for _ in range(3):
        story.work(num_calls=2)
        story.wait(10 * MINUTE_MS)
    story.work("agent:main:other", num_calls=2)
    story.wait(60 * MINUTE_MS)
    story.work(num_calls=2)
    batches = batches_of_events(story.events)
    settings = {"limit_usd": "0.04", "hold_s": 1_800}
    result = tried(order("session_cost", batches, settings=settings), batches)
    first = result.firings[0]
    assert (first.scope, first.scope_id) == ("session", "agent:main:work")
    # The third call crosses it: one more of that run, and the third run; the other session and the last run go on.
    assert (first.num_calls_saved, first.saved_usd) == (3, Decimal("0.045"))


def test_nothing_is_saved_twice_and_warm_up_settles_only_what_stands() -> None:
    batches = batches_of_events(_dear_run(is_ok=True).events, size=1)
    whole = tried(order("run_cost", batches, settings={"limit_usd": "0.029"}), batches)
    late = order("run_cost", batches, settings={"limit_usd": "0.029"}, since_us=whole.firings[0].fired_at_us + 1)
    assert tried(late, batches).firings == []
    # Both the run and the sub-agent cross so low a limit by themselves; a call counts for the first halt over it.
    result = tried(order("run_cost", batches, settings={"limit_usd": "0.001"}), batches)
    assert len(result.firings) == 2
    saved = sum((it.saved_usd for it in result.firings), Decimal(0))
    assert saved == sum((it.spent_after_usd for it in result.stopped_runs), Decimal(0)) == Decimal("0.066")


def test_settings_lie_over_what_holds_and_are_refused_by_name() -> None:
    batches = batches_of(["simple"])
    wanted = order(
        "run_cost",
        batches,
        settings={"limit_usd": "2"},
        rules_toml='[run_cost]\nlimit_usd = "9"\nhold_s = 60\n',
        rows=[RuleRow(TENANT, "box-2", "run_cost", {"limit_usd": "7", "action": "ask"})],
    )
    book, holds = rules_to_try(wanted)
    assert (holds["limit_usd"], holds["hold_s"], holds["action"]) == ("2", 60, "none")
    of_other = book.of_agent(TENANT, "box-2")["run_cost"].model_dump(mode="json")
    # What an agent has of its own stays on top, as it would for a change of the tenant's; its action is tried as abort.
    assert (of_other["limit_usd"], of_other["action"]) == ("7", "abort")
    for settings, words in (({"limit": "1"}, "limit"), ({"limit_usd": "-1"}, "limit_usd")):
        with pytest.raises(ValueError, match=words):
            rules_to_try(order("run_cost", batches, settings=settings))


def test_telling_an_agent_to_stop_changes_nothing_of_what_fires() -> None:
    batches = batches_of([it for it in SCENARIOS if it.startswith(("runaway", "loop", "guard"))])
    until_us = batches[-1].received_at_us
    quiet = Live(rules(LOW)).run(batches, until_us)
    told = "".join(
        f'[{rule.name}]\naction = "abort"\n' for rule in RULES if rule.name not in ("run_cost", "session_cost")
    )
    loud = Live(rules(LOW.replace("limit_usd", 'action = "abort"\nlimit_usd') + told)).run(batches, until_us)
    assert [(it.alert_id, it.state, it.at_us) for it in quiet.alerts] == [
        (it.alert_id, it.state, it.at_us) for it in loud.alerts
    ]
