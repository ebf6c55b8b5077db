"""A stitcher of today goes on where one of an older release stopped: its state, its events and its outputs are read."""

from collections import Counter

import msgspec
import pytest

from stream_jobs.contracts.span import Span, SpanBatch
from tests.expected import BUCKETS, expected_of
from tests.unit.stream_jobs.processors.older_release import FOLDER, SCENARIOS, LeftBehind, read, stitch_records
from tests.unit.stream_jobs.processors.test_stitcher import TOPOLOGY

RELEASES = {path.name.removesuffix(".json.gz"): read(path) for path in sorted(FOLDER.glob("*.json.gz"))}
CASES = [(release, scenario) for release in RELEASES for scenario in SCENARIOS]


def spans_in(outputs: list[tuple[str, bytes]]) -> dict[str, Span]:
    """The newest revision of each span."""
    spans: dict[str, Span] = {}
    for topic, value in outputs:
        if topic == TOPOLOGY.spans:
            spans.update({span.span_id: span for span in msgspec.json.decode(value, type=SpanBatch).spans})
    return spans


def facts_of(spans: dict[str, Span]) -> tuple[set[str], set[str], Counter[str]]:
    """Model calls, tool calls and tokens."""
    calls = [span for span in spans.values() if span.kind == "model_call"]
    tokens = Counter({name: sum(getattr(call, name) or 0 for call in calls) for name in BUCKETS})
    return (
        {call.span_id for call in calls},
        {span.tool_call_id for span in spans.values() if span.kind == "tool_call" and span.tool_call_id},
        tokens,
    )


@pytest.mark.parametrize(("release", "scenario"), CASES)
def test_the_second_half_of_a_run_is_stitched_over_the_state_of_an_older_release(release: str, scenario: str) -> None:
    left, wanted = RELEASES[release][scenario], expected_of(scenario)
    later = stitch_records(left.records, dict(left.state))
    facts = (wanted.model_call_spans, wanted.tool_call_ids, Counter({name: wanted.tokens[name] for name in BUCKETS}))
    assert facts_of(spans_in(left.outputs + later)) == facts
    # What was done is known to be done.
    assert stitch_records(left.records[: left.num_done], dict(left.state)) == []
    # And all this is in the state: without it the second half leads to something else.
    assert stitch_records(left.records[left.num_done :], {}) != later


def test_every_release_is_there_with_runs_that_are_not_over() -> None:
    assert "0.1.0" in RELEASES
    for left in (one for release in RELEASES.values() for one in release.values()):
        assert isinstance(left, LeftBehind)
        assert 0 < left.num_done < len(left.records)
        assert left.state
        assert any(span.ended_at_us is None for span in spans_in(left.outputs).values())
