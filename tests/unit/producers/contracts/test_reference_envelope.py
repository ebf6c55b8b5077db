"""The reference's envelopes, through the adapter and the real stitcher, give whole traces."""

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.contracts.event import Event, EventBatch
from producers.contracts.normalise import normalise_event
from producers.contracts.reference_envelope import REFERENCE_SOURCE, adapt_envelope, span_id_of, trace_id_of
from stream_jobs.contracts.span import Span
from stream_jobs.core.stitch import stitch_batch
from tests.unit.producers.contracts.reference_examples import ANNOUNCE_RUN, CHILD_RUN, RUN, START_MS, whole_trace
from tests.unit.stream_jobs.core.stitching import PRICES, RULES, Replay


def stitch(envelopes: list[dict[str, Any]]) -> Replay:
    """Stitch each envelope as a record of its own, as single posts are."""
    into = Replay()
    for envelope in envelopes:
        adapted = adapt_envelope(json.dumps(envelope).encode())
        events = [normalise_event(adapted.spool_id, wire) for wire in adapted.events]
        if events:
            feed(into, adapted.spool_id, events)
    return into


def feed(into: Replay, spool_id: str, events: list[Event]) -> None:
    batch = EventBatch(
        tenant_id="acme01",
        agent_id="box-1",
        source=REFERENCE_SOURCE,
        spool_id=spool_id,
        received_at_us=0,
        events=events,
    )
    result = stitch_batch(into.store, batch, into.next_rev, PRICES, RULES)
    into.next_rev += 1
    for key, value in result.changes.items():
        if value is None:
            into.store.pop(key, None)
        else:
            into.store[key] = value
    into.store |= result.payloads
    into.spans |= {span.span_id: span for span in result.spans}
    into.traces |= {trace.trace_id: trace for trace in result.traces}
    into.counts.update(result.counts)
    into.rejects += result.rejects


def run_of(stitched: Replay, run_id: str) -> Span:
    return next(span for span in stitched.of_kind("run") if span.run_id == run_id)


def test_a_trace_comes_out_whole() -> None:
    stitched = stitch(whole_trace())
    assert stitched.rejects == []
    (trace,) = stitched.traces.values()
    assert trace.trace_id == RUN.replace("-", "")
    assert (trace.num_runs, trace.num_model_calls, trace.num_tool_calls) == (3, 4, 3)
    assert (trace.input_tokens, trace.output_tokens) == (600, 603)
    assert (trace.cache_read_tokens, trace.cache_write_tokens) == (606, 609)
    assert trace.cost_usd is not None
    assert trace.cost_usd > 0
    assert trace.num_unpriced_calls == 0
    assert not trace.is_open
    assert trace.status == "ok"
    # The end of the session, an hour later, is not the end of its runs.
    assert trace.ended_at_us is not None
    assert trace.ended_at_us < (START_MS + 60_000) * 1_000
    assert stitched.counts["usage_mismatches"] == 0


def test_parents_are_who_started_what() -> None:
    stitched = stitch(whole_trace())
    root, child, announce = (run_of(stitched, run_id) for run_id in (RUN, CHILD_RUN, ANNOUNCE_RUN))
    assert root.parent_span_id is None
    assert child.parent_span_id == root.span_id
    assert announce.parent_span_id == child.span_id
    assert child.flags == announce.flags == []
    first, second = stitched.of_kind("attempt")
    assert {first.parent_span_id, second.parent_span_id} == {root.span_id}
    assert {span.parent_span_id for span in stitched.of_kind("tool_call")} == {second.span_id}
    assert (root.name, root.session_key) == ("invoke_agent main", "agent:main:main")
    assert root.output == '["done"]'


def test_calls_and_tools_carry_what_they_did() -> None:
    stitched = stitch(whole_trace())
    failed, *calls = stitched.of_kind("model_call")
    assert (failed.status, failed.error, failed.input_tokens) == ("error", "overloaded", None)
    assert [call.status for call in calls] == ["ok"] * 3
    assert [call.attempt for call in stitched.of_kind("model_call")] == [1, 2, 1, 1]
    tools = {span.tool_name: span for span in stitched.of_kind("tool_call")}
    assert tools["exec"].exit_code == 3
    assert tools["exec"].status == "ok"
    assert (tools["read"].status, tools["read"].error) == ("error", "File not found")
    assert tools["read"].input == '{"command": "read"}'
    assert tools["read"].duration_ms == 10


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_order_and_duplication_gives_the_same(seed: int) -> None:
    rng = random.Random(seed)
    envelopes = whole_trace()
    sent = [envelope for envelope in envelopes for _ in range(rng.choice((1, 1, 2, 3)))]
    rng.shuffle(sent)
    left, right = stitch(envelopes), stitch(sent)
    for name in ("spans", "traces"):
        first, second = (
            {
                key: {k: v for k, v in msgspec.structs.asdict(it).items() if k not in ("rev", "link_rev")}
                for key, it in getattr(stitched, name).items()
            }
            for stitched in (left, right)
        )
        assert first == second


def test_a_second_copy_is_a_duplicate_and_a_twin_is_not() -> None:
    envelope = json.dumps(whole_trace()[0]).encode()
    assert adapt_envelope(envelope) == adapt_envelope(envelope)
    twin = json.loads(envelope)
    twin["event"]["eventId"] = "another"
    assert adapt_envelope(json.dumps(twin).encode()).events[0].seq != adapt_envelope(envelope).events[0].seq


def test_without_prompts_and_results_the_numbers_are_the_same() -> None:
    """The reference's privacy switches leave prompt, system prompt and result away."""
    bare = whole_trace()
    for envelope in bare:
        for field in ("prompt", "result"):
            envelope["event"]["payload"].pop(field, None)
    (trace,) = stitch(bare).traces.values()
    assert (trace.num_spans, trace.input_tokens) == (12, 600)


def test_ids_are_w3c() -> None:
    assert trace_id_of(RUN) == RUN.replace("-", "")
    assert len(trace_id_of("announce:v1:x")) == 32
    assert len(span_id_of("x")) == 16


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"eventType": "nonsense"}, "eventType"),
        ({"tsMs": "now"}, "tsMs"),
        ({"tsMs": -1}, "tsMs"),
        ({"traceId": ""}, "traceId"),
        ({"payload": []}, "payload"),
    ],
)
def test_what_is_no_envelope_says_why(change: dict[str, Any], told: str) -> None:
    envelope = whole_trace()[0]
    envelope["event"] |= change
    with pytest.raises(ValueError, match=told):
        adapt_envelope(json.dumps(envelope).encode())
