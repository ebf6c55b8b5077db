"""Takes rows out of a table for good: files of none but such rows go, the others are written again without them.

Upstream: retention and erasure say which rows.
Downstream: lakehouse.maintenance.swap.
Guarantee: no row that does not match is lost, whatever the sink and the optimize procedure do meanwhile. Copies on
write: no delete file says "not this row" beside bytes that are still there. The replaced files stay readable through
older snapshots until these are expired.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pyarrow.compute as pc
import structlog
from pyiceberg.expressions import AlwaysFalse, AlwaysTrue, BooleanExpression
from pyiceberg.expressions.visitors import bind
from pyiceberg.io.pyarrow import ArrowScan, _dataframe_to_data_files, expression_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.table import FileScanTask, Table

from lakehouse.maintenance.swap import FilesMoved, swap_files

_log = structlog.get_logger(__name__)

# Each time optimize has replaced a file meanwhile; it comes by every ten minutes.
_MAX_ROUNDS = 5


@dataclass
class Removal:
    """What was taken out of one table."""

    num_rows: int = 0
    num_files: int = 0
    added: list[DataFile] = field(default_factory=list)
    removed: list[DataFile] = field(default_factory=list)


# Which rows of a file go. AlwaysTrue and AlwaysFalse spare a look inside.
RowsOf = Callable[[FileScanTask], BooleanExpression]


def remove_rows(
    table: Table, where: BooleanExpression, rows_of: RowsOf | None = None, *, always: bool = False
) -> Removal:
    """Take the rows out for which ``where`` is true, in one commit.

    Args:
        table: is refreshed.
        where: finds the files to look at, by partition and by what is known of their columns.
        rows_of: says of each such file which rows go; without it those of ``where``.
        always: commit also when there is nothing to take out, so that the head moves.

    Raises:
        FilesMoved: files were replaced below us again and again.
        NotCommitted: see swap_files.
    """
    for round_number in range(1, _MAX_ROUNDS + 1):
        table.refresh()
        removal = _prepare(table, table.scan(row_filter=where).plan_files(), where, rows_of)
        if not removal.removed and not always:
            return removal
        try:
            swap_files(table, removal.removed, removal.added)
        except FilesMoved as error:
            _log.info("files_moved", table=table.name()[-1], round=round_number, reason=str(error)[:200])
            delete_files(table, removal.added)
            if round_number == _MAX_ROUNDS:
                raise
        else:
            return removal
    raise AssertionError("unreachable")


def delete_files(table: Table, files: Iterable[DataFile]) -> None:
    """Delete files that no commit has named."""
    for file in files:
        table.io.delete(file.file_path)


def _prepare(table: Table, tasks: Iterable[FileScanTask], where: BooleanExpression, rows_of: RowsOf | None) -> Removal:
    removal = Removal()
    schema = table.schema()
    for task in tasks:
        rows = rows_of(task) if rows_of is not None else where
        if rows == AlwaysFalse():
            continue
        if rows == AlwaysTrue():
            removal.removed.append(task.file)
            removal.num_rows += task.file.record_count
            continue
        every = ArrowScan(table.metadata, table.io, schema, AlwaysTrue()).to_table([task])
        matching = pc.coalesce(expression_to_pyarrow(bind(schema, rows, case_sensitive=True), schema), pc.scalar(False))
        kept = every.filter(pc.invert(matching))
        if kept.num_rows == every.num_rows:
            continue
        removal.removed.append(task.file)
        removal.num_rows += every.num_rows - kept.num_rows
        if kept.num_rows:
            removal.added += _dataframe_to_data_files(table.metadata, kept, table.io)
    removal.num_files = len(removal.removed)
    return removal
