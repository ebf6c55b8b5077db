"""Skeleton, timeline, call graph and diff of traces made of nothing."""

import gzip
import itertools
import time
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.views.call_graph import make_call_graph
from api.views.columns import SpanColumns, scaled, usd
from api.views.skeleton import Skeleton, make_skeleton
from api.views.timeline import assign_lanes, critical_path
from stream_jobs.core.learn.tree_diff import align, diff_traces
from tests.unit.api.views.trees import columns, large_trace, traces

MAX_BYTES_A_SPAN = 120


@pytest.mark.parametrize("num_spans", [10_000])
def test_a_skeleton_is_small(num_spans: int) -> None:
    body = msgspec.json.encode(make_skeleton(large_trace(num_spans)))
    assert len(gzip.compress(body, 5)) / num_spans <= MAX_BYTES_A_SPAN


def test_a_skeleton_of_100k_spans_is_made_in_seconds() -> None:
    spans = large_trace(100_000)
    began_at_s = time.process_time()
    body = msgspec.json.encode(make_skeleton(spans))
    assert time.process_time() - began_at_s < 5
    assert len(msgspec.json.decode(body, type=Skeleton).span_id) == 100_000


@given(traces())
def test_a_skeleton_says_what_the_spans_say(spans: SpanColumns) -> None:
    skeleton = msgspec.json.decode(msgspec.json.encode(make_skeleton(spans)), type=Skeleton)
    text = [*skeleton.strings, None]
    for index in range(len(spans)):
        assert text[skeleton.name[index]] == spans.name[index]
        assert text[skeleton.agent[index]] == spans.agent[index]
        assert skeleton.kinds[skeleton.kind[index]] == spans.kind[index]
        assert skeleton.started_us + skeleton.start_us[index] == spans.started_us[index]
        parent = skeleton.parent[index]
        if parent >= 0:
            assert skeleton.span_id[parent] == spans.parent_span_id[index]
        else:
            assert spans.parent_span_id[index] not in spans.span_id
        assert skeleton.cost_e12[index] == spans.cost[index]


@given(traces(max_spans=14))
def test_lanes_hold_spans_that_do_not_overlap(spans: SpanColumns) -> None:
    lanes, ends = assign_lanes(spans), spans.ends()
    last: dict[int, int] = {}
    busiest = 0
    for index in sorted(range(len(spans)), key=spans.started_us.__getitem__):
        start = spans.started_us[index]
        assert last.get(lanes[index], -1) <= start
        last[lanes[index]] = max(ends[index], start + 1)
        busiest = max(busiest, sum(end > start for end in last.values()))
    assert max(lanes, default=-1) + 1 == busiest


@given(traces(max_spans=14))
def test_the_critical_path_has_no_gap(spans: SpanColumns) -> None:
    path = critical_path(spans)
    start, end = spans.span_of_time()
    assert sum(segment.to_us - segment.from_us for segment in path) == end - start
    for one, following in itertools.pairwise(path):
        assert one.to_us == following.from_us
    for segment in path:
        assert segment.from_us < segment.to_us
        if segment.index >= 0:
            assert spans.started_us[segment.index] <= segment.from_us
            assert segment.to_us <= spans.ends()[segment.index]


def test_the_critical_path_goes_through_what_was_waited_for() -> None:
    spans = columns(
        [
            {"span_id": "run", "kind": "run", "started_us": 0, "ended_us": 100},
            {"span_id": "model", "parent_span_id": "run", "started_us": 10, "ended_us": 30},
            {"span_id": "quick", "parent_span_id": "run", "started_us": 40, "ended_us": 50},
            {"span_id": "slow", "parent_span_id": "run", "started_us": 40, "ended_us": 90},
            {"span_id": "inner", "parent_span_id": "slow", "started_us": 45, "ended_us": 120},
        ]
    )
    told = [
        (spans.span_id[segment.index] if segment.index >= 0 else "", segment.from_us, segment.to_us)
        for segment in critical_path(spans)
    ]
    assert told == [
        ("run", 0, 10),
        ("model", 10, 30),
        ("run", 30, 40),
        ("slow", 40, 45),
        ("inner", 45, 90),
        ("run", 90, 100),
        ("", 100, 120),
    ]


def test_views_of_100k_spans_are_made_in_seconds() -> None:
    spans = large_trace(100_000)
    began_at_s = time.process_time()
    assign_lanes(spans)
    critical_path(spans)
    make_call_graph(spans)
    diff_traces(spans, large_trace(100_000, seed=2))
    assert time.process_time() - began_at_s < 30


def test_a_chain_as_deep_as_the_trace_is_no_trouble() -> None:
    rows: list[dict[str, object]] = [
        {
            "span_id": f"s{depth}",
            "parent_span_id": f"s{depth - 1}",
            "kind": "run",
            "started_us": depth,
            "ended_us": 9999,
        }
        for depth in range(5_000)
    ]
    spans = columns(rows)
    assert len(critical_path(spans)) == 5_000
    assert len(make_call_graph(spans).nodes) == 5_000
    assert diff_traces(spans, spans).num_aligned == 5_000


@given(traces(max_spans=14))
def test_the_call_graph_counts_each_call_once(spans: SpanColumns) -> None:
    graph = make_call_graph(spans)
    nodes = {node.node_id: node for node in graph.nodes}
    for kind, target in (("model_call", "model"), ("tool_call", "tool")):
        edges = [edge for edge in graph.edges if nodes[edge.target].kind == target]
        assert sum(edge.totals.num_calls for edge in edges) == spans.kind.count(kind)
    runs = [node for node in graph.nodes if node.kind == "agent"]
    assert sum(node.totals.num_calls for node in runs) == spans.kind.count("run")
    cost = sum(cost for cost in spans.cost if cost is not None)
    to_models = [edge for edge in graph.edges if nodes[edge.target].kind == "model"]
    assert sum(edge.totals.cost for edge in to_models) == cost
    assert sum(node.totals.cost for node in runs) == cost


def test_an_edge_to_a_sub_agent_has_all_it_cost() -> None:
    spans = columns(
        [
            {"span_id": "r", "kind": "run", "agent": "main"},
            {"span_id": "m", "parent_span_id": "r", "model": "x", "cost": 1, "input_tokens": 10},
            {"span_id": "t", "parent_span_id": "r", "kind": "tool_call", "tool": "sessions_spawn"},
            {"span_id": "c", "parent_span_id": "t", "kind": "run", "agent": "main"},
            {"span_id": "cm", "parent_span_id": "c", "model": "x", "cost": 20, "input_tokens": 5},
            {"span_id": "g", "parent_span_id": "c", "kind": "run", "agent": "deep"},
            {"span_id": "gm", "parent_span_id": "g", "model": "y", "cost": 300, "input_tokens": 7},
        ]
    )
    edges = {(edge.source, edge.target): edge.totals for edge in make_call_graph(spans).edges}
    assert edges["agent:0:main", "agent:1:main"].cost == 320
    assert edges["agent:0:main", "agent:1:main"].tokens == [12, 0, 0, 0]
    assert edges["agent:1:main", "agent:2:deep"].cost == 300
    assert edges["agent:0:main", "model:x"].cost == 1
    assert edges["agent:1:main", "model:x"].cost == 20
    assert edges["agent:0:main", "tool:sessions_spawn"].cost == 0


@given(traces(max_spans=12), traces(max_spans=12))
def test_the_differences_add_up_to_the_difference(before: SpanColumns, after: SpanColumns) -> None:
    diff = diff_traces(before, after)
    costs = [sum(cost for cost in spans.cost if cost is not None) for spans in (before, after)]
    assert diff.cost == costs[1] - costs[0]
    assert sum(difference.cost for difference in diff.differences) == diff.cost
    assert usd(diff.cost) == usd(costs[1]) - usd(costs[0])
    lost = sum(one.totals_before.num_spans for one in diff.differences if one.change == "removed")
    won = sum(one.totals_after.num_spans for one in diff.differences if one.change == "added")
    assert (diff.num_aligned + lost, diff.num_aligned + won) == (len(before), len(after))


@given(traces())
def test_a_trace_differs_in_nothing_from_itself(spans: SpanColumns) -> None:
    diff = diff_traces(spans, spans)
    assert (diff.differences, diff.num_aligned) == ([], len(spans))


def test_one_more_tool_call_is_one_difference() -> None:
    rows: list[dict[str, object]] = [
        {"span_id": "r", "kind": "run", "name": "invoke_agent main"},
        {"span_id": "a", "parent_span_id": "r", "name": "chat x", "cost": 5},
        {"span_id": "b", "parent_span_id": "r", "name": "chat x", "cost": 7},
    ]
    more: dict[str, object] = {"span_id": "t", "parent_span_id": "r", "kind": "tool_call", "name": "execute_tool exec"}
    below: dict[str, object] = {"span_id": "c", "parent_span_id": "t", "name": "chat y", "cost": 40}
    dearer = {**rows[2], "cost": 8}
    diff = diff_traces(columns(rows), columns([rows[0], rows[1], more, below, dearer]))
    assert [(one.change, one.path, one.cost) for one in diff.differences] == [
        ("added", ("invoke_agent main", "execute_tool exec"), 40),
        ("changed", ("invoke_agent main", "chat x"), 1),
    ]


letters = st.lists(st.sampled_from("abc").map(lambda letter: ("k", letter)), max_size=9)


@given(letters, letters)
def test_alignment_is_longest(left: list[tuple[str, str]], right: list[tuple[str, str]]) -> None:
    pairs = align(left, right)
    assert pairs == sorted(set(pairs))
    assert len({one for one, _ in pairs}) == len({other for _, other in pairs}) == len(pairs)
    assert all(left[one] == right[other] for one, other in pairs)

    def longest(one: int, other: int) -> int:
        if one == len(left) or other == len(right):
            return 0
        if left[one] == right[other]:
            return 1 + longest(one + 1, other + 1)
        return max(longest(one + 1, other), longest(one, other + 1))

    assert len(pairs) == longest(0, 0)


def test_long_lists_are_aligned_block_by_block() -> None:
    left = [("k", str(number % 7)) for number in range(3_000)]
    right = [("k", str(number % 5)) for number in range(3_100)]
    pairs = align(left, right)
    assert len(pairs) > 1_000
    assert all(left[one] == right[other] for one, other in pairs)


@given(st.decimals(min_value=-(10**6), max_value=10**6, places=12))
def test_money_is_exact(amount: Decimal) -> None:
    assert usd(scaled(amount)) == amount
