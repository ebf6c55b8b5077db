"""Cards of the captured runs, and of runs made up for one question each.

The cards are compared with ``golden/*.yaml``; ``UPDATE_GOLDEN=1`` writes those anew.
"""

import os
import random
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from strictyaml import ruamel

from stream_jobs.contracts.card import Card
from stream_jobs.contracts.card_yaml import MAX_CARD_BYTES, render_card
from stream_jobs.core.cards.card import task_id_of
from tests.captures import SCENARIOS
from tests.unit.stream_jobs.core.stitching import Replay, events_of, lines_of, replay
from tests.unit.stream_jobs.detect.agent_at_work import Agent

GOLDEN = Path(__file__).parent / "golden"


def card_of(agent: Agent, size: int = 9) -> Card:
    stitched = Replay().feed_each(agent.events, size)
    (card,) = stitched.cards.values()
    return card


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_cards_are_as_they_were(scenario: str) -> None:
    cards = sorted(replay(scenario).cards.values(), key=lambda it: (it.trace_date, it.trace_id))
    text = "---\n".join(map(render_card, cards))
    path = GOLDEN / f"{scenario}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_number_is_in_the_spans(scenario: str) -> None:
    stitched = replay(scenario)
    assert stitched.cards.keys() == stitched.traces.keys()
    for card in stitched.cards.values():
        trace = stitched.traces[card.trace_id]
        spans = {it.span_id: it for it in stitched.spans.values() if it.trace_id == card.trace_id}
        calls = [it for it in spans.values() if it.kind == "model_call"]
        assert (card.total_cost_usd, card.num_tool_calls) == (trace.cost_usd, trace.num_tool_calls)
        assert card.output_tokens == sum(it.output_tokens or 0 for it in calls)
        assert card.duration_ms == trace.duration_ms
        dearest = sorted((it.cost_usd for it in calls if it.cost_usd is not None), reverse=True)[:6]
        assert [it.cost_usd for it in card.top_cost_spans] == dearest
        assert all(spans[it.span_id].cost_usd == it.cost_usd for it in card.top_cost_spans)
        marked = [it for it in spans.values() if "redundant" in it.flags]
        assert sum(it.count for it in card.redundant_tool_calls) == len(marked)
        assert all(
            spans[it].tool_name == group.tool_name for group in card.redundant_tool_calls for it in group.span_ids
        )
        children = {it.span_id for it in spans.values() if it.name.startswith("invoke_agent") and it.depth}
        assert {it.span_id for it in card.sub_agents} <= children
        assert sum(it.self_ms for it in card.critical_path) <= card.duration_ms
        assert (card.reread_cost_usd or 0) <= (card.total_cost_usd or 0)
        assert not card.is_partial


@pytest.mark.parametrize("scenario", ["subagent", "nested-subagent", "multi-tool", "model-fallback", "tool-error"])
def test_order_and_batches_make_no_difference(scenario: str) -> None:
    events = events_of(lines_of(scenario))
    whole = Replay().feed_each(events, len(events))
    for seed in range(4):
        rng = random.Random(seed)
        places = {event.seq: place + 6 * rng.random() for place, event in enumerate(events)}
        shuffled = Replay().feed_each(sorted(events, key=lambda it: places[it.seq]), rng.choice((1, 4, 30)))
        for trace_id, card in whole.cards.items():
            other = shuffled.cards[trace_id]
            assert msgspec.structs.replace(other, rev=0) == msgspec.structs.replace(card, rev=0)


@pytest.mark.parametrize(
    ("session_key", "task_id"),
    [
        ("agent:main:probe-subagent-1795411441", "agent:main:probe-subagent"),
        ("agent:main:subagent:1aa8b4d0-57c9-481a-a5e7-3bc8aa88f5f0", "agent:main:subagent"),
        ("agent:main:cron:nightly:run:1aa8b4d0-57c9-481a-a5e7-3bc8aa88f5f0", "agent:main:cron:nightly"),
        ("agent:main:main", "agent:main:main"),
        ("1795411441123", "1795411441123"),
    ],
)
def test_task_id_has_no_random_part(session_key: str, task_id: str) -> None:
    assert task_id_of(session_key) == task_id


def test_results_are_billed_for_every_later_call() -> None:
    agent = Agent()
    agent.call(tokens=1_000)
    agent.use("read", "x" * 8_000, path="/a")
    for _ in range(3):
        agent.call(tokens=10_000)
    agent.end()
    card = card_of(agent)
    (bill,) = card.reread_bill
    assert (bill.tool_name, bill.num_tokens, bill.num_calls) == ("read", 2_000, 3)
    # Three times 2,000 tokens of fresh input, at 3 dollars a million.
    assert bill.cost_usd == card.reread_cost_usd == Decimal("0.018")


def test_the_bill_is_never_more_than_the_prompts_cost() -> None:
    agent = Agent()
    agent.call(tokens=500)
    for _ in range(20):
        agent.use("read", "x" * 60_000, path="/a")
        agent.call(tokens=700)
    agent.end()
    card = card_of(agent)
    assert card.reread_cost_usd is not None
    assert card.total_cost_usd is not None
    # The first prompt held no result.
    assert card.reread_cost_usd <= card.total_cost_usd - Decimal("0.0015")
    assert card.reread_cost_usd > card.total_cost_usd * Decimal("0.9")


def test_failures_are_named_with_their_reason() -> None:
    agent = Agent()
    agent.use("read", error="ENOENT: no such file", path="/a")
    agent.run("make", "boom", 2)
    agent.call(tokens=None, outcome="error")
    agent.end()
    card = card_of(agent)
    assert [it.split(" ", 1)[1] for it in card.failed_or_repeated_steps] == [
        "read: ENOENT: no such file",
        "exec: exit code 2",
        "sim-1: failed",
    ]


def test_a_closed_trace_that_changes_has_its_card_made_again() -> None:
    agent = Agent()
    agent.call()
    agent.end()
    late = len(agent.events)
    agent.call(tokens=9_000)
    agent.end()
    stitched = Replay()
    stitched.feed(agent.events[:late])
    (first,) = stitched.cards.values()
    stitched.feed(agent.events[late:])
    (second,) = stitched.cards.values()
    assert (first.num_model_calls, second.num_model_calls) == (1, 2)
    assert second.rev > first.rev


def test_an_open_trace_has_no_card() -> None:
    agent = Agent()
    agent.call()
    assert Replay().feed_each(agent.events, 2).cards == {}


def test_what_is_kept_for_a_card_has_a_bound() -> None:
    def biggest(num_calls: int) -> int:
        agent = Agent()
        for number in range(num_calls):
            agent.call(tokens=1_000 + number)
            agent.use("read", "x" * (500 + number), path=f"/{number * 7919}")
            agent.use("web_fetch", error=f"ENOTFOUND {number}", url=f"https://{number * 7919}.test")
        store = Replay().feed_each(agent.events, 50).store
        return max(len(value) for key, value in store.items() if b"card" in key)

    assert biggest(400) < 1.1 * biggest(200)


def big_card() -> Card:
    agent = Agent()
    for number in range(40):
        agent.call(tokens=50_000 + number)
        agent.use("read", "long text “quoted” " * 900, path=f"/home/user/{number * 7919}/file.txt")
        agent.run(f"make step-{number}", "boom", 2)
        agent.use("web_fetch", error="Ünïcode: " + "ж" * 200, url="https://a.test")
    agent.end()
    return card_of(agent, 60)


def test_yaml_fits_into_two_kilobytes_and_says_what_was_cut() -> None:
    card = big_card()
    text = render_card(card)
    assert len(text.encode()) <= MAX_CARD_BYTES
    assert text == render_card(card)
    read = ruamel.YAML(typ="safe").load(text)
    assert read["lists_cut"] is True
    assert read["trace_id"] == card.trace_id
    assert read["num_model_calls"] == 40
    assert len(render_card(card, 900).encode()) <= 900


@pytest.mark.parametrize("scenario", ["subagent", "tool-error", "two-turns"])
def test_yaml_says_what_the_card_says(scenario: str) -> None:
    for card in replay(scenario).cards.values():
        read = ruamel.YAML(typ="safe").load(render_card(card, 20_000))
        assert Decimal(str(read["total_cost_usd"])) == card.total_cost_usd
        assert [str(it["span_id"]) for it in read["top_cost_spans"]] == [it.span_id for it in card.top_cost_spans]
        assert read.get("failed_or_repeated_steps", []) == card.failed_or_repeated_steps
        assert read["name"] == card.name
        assert [it["self_ms"] for it in read["critical_path"]] == [it.self_ms for it in card.critical_path]
