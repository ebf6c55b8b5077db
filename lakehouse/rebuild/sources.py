"""What the derived tables are made of: the records of the events topic, from the log itself or from silver.events.

Upstream: Kafka, or Trino.
Downstream: lakehouse.rebuild.rebuild, record by record, each partition in its order.
Guarantee: from the log, the records as they are. From silver.events, batches of the same events under the same offsets;
ticks, which leave no rows, are put where offsets are missing, their instants spread evenly between what came before and
after. So what an event led to is the same; what a tick led to may bear another instant, by as much as a tick is late.
"""

# ruff: noqa: S608 - the texts hold names of our own tables; everything else is a parameter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import msgspec

from infra.runtime.trino_connection import connect
from lakehouse.settings import SinkSettings
from lakehouse.sink.source import Source
from producers.contracts.event import (
    Event,
    EventBatch,
    TraceContext,
    encode_event_batch,
    make_tick,
    record_key,
)
from producers.contracts.event import Source as EventSource
from producers.contracts.topics import EVENTS

_GROUP: Final = "clawtrace.rebuild"
_POLL_S: Final = 1.0
# The gateway's pace; behind the last batch nothing says how late ticks were.
_TICK_US: Final = 10_000_000
_MURMUR_SEED: Final = 0x9747B28C
_MURMUR_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF

# Offset behind the last record wanted, by partition.
Ends = dict[int, int]


class SourceGone(Exception):
    """The source does not reach back far enough; the text says what to do."""


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record of the events topic."""

    partition: int
    offset: int
    value: bytes


def records_of_log(settings: SinkSettings, ends: Ends) -> Iterator[LogRecord]:
    """Read the topic from its first record up to the ends.

    Raises:
        SourceGone: retention has dropped the beginning.
        KafkaAway, PlaceGone: see Source.
    """
    source = Source(settings.kafka_bootstrap, f"{settings.topic_prefix}{_GROUP}", [EVENTS.name], settings.topic_prefix)
    try:
        facts = source.describe()[EVENTS.name]
        left = {partition: ends.get(partition, 0) for partition in facts.partitions}
        for partition, end in left.items():
            low, high = source.ends(EVENTS.name, partition)
            if end > high:
                raise SourceGone(
                    f"the tables hold revision {end - 1} of partition {partition}, but the log of {EVENTS.name} ends "
                    f"at {high}: it is another log. Use --from events"
                )
            if low and end:
                raise SourceGone(
                    f"the log of {EVENTS.name} partition {partition} begins at offset {low}: use --from events"
                )
        source.start_at({(EVENTS.name, partition): 0 for partition in left})
        open_partitions = {partition for partition, end in left.items() if end}
        while open_partitions:
            for record in source.poll(_POLL_S):
                if record.offset < left[record.partition]:
                    yield LogRecord(record.partition, record.offset, record.value)
                if record.offset + 1 >= left[record.partition]:
                    open_partitions.discard(record.partition)
    finally:
        source.close()


def records_of_events(settings: SinkSettings, ends: Ends) -> Iterator[LogRecord]:
    """Make the records again from silver.events, up to the ends, with ticks where offsets are missing."""
    num_partitions = max(ends) + 1
    batches = _batches(_event_rows(settings, max(ends.values())), num_partitions)
    last: dict[int, tuple[int, int]] = {}
    for partition, offset, batch in batches:
        if offset >= ends.get(partition, 0):
            continue
        if partition in last:
            yield from _ticks(partition, last[partition], (offset, batch.received_at_us))
        last[partition] = (offset, batch.received_at_us)
        yield LogRecord(partition, offset, encode_event_batch(batch))
    for partition, (offset, at_us) in last.items():
        missing = ends[partition] - offset
        yield from _ticks(partition, (offset, at_us), (ends[partition], at_us + missing * _TICK_US))


def partition_of(tenant_id: str, agent_id: str, num_partitions: int) -> int:
    """Partition of an agent: the gateway's partitioner is that of the Java clients."""
    return (_murmur2(record_key(tenant_id, agent_id)) & 0x7FFFFFFF) % num_partitions


def first_event_days(settings: SinkSettings) -> dict[str, date]:
    """First day of each tenant of which silver.events has any event."""
    rows = _query(settings, f"SELECT tenant_id, min(event_date) FROM {_events(settings)} GROUP BY tenant_id", [])
    return {str(tenant_id): day for tenant_id, day in rows}


def _ticks(partition: int, before: tuple[int, int], after: tuple[int, int]) -> Iterator[LogRecord]:
    """Ticks for the offsets between two records, at instants between theirs."""
    (first, from_us), (last, until_us) = before, after
    for number in range(1, last - first):
        at_us = from_us + (until_us - from_us) * number // (last - first)
        yield LogRecord(partition, first + number, encode_event_batch(make_tick(at_us)))


_BATCH_COLUMNS: Final = ("rev", "tenant_id", "agent_id", "spool_id", "received_at")
_SOURCE_COLUMNS: Final = ("source_name", "source_version", "source_host_version")
_EVENT_COLUMNS: Final = (
    "seq",
    "event_id",
    "hook",
    "at_us",
    "run_id",
    "session_key",
    "session_id",
    "openclaw_agent_id",
    "tool_call_id",
    "call_id",
    "payload",
    "payload_ref",
)
_TRACE_COLUMNS: Final = ("trace_id", "span_id", "parent_span_id")
_COLUMNS: Final = (*_BATCH_COLUMNS, *_SOURCE_COLUMNS, *_EVENT_COLUMNS, *_TRACE_COLUMNS)


def _event_rows(settings: SinkSettings, until: int) -> Iterator[dict[str, Any]]:
    sql = (
        f"SELECT {', '.join(_COLUMNS)} FROM {_events(settings)} WHERE rev < ? "
        "ORDER BY rev, tenant_id, agent_id, spool_id, seq"
    )
    for row in _query(settings, sql, [until]):
        yield dict(zip(_COLUMNS, row, strict=True))


def _batches(rows: Iterable[dict[str, Any]], num_partitions: int) -> Iterator[tuple[int, int, EventBatch]]:
    """Put the events of one record together again; records of several partitions may have one offset."""
    key: tuple[Any, ...] | None = None
    waiting: list[dict[str, Any]] = []
    for row in rows:
        found = tuple(row[name] for name in _BATCH_COLUMNS)
        if found != key and waiting:
            yield _batch(waiting, num_partitions)
            waiting = []
        key = found
        waiting.append(row)
    if waiting:
        yield _batch(waiting, num_partitions)


def _batch(rows: list[dict[str, Any]], num_partitions: int) -> tuple[int, int, EventBatch]:
    first = rows[0]
    name, version, host_version = (first[column] or "" for column in _SOURCE_COLUMNS)
    batch = EventBatch(
        tenant_id=first["tenant_id"],
        agent_id=first["agent_id"],
        source=EventSource(name=name, version=version, host_version=host_version),
        spool_id=first["spool_id"],
        received_at_us=_microseconds(first["received_at"]),
        events=[_event(row) for row in rows],
    )
    return partition_of(batch.tenant_id, batch.agent_id, num_partitions), first["rev"], batch


def _event(row: dict[str, Any]) -> Event:
    trace_id, span_id, parent_span_id = (row[name] for name in _TRACE_COLUMNS)
    values = {name: row[name] for name in _EVENT_COLUMNS if name != "payload"}
    trace = None
    if trace_id is not None:
        trace = TraceContext(trace_id=trace_id, span_id=span_id, parent_span_id=parent_span_id)
    return Event(**values, trace=trace, payload=msgspec.Raw(row["payload"].encode()))


def _microseconds(value: datetime) -> int:
    # A float of seconds would lose microseconds.
    seconds = int(value.replace(microsecond=0).timestamp())
    return seconds * 1_000_000 + value.microsecond


def _events(settings: SinkSettings) -> str:
    return f'"{settings.catalog_name}"."{settings.silver_namespace}".events'


def _query(settings: SinkSettings, sql: str, parameters: list[Any]) -> Iterator[tuple[Any, ...]]:
    cursor = connect(settings, settings.maintenance_user, source="clawtrace rebuild").cursor()
    cursor.execute(sql, parameters)
    for row in cursor:
        yield tuple(row)


def _murmur2(data: bytes) -> int:
    """Hash of a key as Kafka's clients in Java make it."""
    length = len(data)
    hashed = (_MURMUR_SEED ^ length) & _MASK
    for start in range(0, length - length % 4, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _MURMUR_M & _MASK
        word = (word ^ word >> 24) * _MURMUR_M & _MASK
        hashed = (hashed * _MURMUR_M & _MASK) ^ word
    if rest := data[length - length % 4 :]:
        hashed = (hashed ^ int.from_bytes(rest, "little")) * _MURMUR_M & _MASK
    hashed = (hashed ^ hashed >> 13) * _MURMUR_M & _MASK
    return hashed ^ hashed >> 15
