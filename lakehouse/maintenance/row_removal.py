"""Takes rows out of a table for good: files of none but such rows go, the others are written again without them.

Upstream: retention and erasure say which rows.
Downstream: lakehouse.maintenance.swap.
Guarantee: no row that does not match is lost, whatever the sink and the optimize procedure do meanwhile. Copies on
write: no delete file says "not this row" beside bytes that are still there. The replaced files stay readable through
older snapshots until these are expired.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import structlog
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.io.pyarrow import ArrowScan, _dataframe_to_data_files
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


# Of the rows of a file those that go, as a mask; or all, or none, without a look inside.
Choice = Callable[[pa.Table], pa.Array | pa.ChunkedArray] | bool
Choose = Callable[[FileScanTask], Choice]


def remove_rows(
    table: Table, where: BooleanExpression, choose: Choose, columns: Sequence[str], *, always: bool = False
) -> Removal:
    """Take rows out, in one commit.

    Args:
        table: is refreshed.
        where: finds the files to look at, by partition and by what is known of their columns.
        choose: says of each such file which rows go.
        columns: what the mask needs; files without such rows are not read further.
        always: commit also when there is nothing to take out, so that the head moves.

    Raises:
        FilesMoved: files were replaced below us again and again.
        NotCommitted: see swap_files.
    """
    for round_number in range(1, _MAX_ROUNDS + 1):
        table.refresh()
        removal = _prepare(table, table.scan(row_filter=where).plan_files(), choose, columns)
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


def read_file(table: Table, task: FileScanTask, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one data file as the table's schema has it; only some columns, when they are named."""
    schema = table.schema() if columns is None else table.schema().select(*columns)
    return ArrowScan(table.metadata, table.io, schema, AlwaysTrue()).to_table([task])


def _prepare(table: Table, tasks: Iterable[FileScanTask], choose: Choose, columns: Sequence[str]) -> Removal:
    removal = Removal()
    for task in tasks:
        choice = choose(task)
        if choice is False:
            continue
        if choice is True:
            removal.removed.append(task.file)
            removal.num_rows += task.file.record_count
            continue
        if not pc.any(choice(read_file(table, task, columns))).as_py():
            continue
        every = read_file(table, task)
        kept = every.filter(pc.invert(pc.fill_null(choice(every), False)))
        removal.removed.append(task.file)
        removal.num_rows += every.num_rows - kept.num_rows
        if kept.num_rows:
            removal.added += _dataframe_to_data_files(table.metadata, kept, table.io)
    removal.num_files = len(removal.removed)
    return removal
