"""The critical path of small trees, its sum, and its bound."""

import random
import time
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_jobs.core.cards.critical_path import critical_path
from stream_jobs.core.cards.log import Result
from stream_jobs.core.cards.overlap import overlap, reply_text
from stream_jobs.core.cards.reread import PromptCost, reread_bills
from stream_jobs.core.cards.walk import MAX_SPANS, Tree
from stream_jobs.core.state import Node, RunState, ToolState
from tests.unit.stream_jobs.core.stitching import Replay
from tests.unit.stream_jobs.detect.agent_at_work import Agent

Shape = tuple[str, str, int, int]


def tree_of(*shapes: Shape) -> Tree:
    """Make a tree of (name, parent, start, end); the first is the root."""
    name, _, start, end = shapes[0]
    root = RunState(ref=name, started_at_us=start, ended_at_us=end)
    nodes: list[Node] = [root]
    children: dict[str, list[Node]] = {}
    for name, parent, start, end in shapes[1:]:
        node = Node(ref=name, started_at_us=start, ended_at_us=end)
        nodes.append(node)
        children.setdefault(parent, []).append(node)
    return Tree(root, nodes, children, False)


def parts(tree: Tree) -> list[tuple[str, int]]:
    return [(it.node.ref, it.self_us) for it in critical_path(tree)]


def test_one_after_the_other() -> None:
    tree = tree_of(("run", "", 0, 100), ("plan", "run", 10, 30), ("tool", "run", 40, 70), ("reply", "run", 70, 100))
    assert parts(tree) == [("run", 20), ("plan", 20), ("tool", 30), ("reply", 30)]


def test_of_parallel_calls_the_longer_counts() -> None:
    tree = tree_of(("run", "", 0, 100), ("short", "run", 10, 40), ("long", "run", 10, 80))
    assert parts(tree) == [("run", 30), ("long", 70)]


def test_the_way_leads_into_a_sub_agent_that_outlives_its_call() -> None:
    tree = tree_of(
        ("run", "", 0, 50),
        ("spawn", "run", 10, 20),
        ("reply", "run", 20, 50),
        ("child", "spawn", 15, 90),
        ("think", "child", 20, 90),
        ("announce", "run", 95, 120),
    )
    assert parts(tree) == [("run", 15), ("spawn", 5), ("child", 5), ("think", 70), ("announce", 25)]


def test_what_the_host_did_before_the_run_counts() -> None:
    tree = tree_of(("run", "", 50, 100), ("flush", "run", 0, 40), ("reply", "run", 60, 100))
    assert parts(tree) == [("flush", 40), ("run", 20), ("reply", 40)]


shapes = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 100), st.integers(0, 60)), max_size=30)


@settings(max_examples=300, deadline=None)
@given(made=shapes)
def test_parts_add_up_to_the_duration(made: list[tuple[int, int, int]]) -> None:
    nodes: list[Shape] = [("0", "", 0, 50)]
    for number, (parent, start, length) in enumerate(made, start=1):
        nodes.append((str(number), str(parent % number), start, start + length))
    tree = tree_of(*nodes)
    path = critical_path(tree)
    assert sum(it.self_us for it in path) == max(end for _, _, _, end in nodes)
    assert all(it.self_us > 0 for it in path)
    assert len({it.node.ref for it in path}) == len(path)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_bills_are_within_the_prompts(seed: int) -> None:
    rng = random.Random(seed)
    results = [Result(f"t{n}", rng.randrange(200), rng.randrange(40_000)) for n in range(rng.randrange(12))]
    calls = []
    for seq in rng.sample(range(200), rng.randrange(1, 12)):
        cached, fresh = rng.choice((0, rng.randrange(20_000))), rng.choice((0, rng.randrange(5_000)))
        cached_usd, fresh_usd = Decimal(cached) * 3 / 10**7, Decimal(fresh) * 3 / 10**6
        calls.append(PromptCost(seq, cached, cached_usd, fresh, fresh_usd))
    bills = reread_bills(results, calls)
    assert all(it.cost_usd >= 0 for it in bills)
    assert sum(it.cost_usd for it in bills) <= sum(it.cached_usd + it.fresh_usd for it in calls)
    assert reread_bills(results[::-1], calls[::-1]) == bills


@pytest.mark.parametrize(
    ("left", "right", "wanted"),
    [
        ("The file has 3 lines.", "The file has 3 lines.", 1.0),
        ("one two three four", "zero one two three", 0.33),
        ("nothing of it", "said at last", 0.0),
        ("done", "done", 1.0),
        ("", "said", None),
    ],
)
def test_overlap_of_words(left: str, right: str, wanted: float | None) -> None:
    assert overlap(left, right) == wanted


def test_reply_texts() -> None:
    assert reply_text('["One", "Two"]') == "One\nTwo"
    assert reply_text('["NO_REPLY"]') == reply_text(None) == ""


def test_a_hundred_thousand_spans_cost_no_more_than_the_bound() -> None:
    """The trace is laid into the store as a stitcher would leave it, by calls of one tool each told once."""
    agent = Agent()
    agent.call()
    stitched = Replay().feed_each(agent.events, 10)
    store, prefix = stitched.store, b"acme01|box-1\x1f"
    run_key = next(key for key in store if key.startswith(prefix + b"r\x1f"))
    tool = Agent()
    tool.use("read", "text", path="/a")
    made = Replay().feed_each(tool.events, 10).store
    template = next(value for key, value in made.items() if key.startswith(prefix + b"t\x1f"))
    pattern = msgspec.msgpack.decode(template, type=ToolState)
    run = msgspec.msgpack.decode(store[run_key], type=RunState)
    for number in range(100_000):
        pattern.ref = f"t\x1f{run.run_id}\x1fc{number}"
        pattern.tool_call_id, pattern.span_id = f"c{number}", f"{number:016x}"
        store[prefix + pattern.ref.encode()] = msgspec.msgpack.encode(pattern)
        store[prefix + f"k\x1f{run.ref}\x1f{run.num_children}".encode()] = pattern.ref.encode()
        run.num_children += 1
    store[run_key] = msgspec.msgpack.encode(run)
    first = len(agent.events)
    agent.end()
    before = len(store)
    started = time.perf_counter()
    stitched.feed(agent.events[first:])
    took_s = time.perf_counter() - started
    (card,) = stitched.cards.values()
    assert card.is_partial
    assert len(card.critical_path) <= 6
    assert len(store) < before + 20
    # A generous bound for a loaded machine: walking all of them takes many times longer.
    assert took_s < 5 * MAX_SPANS / 5_000
