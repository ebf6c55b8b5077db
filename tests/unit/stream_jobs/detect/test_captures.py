"""Captured runs: those that are ordinary work raise nothing by the default rules."""

import pytest

from stream_jobs.core.cost import PriceBook
from tests.captures import AGENT_EVENT_FILES, ROOT, SCENARIOS
from tests.unit.stream_jobs.core.stitching import Replay, events_of, lines_of
from tests.unit.stream_jobs.detect.story import DEFAULTS, states

# The price of the model of the capture "thinking", which the demo's list does not have.
PRICES = PriceBook.from_toml(
    (ROOT / "producers/replay/captures/prices.toml").read_text()
    + '[[price]]\nprovider = "fake"\nmodel = "sim-think"\ninput_usd_per_mtok = "3"\noutput_usd_per_mtok = "15"\n'
)
# A run that repeats itself: what other rules are for. All else is ordinary, a provider that fails and a guard that
# blocks included.
LOOPS = {"guard-block-terminate", "guard-notools", "guard-policy", "guard-throw", "guard-tool", "loop-detection"}
LOOPS |= {"runaway", "runaway-review"}
ORDINARY = sorted(set(SCENARIOS) - LOOPS)
CASES = [(it, False) for it in SCENARIOS] + [(it, True) for it in sorted(AGENT_EVENT_FILES)]
# Rules about money and health, whatever others say of the loops.
MONEY_AND_HEALTH = {
    "run_cost",
    "session_cost",
    "cost_rate",
    "cost_forecast",
    "context_growth",
    "stuck_run",
    "tool_errors",
    "subagent_death",
    "unpriced_model",
    "no_data",
    "blindness",
}


def alerts_of(scenario: str, with_agent_events: bool) -> Replay:
    events = events_of(lines_of(scenario, with_agent_events=with_agent_events))
    return Replay(pricer=PRICES, rules=DEFAULTS).feed_each(events, 7)


@pytest.mark.parametrize("scenario", ORDINARY)
def test_ordinary_work_raises_nothing(scenario: str) -> None:
    for with_agent_events in (False, True) if scenario in AGENT_EVENT_FILES else (False,):
        assert alerts_of(scenario, with_agent_events).alerts == []


def test_not_even_the_loops_are_a_matter_of_money_or_health() -> None:
    for scenario, with_agent_events in CASES:
        raised = {rule for rule, _ in states(alerts_of(scenario, with_agent_events).alerts)}
        assert not raised & MONEY_AND_HEALTH, scenario


def test_all_captures_one_after_the_other_are_an_ordinary_day_of_one_agent() -> None:
    replay = Replay(pricer=PRICES, rules=DEFAULTS)
    num_events = 0
    for scenario in ORDINARY:
        events = events_of(lines_of(scenario, with_agent_events=scenario in AGENT_EVENT_FILES), first_seq=num_events)
        num_events += len(events)
        replay.feed_each(events, 50)
    assert num_events > 1_000
    assert replay.alerts == []
    assert len(replay.traces) > len(ORDINARY) / 2
