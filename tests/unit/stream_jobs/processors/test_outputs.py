"""Output records: one for each topic, parts when too large."""

import msgspec

from infra.runtime.topics import MAX_RECORD_BYTES
from producers.contracts.event import EventBatch, Source
from stream_jobs.contracts.alert import Alert
from stream_jobs.contracts.span import Span, SpanBatch
from stream_jobs.core.stitch import StitchResult
from stream_jobs.processors.outputs import CUT_FLAG, output_records
from stream_jobs.processors.topology import Topology

TOPOLOGY = Topology.with_prefix("x.")


def span(name: str, text: str | None = None) -> Span:
    return Span(
        tenant_id="tenant", agent_id="agent", trace_id="t", span_id=name, kind="run", operation_name="invoke_agent",
        name=name, status="running", trace_date="2026-01-01", started_at_us=1, link_rev=1, rev=1, output=text,
    )  # fmt: skip


def records(spans: list[Span], alerts: list[Alert] | None = None) -> list[tuple[str, str, bytes]]:
    batch = EventBatch(
        tenant_id="tenant", agent_id="agent", source=Source(name="test"), spool_id="s", received_at_us=5, events=[]
    )
    return list(output_records(TOPOLOGY, batch, 1, StitchResult(spans=spans, alerts=alerts or [])))


def test_nothing_gives_nothing() -> None:
    assert records([]) == []


def test_one_record_for_a_topic() -> None:
    ((name, topic, value),) = records([span("a"), span("b")])
    assert (name, topic) == ("spans", "x.clawtrace.spans.v1")
    batch = msgspec.json.decode(value, type=SpanBatch)
    assert (batch.part, [one.name for one in batch.spans]) == (0, ["a", "b"])


def test_too_much_is_split_in_numbered_parts_that_keep_the_order() -> None:
    many = [span(str(number), "x" * 90_000) for number in range(25)]
    values = [value for _, _, value in records(many)]
    assert len(values) > 2
    assert all(len(value) <= MAX_RECORD_BYTES for value in values)
    batches = [msgspec.json.decode(value, type=SpanBatch) for value in values]
    assert [batch.part for batch in batches] == list(range(len(values)))
    assert [one for batch in batches for one in batch.spans] == many


def test_a_span_that_fits_no_record_keeps_all_but_its_texts() -> None:
    ((_, _, value),) = records([span("huge", "\x01" * (MAX_RECORD_BYTES // 4))])
    (kept,) = msgspec.json.decode(value, type=SpanBatch).spans
    assert kept == msgspec.structs.replace(span("huge"), flags=[CUT_FLAG])
