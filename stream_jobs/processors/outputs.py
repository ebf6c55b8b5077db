"""Output records: what one source record made, encoded for its topics.

Upstream: spans, traces, alerts, verdicts, cards and spends from the core.
Downstream: the stitcher sends them.
Guarantee: the same lists give the same bytes; a topic gets one record for each source record, or numbered parts when
one record could not hold all.
"""

from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from infra.runtime.topics import MAX_RECORD_BYTES
from producers.contracts.event import EventBatch
from producers.contracts.guard import GuardMessage
from stream_jobs import metrics
from stream_jobs.contracts.alert import Alert, AlertBatch
from stream_jobs.contracts.card import Card, CardBatch
from stream_jobs.contracts.span import Span, SpanBatch
from stream_jobs.contracts.spend import Spend, SpendBatch
from stream_jobs.contracts.trace import Trace, TraceBatch
from stream_jobs.processors.shell import Stitched
from stream_jobs.processors.topology import Topology

# Mark of a span whose texts were left out because the span alone was larger than a record.
CUT_FLAG: Final = "texts_cut"

Item = TypeVar("Item", Span, Trace, Alert, Card, Spend)
_encoder = msgspec.json.Encoder()

# Room for the fields around the list: ids of at most a few hundred bytes.
_ENVELOPE_BYTES: Final = 2_000


def output_records(
    topology: Topology, batch: EventBatch, rev: int, result: Stitched, first_part: int = 0
) -> Iterator[tuple[str, str, bytes]]:
    """Yield (short name, topic, value) of each output record, first what somebody waits for.

    Args:
        first_part: number of the first part of each topic; several agents share the revision of a tick.
    """
    tenant_id, agent_id = batch.tenant_id, batch.agent_id
    for verdict in result.verdicts:
        message = GuardMessage(
            tenant_id=tenant_id, agent_id=agent_id, rev=rev, issued_at_us=batch.received_at_us, body=verdict
        )
        yield "guard", topology.guard, _encoder.encode(message)
    for alert in result.alerts:
        metrics.ALERTS.labels(alert.rule, alert.state).inc()
    for part, alerts in enumerate(_parts(list(result.alerts)), first_part):
        alert_batch = AlertBatch(tenant_id=tenant_id, agent_id=agent_id, rev=rev, part=part, alerts=alerts)
        yield "alerts", topology.alerts, _encoder.encode(alert_batch)
    for part, spends in enumerate(_parts(list(result.spends)), first_part):
        spend_batch = SpendBatch(
            tenant_id=tenant_id,
            agent_id=agent_id,
            rev=rev,
            part=part,
            received_at_us=batch.received_at_us,
            spends=spends,
        )
        yield "spend", topology.spend, _encoder.encode(spend_batch)
    for part, traces in enumerate(_parts(list(result.traces)), first_part):
        trace_batch = TraceBatch(tenant_id=tenant_id, agent_id=agent_id, rev=rev, part=part, traces=traces)
        yield "traces", topology.traces, _encoder.encode(trace_batch)
    for part, spans in enumerate(_parts([_cut(span) for span in result.spans]), first_part):
        span_batch = SpanBatch(tenant_id=tenant_id, agent_id=agent_id, rev=rev, part=part, spans=spans)
        yield "spans", topology.spans, _encoder.encode(span_batch)
    for part, cards in enumerate(_parts(list(result.cards)), first_part):
        card_batch = CardBatch(tenant_id=tenant_id, agent_id=agent_id, rev=rev, part=part, cards=cards)
        yield "cards", topology.cards, _encoder.encode(card_batch)


def _cut(span: Span) -> Span:
    """Leave the texts out of a span that no record could hold; its times, tokens and cost must not be lost."""
    if len(span.input or "") + len(span.output or "") < MAX_RECORD_BYTES // 8:
        return span  # escaping makes text at most six times longer, so this one fits without encoding it
    if len(_encoder.encode(span)) + _ENVELOPE_BYTES <= MAX_RECORD_BYTES:
        return span
    metrics.CUT_SPANS.inc()
    return msgspec.structs.replace(span, input=None, output=None, flags=[*span.flags, CUT_FLAG])


def _parts(items: list[Item]) -> Iterator[list[Item]]:
    """Cut a list so that each part fits a record; one part in nearly all cases."""
    if not items:
        return
    if len(_encoder.encode(items)) + _ENVELOPE_BYTES <= MAX_RECORD_BYTES:
        yield items
        return
    part: list[Item] = []
    size = _ENVELOPE_BYTES
    for item in items:
        item_size = len(_encoder.encode(item)) + 1
        if part and size + item_size > MAX_RECORD_BYTES:
            yield part
            part, size = [], _ENVELOPE_BYTES
        part.append(item)
        size += item_size
    yield part
