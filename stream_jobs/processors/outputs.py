"""Output records: what one source record made, encoded for its topics.

Upstream: spans, traces, alerts, verdicts, cards and spends from the core.
Downstream: the stitcher sends them.
Guarantee: the same lists give the same bytes; a topic gets one record for each source record, or numbered parts when
one record could not hold all.
"""

from collections.abc import Callable, Iterator
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

    def alerts(part: int, items: list[Alert]) -> AlertBatch:
        return AlertBatch(tenant_id=tenant_id, agent_id=agent_id, rev=rev, part=part, alerts=items)

    def spends(part: int, items: list[Spend]) -> SpendBatch:
        at_us = batch.received_at_us
        return SpendBatch(
            tenant_id=tenant_id, agent_id=agent_id, rev=rev, part=part, received_at_us=at_us, spends=items
        )

    def traces(part: int, items: list[Trace]) -> TraceBatch:
        return TraceBatch(tenant_id=tenant_id, agent_id=agent_id, rev=rev, part=part, traces=items)

    def spans(part: int, items: list[Span]) -> SpanBatch:
        return SpanBatch(tenant_id=tenant_id, agent_id=agent_id, rev=rev, part=part, spans=items)

    def cards(part: int, items: list[Card]) -> CardBatch:
        return CardBatch(tenant_id=tenant_id, agent_id=agent_id, rev=rev, part=part, cards=items)

    for value in _values(alerts, list(result.alerts), first_part):
        yield "alerts", topology.alerts, value
    for value in _values(spends, list(result.spends), first_part):
        yield "spend", topology.spend, value
    for value in _values(traces, list(result.traces), first_part):
        yield "traces", topology.traces, value
    for value in _values(spans, [_cut(span) for span in result.spans], first_part):
        yield "spans", topology.spans, value
    for value in _values(cards, list(result.cards), first_part):
        yield "cards", topology.cards, value


def _values(
    batch_of: Callable[[int, list[Item]], msgspec.Struct], items: list[Item], first_part: int
) -> Iterator[bytes]:
    """Encode a list, in as many parts as it needs; one in nearly all cases, and that is encoded once."""
    if not items:
        return
    whole = _encoder.encode(batch_of(first_part, items))
    if len(whole) <= MAX_RECORD_BYTES:
        yield whole
        return
    for part, some in enumerate(_parts(items), first_part):
        yield _encoder.encode(batch_of(part, some))


def _cut(span: Span) -> Span:
    """Leave the texts out of a span that no record could hold; its times, tokens and cost must not be lost."""
    if len(span.input or "") + len(span.output or "") < MAX_RECORD_BYTES // 8:
        return span  # escaping makes text at most six times longer, so this one fits without encoding it
    if len(_encoder.encode(span)) + _ENVELOPE_BYTES <= MAX_RECORD_BYTES:
        return span
    metrics.CUT_SPANS.inc()
    return msgspec.structs.replace(span, input=None, output=None, flags=[*span.flags, CUT_FLAG])


def _parts(items: list[Item]) -> Iterator[list[Item]]:
    """Cut a list so that each part fits a record."""
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
