"""Which topic feeds which tables, and what rows a record holds for each.

Upstream: values of Kafka records, as bytes.
Downstream: lakehouse.sink.buffer collects the columns until the next commit.
Guarantee: pure, except for the memory of agents, tenants and traces already written, which only saves rows
that the views would fold anyway.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from lakehouse.contracts.tables import (
    ALERTS,
    CARDS,
    EVENTS,
    SCORES,
    SPANS,
    TRACES,
    VERDICTS,
    TableSpec,
)
from lakehouse.sink.rows import Values, getters_of
from producers.contracts.event import EventBatch, decode_event_batch
from producers.contracts.guard import GuardMessage, Verdict, decode_guard_message
from producers.contracts.topics import EVENTS as EVENTS_TOPIC
from producers.contracts.topics import GUARD as GUARD_TOPIC
from stream_jobs.contracts.alert import AlertBatch
from stream_jobs.contracts.card import CardBatch
from stream_jobs.contracts.score import ScoreBatch
from stream_jobs.contracts.span import SpanBatch
from stream_jobs.contracts.topics import ALERTS as ALERTS_TOPIC
from stream_jobs.contracts.topics import BUDGET_ALERTS as BUDGET_ALERTS_TOPIC
from stream_jobs.contracts.topics import CARDS as CARDS_TOPIC
from stream_jobs.contracts.topics import LEARN_ALERTS as LEARN_ALERTS_TOPIC
from stream_jobs.contracts.topics import SCORES as SCORES_TOPIC
from stream_jobs.contracts.topics import SPANS as SPANS_TOPIC
from stream_jobs.contracts.topics import TRACES as TRACES_TOPIC
from stream_jobs.contracts.trace import Trace, TraceBatch

Columns = dict[str, Values]


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record; ``topic`` is the contract's name, without the prefix that tests put before it.

    ``written_at_ms`` is when its writer sent it (UTC, milliseconds); 0 when that is not known.
    """

    topic: str
    partition: int
    offset: int
    value: bytes
    written_at_ms: int = 0


# (rev, part): where an output record stands in its partition; None for events, which are no output.
Mark = tuple[int, int]
NO_MARK: Mark = (-1, 0)

# A trace forgotten here costs one more OWNS row for its next revision, nothing else.
_MAX_REMEMBERED_TRACES = 50_000
_US_PER_S = 1_000_000


@dataclass
class SeenState:
    """What was written about agents, tenants and traces; lives in memory only."""

    refresh_us: int
    last_seen_us: dict[tuple[str, ...], int] = field(default_factory=dict)
    traces: OrderedDict[tuple[str, str], None] = field(default_factory=OrderedDict)

    @classmethod
    def refreshed_every(cls, seconds: float) -> "SeenState":
        """Start with an empty memory."""
        return cls(refresh_us=int(seconds * _US_PER_S))

    def is_news(self, key: tuple[str, ...], at_us: int) -> bool:
        """Whether the key is new, or was seen so much later than written that a row is due."""
        known = self.last_seen_us.get(key)
        if known is not None and at_us < known + self.refresh_us:
            return False
        self.last_seen_us[key] = at_us
        return True

    def is_new_trace(self, tenant_id: str, trace_id: str) -> bool:
        """Whether the trace was not met before, as far as is remembered."""
        key = (tenant_id, trace_id)
        if key in self.traces:
            self.traces.move_to_end(key)
            return False
        self.traces[key] = None
        if len(self.traces) > _MAX_REMEMBERED_TRACES:
            self.traces.popitem(last=False)
        return True


@dataclass(frozen=True)
class Feed:
    """One topic: how to decode its records and what they give to each table."""

    topic: str
    decode: Callable[[bytes], Any]
    mark: Callable[[Any], Mark | None]
    tables: dict[str, Callable[[Any, int, SeenState], Columns]]


def _struct_columns(table: TableSpec, items: Callable[[Any], Sequence[Any]]) -> Callable[..., Columns]:
    getters = getters_of(table.columns)

    def extract(batch: Any, offset: int, seen: SeenState) -> Columns:
        rows = items(batch)
        return {name: list(map(get, rows)) for name, get in getters.items()}

    return extract


_BATCH_FIELDS = frozenset(EventBatch.__struct_fields__) | {"source"}
_event_getters = getters_of(column for column in EVENTS.columns if column.field.partition(".")[0] not in _BATCH_FIELDS)
_batch_getters = getters_of(column for column in EVENTS.columns if column.field.partition(".")[0] in _BATCH_FIELDS)


def _event_columns(batch: EventBatch, offset: int, seen: SeenState) -> Columns:
    events = batch.events
    columns: Columns = {name: list(map(get, events)) for name, get in _event_getters.items()}
    for name, get in _batch_getters.items():
        columns[name] = [get(batch)] * len(events)
    columns["rev"] = [offset] * len(events)
    return columns


_EDGE_FIELDS = ("tenant_id", "kind", "src_id", "dst_id", "agent_id", "trace_id", "trace_date", "rev")


def _edge_columns(edges: Iterator[tuple[Any, ...]]) -> Columns:
    rows = list(edges)
    return {name: [row[number] for row in rows] for number, name in enumerate(_EDGE_FIELDS)}


def _span_edges(batch: SpanBatch, offset: int, seen: SeenState) -> Columns:
    def edges() -> Iterator[tuple[Any, ...]]:
        for span in batch.spans:
            # Later revisions of a span whose parent stayed say nothing new about the graph.
            if span.link_rev != span.rev:
                continue
            place = (span.agent_id, span.trace_id, span.trace_date, span.rev)
            yield (span.tenant_id, "HAS_SPAN", span.trace_id, span.span_id, *place)
            if span.parent_span_id is not None:
                yield (span.tenant_id, "CHILD_OF", span.span_id, span.parent_span_id, *place)

    return _edge_columns(edges())


def _trace_edges(batch: TraceBatch, offset: int, seen: SeenState) -> Columns:
    def edges() -> Iterator[tuple[Any, ...]]:
        for trace in batch.traces:
            tenant_id, agent_id = trace.tenant_id, trace.agent_id
            if seen.is_news(("edge", tenant_id, agent_id), _NEVER_AGAIN):
                yield (tenant_id, "HAS_AGENT", tenant_id, agent_id, agent_id, None, None, trace.rev)
            if seen.is_new_trace(tenant_id, trace.trace_id):
                place = (agent_id, trace.trace_id, trace.trace_date, trace.rev)
                yield (tenant_id, "OWNS", agent_id, trace.trace_id, *place)

    return _edge_columns(edges())


# As a time of being seen: one row per process is enough for what never changes.
_NEVER_AGAIN = 0


def _last_seen_us(trace: Trace) -> int:
    return max(trace.started_at_us, trace.ended_at_us or 0)


def _agents(batch: TraceBatch, offset: int, seen: SeenState) -> Columns:
    rows = [
        trace
        for trace in batch.traces
        if seen.is_news(("agent", trace.tenant_id, trace.agent_id), _last_seen_us(trace))
    ]
    return {**_seen_columns(rows), "agent_id": [trace.agent_id for trace in rows]}


def _tenants(batch: TraceBatch, offset: int, seen: SeenState) -> Columns:
    return _seen_columns(
        [trace for trace in batch.traces if seen.is_news(("tenant", trace.tenant_id), _last_seen_us(trace))]
    )


def _seen_columns(traces: list[Trace]) -> Columns:
    return {
        "tenant_id": [trace.tenant_id for trace in traces],
        "first_seen_at": [trace.started_at_us for trace in traces],
        "last_seen_at": [_last_seen_us(trace) for trace in traces],
        "rev": [trace.rev for trace in traces],
    }


def _verdicts(message: GuardMessage) -> list[GuardMessage]:
    """Allowances come every few minutes and are of no interest once they have lapsed: they make no rows."""
    return [message] if isinstance(message.body, Verdict) else []


def _batch_mark(batch: SpanBatch | TraceBatch | AlertBatch | CardBatch | ScoreBatch) -> Mark:
    return (batch.rev, batch.part)


FEEDS: tuple[Feed, ...] = (
    Feed(EVENTS_TOPIC.name, decode_event_batch, lambda batch: None, {"events": _event_columns}),
    Feed(
        SPANS_TOPIC.name,
        msgspec.json.Decoder(SpanBatch).decode,
        _batch_mark,
        {"spans": _struct_columns(SPANS, lambda batch: batch.spans), "edges": _span_edges},
    ),
    Feed(
        TRACES_TOPIC.name,
        msgspec.json.Decoder(TraceBatch).decode,
        _batch_mark,
        {
            "edges": _trace_edges,
            "traces": _struct_columns(TRACES, lambda batch: batch.traces),
            "agents": _agents,
            "tenants": _tenants,
        },
    ),
    Feed(
        ALERTS_TOPIC.name,
        msgspec.json.Decoder(AlertBatch).decode,
        _batch_mark,
        {"alerts": _struct_columns(ALERTS, lambda batch: batch.alerts)},
    ),
    Feed(
        BUDGET_ALERTS_TOPIC.name,
        msgspec.json.Decoder(AlertBatch).decode,
        _batch_mark,
        {"alerts": _struct_columns(ALERTS, lambda batch: batch.alerts)},
    ),
    Feed(
        LEARN_ALERTS_TOPIC.name,
        msgspec.json.Decoder(AlertBatch).decode,
        _batch_mark,
        {"alerts": _struct_columns(ALERTS, lambda batch: batch.alerts)},
    ),
    # Several writers count for themselves, so there is no mark: what is sent again is a row again, and the view folds
    # it by its id.
    Feed(
        GUARD_TOPIC.name,
        decode_guard_message,
        lambda message: None,
        {"verdicts": _struct_columns(VERDICTS, _verdicts)},
    ),
    Feed(
        CARDS_TOPIC.name,
        msgspec.json.Decoder(CardBatch).decode,
        _batch_mark,
        {"cards": _struct_columns(CARDS, lambda batch: batch.cards)},
    ),
    Feed(
        SCORES_TOPIC.name,
        msgspec.json.Decoder(ScoreBatch).decode,
        _batch_mark,
        {"scores": _struct_columns(SCORES, lambda batch: batch.scores)},
    ),
)


class TablesTornApart(ValueError):
    """The wanted tables do not exist, or leave out some that one topic feeds too; the text says which."""


def feeds_of(wanted: str) -> tuple[Feed, ...]:
    """Feeds of the tables that are named with commas between them; all when none is.

    Raises:
        TablesTornApart: two sinks reading one topic would both bury its unreadable records.
    """
    names = frozenset(name.strip() for name in wanted.split(",") if name.strip())
    if not names:
        return FEEDS
    feeds = tuple(feed for feed in FEEDS if names & feed.tables.keys())
    fed = {name for feed in feeds for name in feed.tables}
    if unknown := names - fed:
        raise TablesTornApart(f"no topic feeds {', '.join(sorted(unknown))}")
    if left_out := fed - names:
        raise TablesTornApart(f"{', '.join(sorted(left_out))} must be filled by the same sink as {wanted}")
    return feeds
