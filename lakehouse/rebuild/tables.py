"""One derived table while it is made again: what it had, what is made in its place, and the change itself.

Upstream: lakehouse.rebuild.rebuild hands over what the stitcher makes.
Downstream: the Iceberg table, through lakehouse.maintenance.swap.
Guarantee: only what the table had when the rebuild began is replaced, by what is below the mark it had then; whatever
the sink appends meanwhile is above that mark and stays. A rebuilt row has the revision that it had, so the sink's marks
stay true and later revisions win as before.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from infra.runtime.tombstones import Tombstones
from lakehouse.contracts.tables import AGENTS, ALERTS, TENANTS, TableSpec
from lakehouse.maintenance.retention import as_date
from lakehouse.maintenance.row_removal import delete_files, read_file
from lakehouse.maintenance.swap import swap_files
from lakehouse.sink.feeds import NO_MARK, Columns, Mark
from lakehouse.sink.progress import PROPERTY, TableProgress
from lakehouse.sink.refusals import without_refused
from lakehouse.sink.rows import UnfitRow, build_rows, concat_columns

# Rows that wait for a file; some hundred bytes to some kilobytes each.
_ROWS_PER_FILE = 50_000
# Alerts of the keeper of budgets and of the learner do not follow from events alone.
_KEPT_RULES = ("budget", "dear_run", "worse_version", "score_regression")

# Last day of which the source lacks something, by tenant: up to it everything is left as it is.
KeptUntil = dict[str, date]


@dataclass(frozen=True)
class RebuiltTable:
    """What was done to a table, or would be."""

    table: str
    num_rows_before: int
    num_rows_after: int
    num_rows_kept: int
    num_files_before: int
    num_files_after: int


@dataclass
class TableInWork:
    """One table."""

    table: Table
    spec: TableSpec
    stones: Tombstones
    kept_until: KeptUntil
    is_dry: bool
    progress: TableProgress = field(init=False)
    _parts: list[Columns] = field(default_factory=list)
    _num_waiting: int = 0
    _added: list[DataFile] = field(default_factory=list)
    _num_after: int = 0

    def __post_init__(self) -> None:
        """Note what the table has now."""
        self.progress = TableProgress.from_json(self.table.properties.get(PROPERTY))
        self._tasks = list(self.table.scan().plan_files())
        self._old_traces: set[tuple[str, str, str]] = set()

    def mark(self, topic: str, partition: int) -> Mark:
        """Mark up to which the table has what a topic brought."""
        source = self.progress.sources.get(topic)
        return source.next_mark.get(partition, NO_MARK) if source is not None else NO_MARK

    def keep_traces(self, traces: set[tuple[str, str, str]]) -> None:
        """Leave traces out, by (tenant, agent, trace): they began in days that are kept."""
        self._old_traces = traces

    def take(self, columns: Columns) -> None:
        """Add rows."""
        num_rows = len(columns["tenant_id"])
        if not num_rows:
            return
        self._parts.append(columns)
        self._num_waiting += num_rows
        if self._num_waiting >= _ROWS_PER_FILE:
            self._flush()

    def finish(self) -> RebuiltTable:
        """Write what is left and put it in the place of what was there, unless this is only to look.

        Raises:
            FilesMoved, NotCommitted: see swap_files; nothing has happened.
        """
        self._flush()
        removed, num_kept = [], 0
        for task in self._tasks:
            kept = self._kept_rows(task)
            if kept is None:
                num_kept += task.file.record_count
                continue
            removed.append(task.file)
            if kept.num_rows:
                num_kept += kept.num_rows
                self._write(kept)
        before = sum(file.record_count for file in removed)
        if not self.is_dry and (removed or self._added):
            try:
                swap_files(self.table, removed, self._added)
            except BaseException:
                delete_files(self.table, self._added)
                raise
        return RebuiltTable(self.spec.name, before, self._num_after, num_kept, len(removed), len(self._added))

    def drop(self) -> None:
        """Delete what was written; nothing names it."""
        delete_files(self.table, self._added)

    def _flush(self) -> None:
        parts, self._parts, self._num_waiting = self._parts, [], 0
        if parts:
            rows = self._wanted(without_refused(self.spec, self._build(parts), self.stones))
            if rows.num_rows:
                self._write(rows)

    def _write(self, rows: pa.Table) -> None:
        self._num_after += rows.num_rows
        if not self.is_dry:
            self._added += _dataframe_to_data_files(self.table.metadata, rows, self.table.io)

    def _build(self, parts: list[Columns]) -> pa.Table:
        try:
            return build_rows(self.spec, concat_columns(parts), self.progress.epoch)
        except UnfitRow:
            if len(parts) == 1:
                # The sink has put its record aside; it has no rows.
                return build_rows(self.spec, {name: [] for name in parts[0]}, self.progress.epoch)
            return pa.concat_tables([self._build([part]) for part in parts])

    def _wanted(self, rows: pa.Table) -> pa.Table:
        """Leave out what belongs to days that are kept."""
        if not self.kept_until or self.spec.name in (AGENTS.name, TENANTS.name):
            return rows
        if self.spec.name == ALERTS.name:
            return rows.filter(pc.invert(self._is_kept_alert(rows)))
        tenants, days = rows["tenant_id"].to_pylist(), rows["trace_date"].to_pylist()
        traces = zip(tenants, rows["agent_id"].to_pylist(), rows["trace_id"].to_pylist(), strict=True)
        wanted = [
            trace not in self._old_traces and not self._is_kept_day(tenant, day)
            for tenant, day, trace in zip(tenants, days, traces, strict=True)
        ]
        return rows.filter(pa.array(wanted, pa.bool_()))

    def _kept_rows(self, task: Any) -> pa.Table | None:
        """Rows of a file that stay; None when the file itself does."""
        partition = dict(zip(self.spec.partition, task.file.partition, strict=True))
        tenant_id = partition["tenant_id"]
        if self.spec.name in (AGENTS.name, TENANTS.name):
            return None if tenant_id in self.kept_until else self._no_rows()
        if self.spec.name == ALERTS.name:
            rows = read_file(self.table, task)
            return rows.filter(self._is_kept_alert(rows))
        return None if self._is_kept_day(tenant_id, as_date(partition["trace_date"])) else self._no_rows()

    def _is_kept_day(self, tenant_id: str, day: date | None) -> bool:
        until = self.kept_until.get(tenant_id)
        return until is not None and (day is None or day <= until)

    def _is_kept_alert(self, rows: pa.Table) -> pa.Array | pa.ChunkedArray:
        kept = pc.is_in(rows["rule"], pa.array(_KEPT_RULES, pa.string()))
        for tenant_id, until in self.kept_until.items():
            is_old = pc.equal(rows["tenant_id"], tenant_id)
            if until < date.max:
                end = datetime.combine(until + timedelta(days=1), time(), UTC)
                is_old = pc.and_(is_old, pc.less(rows["at"], pa.scalar(end)))
            kept = pc.or_(kept, is_old)
        return kept

    def _no_rows(self) -> pa.Table:
        return pa.table({})
