"""Makes records as the gateway and the stitcher write them, for the tests of the lakehouse."""

import random
import uuid
from decimal import Decimal
from typing import Any

import msgspec

from producers.contracts.event import Event, EventBatch, Source, TraceContext, encode_event_batch, event_id_of
from stream_jobs.contracts.alert import Alert, AlertBatch
from stream_jobs.contracts.card import Card, CardBatch, CostSpan
from stream_jobs.contracts.span import Span, SpanBatch
from stream_jobs.contracts.trace import Trace, TraceBatch

TENANT = "acme01"
AGENT = "laptop"
DATE = "2026-03-04"
AT_US = 1_772_600_400_000_000  # 2026-03-04T05:00:00Z

encode = msgspec.json.encode


def spool_of(rng: random.Random) -> str:
    """A spool id from a seed."""
    return str(uuid.UUID(int=rng.getrandbits(128)))


def event_batch(spool_id: str, first_seq: int, num_events: int, tenant_id: str = TENANT) -> EventBatch:
    """Events of one spool."""
    events = [
        Event(
            seq=seq,
            event_id=event_id_of(spool_id, seq),
            hook="llm_output",
            at_us=AT_US + seq,
            trace=TraceContext(trace_id="t" * 32) if seq % 2 else None,
            payload=msgspec.Raw(b'{"event":{"n":%d},"ctx":{}}' % seq),
        )
        for seq in range(first_seq, first_seq + num_events)
    ]
    source = Source(name="clawtrace-openclaw", version="0.1.0", host_version="2026.3.1")
    return EventBatch(
        tenant_id=tenant_id, agent_id=AGENT, source=source, spool_id=spool_id, received_at_us=AT_US, events=events
    )


def event_record(spool_id: str, first_seq: int, num_events: int) -> bytes:
    """The same as the value of a record."""
    return encode_event_batch(event_batch(spool_id, first_seq, num_events))


def span(trace_id: str, span_id: str, rev: int, **more: Any) -> Span:
    """A model call, unless told otherwise."""
    values: dict[str, object] = {
        "kind": "model_call",
        "operation_name": "chat",
        "name": "chat gpt",
        "status": "ok",
        "parent_span_id": f"{trace_id}-root",
        "path": [f"{trace_id}-root"],
        "depth": 1,
        "started_at_us": AT_US + rev,
        "ended_at_us": AT_US + rev + 1000,
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_usd": Decimal("0.000123"),
        "link_rev": rev,
    }
    return Span(
        tenant_id=TENANT,
        agent_id=AGENT,
        trace_id=trace_id,
        span_id=span_id,
        trace_date=DATE,
        rev=rev,
        **(values | more),
    )


def span_batch(rev: int, spans: list[Span], part: int = 0) -> SpanBatch:
    """Spans that one source record changed."""
    return SpanBatch(tenant_id=TENANT, agent_id=AGENT, rev=rev, part=part, spans=spans)


def trace(trace_id: str, rev: int, **more: Any) -> Trace:
    """A finished trace, unless told otherwise."""
    values: dict[str, object] = {
        "name": "tidy up",
        "category": "work",
        "status": "ok",
        "started_at_us": AT_US + rev,
        "ended_at_us": AT_US + rev + 5000,
        "is_open": False,
        "models": ["fake/gpt"],
    }
    return Trace(
        tenant_id=TENANT,
        agent_id=AGENT,
        trace_id=trace_id,
        trace_date=DATE,
        rev=rev,
        **(values | more),
    )


def trace_batch(rev: int, traces: list[Trace], part: int = 0) -> TraceBatch:
    """Traces that one source record changed."""
    return TraceBatch(tenant_id=TENANT, agent_id=AGENT, rev=rev, part=part, traces=traces)


def alert_batch(rev: int) -> AlertBatch:
    """One alert."""
    alert = Alert(
        tenant_id=TENANT,
        agent_id=AGENT,
        alert_id="a" * 32,
        rule="run_cost",
        severity="warning",
        state="alert",
        message="A run cost 2 dollars.",
        labels={"run_id": "r1"},
        evidence={"cost_usd": "2.00", "limit_usd": "1.00"},
        trace_id="t1",
        at_us=AT_US,
        rev=rev,
    )
    return AlertBatch(tenant_id=TENANT, agent_id=AGENT, rev=rev, alerts=[alert])


def card_batch(rev: int) -> CardBatch:
    """One card."""
    card = Card(
        tenant_id=TENANT,
        agent_id=AGENT,
        trace_id="t1",
        trace_date=DATE,
        task_id="agent:main:main",
        total_cost_usd=Decimal("0.5"),
        top_cost_spans=[CostSpan(span_id="s1", role_hint="tool_call", cost_usd=Decimal("0.25"))],
        rev=rev,
    )
    return CardBatch(tenant_id=TENANT, agent_id=AGENT, rev=rev, cards=[card])
