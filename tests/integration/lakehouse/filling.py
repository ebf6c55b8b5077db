"""Fills tables without Kafka: one committer, rows from batches."""

import msgspec

from lakehouse.contracts.tables import table_named
from lakehouse.sink.committer import TableCommitter
from lakehouse.sink.feeds import FEEDS, Columns, SeenState
from lakehouse.sink.progress import SourceProgress, TableProgress
from lakehouse.sink.rows import build_rows
from stream_jobs.contracts.topics import SPANS
from tests.integration.lakehouse.lake import Lake
from tests.unit.lakehouse import records as make

SPAN_FEED = next(feed for feed in FEEDS if feed.topic == SPANS.name)


def committer_of(lake: Lake, table: str) -> TableCommitter:
    """A committer as a sink has it."""
    return TableCommitter(lake.catalog, (lake.namespace, table), table_named(table), lambda seconds: True)


def span_rows(
    rev: int, num_spans: int, tenant_id: str = make.TENANT, trace_date: str = make.DATE
) -> dict[str, Columns]:
    """Columns of spans, and of their edges."""
    spans = [
        msgspec.structs.replace(
            make.span(f"trace-{number}", f"span-{number}", rev), tenant_id=tenant_id, trace_date=trace_date
        )
        for number in range(num_spans)
    ]
    batch = msgspec.structs.replace(make.span_batch(rev, spans), tenant_id=tenant_id)
    return {name: extract(batch, rev, SeenState(0)) for name, extract in SPAN_FEED.tables.items()}


def next_progress(committer: TableCommitter, next_offset: int) -> TableProgress:
    """Progress after one more commit."""
    progress = committer.progress()
    progress.sources[SPANS.name] = SourceProgress("topic-id", {0: next_offset}, {0: (next_offset - 1, 1)})
    return progress.following()


def commit_spans(committer: TableCommitter, rev: int, num_spans: int = 5, **more: str) -> None:
    """Commit spans of one revision."""
    wanted = next_progress(committer, rev + 1)
    rows = build_rows(committer.spec, span_rows(rev, num_spans, **more)[committer.spec.name], wanted.epoch)
    committer.commit(committer.write(rows), wanted)
