"""Makes the derived tables again: the stitcher's own routine over the log or silver.events, table for table.

Upstream: lakehouse.rebuild.sources; stream_jobs.restitch.
Downstream: spans, edges, traces, agents, tenants, alerts, cards. Events, verdicts and scores are no tables of this
kind: the first is a source, the others have writers besides the stitcher.
Guarantee: the sink goes on meanwhile; each table changes in one commit. Cut off anywhere before its commit, a table is
as it was. What was erased stays away. Prices and rules are those of now.
"""

# ruff: noqa: S608 - the texts hold names of our own tables; everything else is a parameter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Engine

from infra.runtime.database import make_engine
from infra.runtime.tombstones import read_tombstones
from infra.runtime.trino_connection import connect
from lakehouse.catalog.connect import connect_catalog, load_table
from lakehouse.contracts.tables import AGENTS, ALERTS, CARDS, EDGES, SPANS, TENANTS, TRACES
from lakehouse.maintenance.lock import tables_lock
from lakehouse.rebuild.sources import (
    Ends,
    LogRecord,
    SourceGone,
    first_event_days,
    records_of_events,
    records_of_log,
)
from lakehouse.rebuild.tables import KeptUntil, RebuiltTable, TableInWork
from lakehouse.settings import SinkSettings
from lakehouse.sink.feeds import FEEDS, SeenState
from stream_jobs.contracts.topics import OUTPUTS
from stream_jobs.restitch import Again, StitcherSettings, open_again

Origin = Literal["log", "events"]
# What a trace names must be there before the trace, as in the sink.
REBUILT: Final = (SPANS, EDGES, TRACES, AGENTS, TENANTS, ALERTS, CARDS)

_OFFSET_BITS: Final = 44
_LOCK_WAIT_S: Final = 600.0
# A trace that began so many days before the kept ones end may still go on behind them.
_LONGEST_TRACE: Final = timedelta(days=7)
# Tells how many records of how many were worked on.
Tell = Callable[[int, int], None]


def rebuild(
    settings: SinkSettings, stitcher: StitcherSettings, origin: Origin, *, is_dry: bool, tell: Tell
) -> list[RebuiltTable]:
    """Make the tables again, or only count what would be there.

    Raises:
        SourceGone: the source cannot give what is needed.
        TablesBusy: an erasure, upkeep or another rebuild is at work.
        FilesMoved, NotCommitted: a table did not stand still; those before it are done, begin again for the others.
    """
    if stitcher.log_generation:
        raise SourceGone("the events topic was made anew once: offsets before and after cannot be told apart")
    engine = make_engine(settings)
    try:
        with tables_lock(engine, _LOCK_WAIT_S):
            return _rebuild(settings, stitcher, engine, origin, is_dry=is_dry, tell=tell)
    finally:
        engine.dispose()


def as_json(result: RebuiltTable) -> dict[str, Any]:
    """The same for programs."""
    return asdict(result)


def _rebuild(
    settings: SinkSettings, stitcher: StitcherSettings, engine: Engine, origin: Origin, *, is_dry: bool, tell: Tell
) -> list[RebuiltTable]:
    kept_until = _kept_until(settings) if origin == "events" else {}
    with engine.connect() as connection:
        stones = read_tombstones(connection)
    catalog = connect_catalog(settings)
    tables = {
        spec.name: TableInWork(load_table(catalog, settings, spec), spec, stones, kept_until, is_dry)
        for spec in REBUILT
    }
    ends = _ends(tables)
    if not ends:
        return [table.finish() for table in tables.values()]
    old_traces = _old_traces(settings, kept_until)
    for table in tables.values():
        table.keep_traces(old_traces)
    records = records_of_log(settings, ends) if origin == "log" else records_of_events(settings, ends)
    try:
        with open_again(stitcher) as again:
            _work_on_all(again, _told(records, sum(ends.values()), tell), tables, settings.sink_agent_refresh_seconds)
    except BaseException:
        for table in tables.values():
            table.drop()
        raise
    return [table.finish() for table in tables.values()]


def _work_on_all(again: Again, records: Iterator[LogRecord], tables: dict[str, TableInWork], refresh_s: float) -> None:
    feeds = {feed.topic: feed for feed in FEEDS}
    seen = SeenState.refreshed_every(refresh_s)
    for record in records:
        for topic, value in again.work_on(record.partition, record.offset, record.value):
            feed = feeds.get(topic)
            if feed is None or not any(name in tables for name in feed.tables):
                continue
            batch = feed.decode(value)
            mark = feed.mark(batch)
            for name, extract in feed.tables.items():
                if name in tables and mark is not None and mark < tables[name].mark(topic, record.partition):
                    tables[name].take(extract(batch, record.offset, seen))


def _told(records: Iterator[LogRecord], num_all: int, tell: Tell) -> Iterator[LogRecord]:
    for number, record in enumerate(records, start=1):
        yield record
        tell(number, num_all)


def _ends(tables: dict[str, TableInWork]) -> Ends:
    """Offset behind the last source record that any of the tables has something of, by partition."""
    ends: Ends = {}
    for table in tables.values():
        for spec in OUTPUTS:
            source = table.progress.sources.get(spec.name)
            for partition, (rev, _) in (source.next_mark if source is not None else {}).items():
                if rev >> _OFFSET_BITS:
                    raise SourceGone("the tables hold revisions of a topic that was made anew; see log_generation")
                ends[partition] = max(ends.get(partition, 0), rev + 1)
    return ends


def _kept_until(settings: SinkSettings) -> KeptUntil:
    """Last day that must be left as it is, by tenant: events of it, or of days before it, are no longer there."""
    first_events = first_event_days(settings)
    kept: KeptUntil = {}
    # Any of the tables may be the one that is damaged.
    days = " UNION ALL ".join(
        f"SELECT tenant_id, trace_date FROM {_place(settings)}.{spec.name}" for spec in (SPANS, EDGES, TRACES, CARDS)
    )
    sql = f"SELECT tenant_id, min(trace_date) FROM ({days}) WHERE trace_date IS NOT NULL GROUP BY tenant_id"
    for tenant_id, first_trace in _query(settings, sql, []):
        first_event = first_events.get(tenant_id, date.max)
        if first_trace < first_event:
            kept[tenant_id] = first_event
    return kept


def _old_traces(settings: SinkSettings, kept_until: KeptUntil) -> set[tuple[str, str, str]]:
    found: set[tuple[str, str, str]] = set()
    for tenant_id, until in kept_until.items():
        if until == date.max:
            continue
        found |= {
            (tenant_id, agent_id, trace_id)
            for spec in (SPANS, TRACES)
            for agent_id, trace_id in _query(
                settings,
                f"SELECT DISTINCT agent_id, trace_id FROM {_place(settings)}.{spec.name} "
                "WHERE tenant_id = ? AND trace_date BETWEEN ? AND ?",
                [tenant_id, until - _LONGEST_TRACE, until],
            )
        }
    return found


def _place(settings: SinkSettings) -> str:
    return f'"{settings.catalog_name}"."{settings.silver_namespace}"'


def _query(settings: SinkSettings, sql: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    cursor = connect(settings, settings.maintenance_user, source="clawtrace rebuild").cursor()
    cursor.execute(sql, parameters)
    return [tuple(row) for row in cursor.fetchall()]
