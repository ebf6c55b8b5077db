"""Every captured run, stitched whole: nothing lost, nothing twice, the tree as it was.

The expected numbers are read from the captures by other means than the stitcher's: from the messages OpenClaw
wrote, from its own sums, and from the tool and run ids in the hooks. The trees are compared with ``golden/*.txt``;
``UPDATE_GOLDEN=1`` writes those anew.
"""

import os
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.captures import AGENT_EVENT_FILES, SCENARIOS, hook_lines
from tests.unit.stream_jobs.core.stitching import Replay, events_of, lines_of, render, replay

GOLDEN = Path(__file__).parent / "golden"
BUCKETS = ("input", "cacheRead", "cacheWrite", "output")
NANO_USD = Decimal("1e-9")

CASES = [(scenario, False) for scenario in SCENARIOS] + [(scenario, True) for scenario in sorted(AGENT_EVENT_FILES)]
IDS = [f"{scenario}{'+agent-events' if merged else ''}" for scenario, merged in CASES]

Lines = list[dict[str, Any]]


def buckets(usage: dict[str, Any] | None) -> Counter[str]:
    return Counter({name: (usage or {}).get(name, 0) for name in BUCKETS})


def sum_of_outputs(lines: Lines) -> Counter[str]:
    total: Counter[str] = Counter()
    for line in lines:
        if line["hook"] == "llm_output":
            total.update(buckets(line["event"].get("usage")))
    return total


def sum_of_messages(lines: Lines) -> tuple[Counter[str], Decimal]:
    total: Counter[str] = Counter()
    cost_usd = Decimal(0)
    for line in lines:
        if line["hook"] == "before_message_write" and line["event"]["message"]["role"] == "assistant":
            usage = line["event"]["message"]["usage"]
            total.update(buckets(usage))
            cost_usd += Decimal(repr(usage["cost"]["total"]))
    return total, cost_usd


def sum_of_compactions(lines: Lines) -> tuple[Counter[str], Decimal]:
    """Tokens only the diagnostic events tell."""
    total: Counter[str] = Counter()
    cost_usd = Decimal(0)
    for line in lines:
        event = line["event"]
        if event.get("type") == "model.call.completed" and ":compaction:" in event["runId"]:
            total.update(buckets(event["usage"]))
            cost_usd += Decimal(repr(event["usage"]["cost"]["total"]))
    return total, cost_usd


def stitched_sum(stitched: Replay) -> Counter[str]:
    total: Counter[str] = Counter()
    for call in stitched.of_kind("model_call"):
        total["input"] += call.input_tokens or 0
        total["cacheRead"] += call.cache_read_tokens or 0
        total["cacheWrite"] += call.cache_write_tokens or 0
        total["output"] += call.output_tokens or 0
    return total


@pytest.fixture(scope="module", params=CASES, ids=IDS)
def case(request: pytest.FixtureRequest) -> tuple[str, bool, Lines, Replay]:
    scenario, merged = request.param
    lines = lines_of(scenario, with_agent_events=merged)
    return scenario, merged, lines, Replay().feed_each(events_of(lines), 7)


def test_every_token_is_counted_once(case: tuple[str, bool, Lines, Replay]) -> None:
    scenario, _, lines, stitched = case
    from_messages, _ = sum_of_messages(lines)
    from_outputs = sum_of_outputs(lines)
    if scenario == "tool-error":
        # One of its messages never passed before_message_write; OpenClaw's own sum knows the tokens.
        assert from_messages != from_outputs
    elif scenario != "no-conversation-access":
        assert from_messages == from_outputs
    expected = from_messages if scenario == "no-conversation-access" else from_outputs
    expected = Counter(expected)
    expected.update(sum_of_compactions(lines)[0])
    assert stitched_sum(stitched) == expected
    assert stitched.counts["usage_mismatches"] == 0


def test_cost_is_what_openclaw_reckoned(case: tuple[str, bool, Lines, Replay]) -> None:
    scenario, _, lines, stitched = case
    outputs = [line["event"] for line in lines if line["hook"] == "llm_output" and line["event"].get("usage")]
    expected = sum((Decimal(repr(it["usage"]["cost"]["total"])) for it in outputs), Decimal(0))
    if scenario == "no-conversation-access":
        expected = sum_of_messages(lines)[1]
    expected += sum_of_compactions(lines)[1]
    ours = sum((trace.cost_usd or Decimal(0) for trace in stitched.traces.values()), Decimal(0))
    reported = sum((trace.reported_cost_usd or Decimal(0) for trace in stitched.traces.values()), Decimal(0))
    assert abs(reported - expected) < NANO_USD
    if scenario == "thinking":
        # The price list of the captures does not know this model: that is no price, not a price of 0.
        assert [(it.cost_usd, it.num_unpriced_calls) for it in stitched.traces.values()] == [(None, 2)]
        assert stitched.counts["unpriced_calls"] == 2
        return
    assert abs(ours - expected) < NANO_USD
    assert all(trace.num_unpriced_calls == 0 for trace in stitched.traces.values())


def test_every_call_is_one_span(case: tuple[str, bool, Lines, Replay]) -> None:
    _, _, lines, stitched = case
    calls = {line["ctx"]["trace"]["spanId"] for line in lines if line["hook"] == "model_call_started"}
    assert {span.span_id for span in stitched.of_kind("model_call")} == calls
    tools = {
        (line["event"]["runId"], line["event"]["toolCallId"])
        for line in lines
        if line["hook"] in ("before_tool_call", "after_tool_call")
    }
    spans = stitched.of_kind("tool_call")
    assert {(span.run_id, span.tool_call_id) for span in spans} == tools
    assert len(spans) == len(tools)


def test_the_tree_has_no_loose_ends(case: tuple[str, bool, Lines, Replay]) -> None:
    _, _, lines, stitched = case
    tops: dict[str, list[str]] = defaultdict(list)
    for span in stitched.spans.values():
        if span.parent_span_id is None:
            tops[span.trace_id].append(span.span_id)
            assert span.path == []
            continue
        parent = stitched.spans[span.parent_span_id]
        assert parent.trace_id == span.trace_id
        assert span.path == [*parent.path, parent.span_id]
        assert span.depth == len(span.path)
    assert stitched.counts["orphans"] == 0
    assert {trace_id: [trace.root_span_id] for trace_id, trace in stitched.traces.items()} == tops
    named = {line["ctx"]["trace"]["traceId"] for line in lines if "trace" in line["ctx"]}
    assert named <= set(stitched.traces)


def test_sub_agents_hang_under_the_call_that_spawned_them(case: tuple[str, bool, Lines, Replay]) -> None:
    _, _, lines, stitched = case
    runs = {span.run_id: span for span in stitched.of_kind("run")}
    for line in lines:
        if line["hook"] != "after_tool_call" or line["event"]["toolName"] != "sessions_spawn":
            continue
        child = runs[line["event"]["result"]["details"]["runId"]]
        parent = stitched.spans[child.parent_span_id or ""]
        assert (parent.run_id, parent.tool_call_id) == (line["event"]["runId"], line["event"]["toolCallId"])
    for span in stitched.of_kind("run"):
        if (span.run_id or "").startswith("announce:"):
            assert stitched.spans[span.parent_span_id or ""].kind == "run"


def test_traces_are_the_sums_of_their_spans(case: tuple[str, bool, Lines, Replay]) -> None:
    _, _, _, stitched = case
    for trace in stitched.traces.values():
        spans = [span for span in stitched.spans.values() if span.trace_id == trace.trace_id]
        calls = [span for span in spans if span.kind == "model_call"]
        runs = [span for span in spans if span.kind == "run"]
        assert trace.num_spans == len(spans)
        assert trace.num_model_calls == len(calls)
        assert trace.num_runs == len(runs)
        assert trace.num_errors == sum(span.status == "error" for span in spans)
        assert trace.input_tokens == sum(span.input_tokens or 0 for span in calls)
        assert trace.output_tokens == sum(span.output_tokens or 0 for span in calls)
        # A compaction has tokens of its own, and is no run.
        owners = [*runs, *(span for span in spans if span.kind == "compaction")]
        assert trace.cache_read_tokens == sum(it.run_cache_read_tokens or 0 for it in owners)
        assert trace.cache_write_tokens == sum(it.run_cache_write_tokens or 0 for it in owners)
        assert (trace.cost_usd or 0) == sum(it.run_cost_usd or 0 for it in owners)
        assert trace.is_open == any(run.status == "running" for run in runs)


def test_every_run_has_ended(case: tuple[str, bool, Lines, Replay]) -> None:
    scenario, merged, _, stitched = case
    for span in stitched.spans.values():
        assert span.status != "running", (scenario, merged, span)
        assert span.ended_at_us is not None
        assert span.ended_at_us >= span.started_at_us


def test_nothing_is_rejected(case: tuple[str, bool, Lines, Replay]) -> None:
    assert case[3].rejects == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_trees_are_as_they_were(scenario: str) -> None:
    text = render(replay(scenario))
    path = GOLDEN / f"{scenario}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def test_captures_are_all_there() -> None:
    assert len(SCENARIOS) == 46
    assert all(hook_lines(scenario) for scenario in SCENARIOS)
