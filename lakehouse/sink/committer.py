"""Writes rows to files and puts them into the table together with the progress they stand for.

Upstream: lakehouse.sink.buffer.
Downstream: the Iceberg table; Trino sees the rows with the commit.
Guarantee: exactly once. Rows and progress are one commit, and a commit is compare-and-swap on the table's
head: files are written once, committed at most once, and an overtaken sink can add nothing.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast

import pyarrow as pa
import structlog
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, RESTError
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot, SnapshotLogEntry
from pyiceberg.table.update import TableUpdate
from sqlalchemy.exc import SQLAlchemyError

from infra.runtime.fail_points import reach
from lakehouse import metrics
from lakehouse.catalog.provision import missing_columns
from lakehouse.contracts.tables import TableSpec
from lakehouse.sink.progress import PROPERTY, TableProgress

_log = structlog.get_logger(__name__)

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 10.0
# What passes by itself: the database is away, the disk or the object store does not answer.
TRANSIENT = (SQLAlchemyError, OSError, RESTError)
# Where the summary of a snapshot says how big the table is.
_SIZES = (
    (metrics.TABLE_FILES, "total-data-files"),
    (metrics.TABLE_ROWS, "total-records"),
    (metrics.TABLE_BYTES, "total-files-size"),
)

# Waits that many seconds; False when the process must end instead.
Wait = Callable[[float], bool]


def _itself(it: Any, memo: object = None) -> Any:
    return it


# pyiceberg copies the metadata three times in a commit, and every snapshot with it. They are frozen, so each may stand
# in all copies: with 150 snapshots a commit takes 12 ms of processor instead of 31.
for _frozen in cast("tuple[Any, ...]", (Snapshot, SnapshotLogEntry)):
    _frozen.__deepcopy__ = _itself


class Overtaken(Exception):
    """Another sink has filled the table further; whatever this one holds may be there already."""


class Unprovisioned(Exception):
    """The table is not as this sink needs it; the text says what to do."""


class Outdated(Exception):
    """What was written must not be committed any more: something in it was erased meanwhile."""


class StoppedWaiting(Exception):
    """The process was asked to end while the catalog was away."""


class CommitTransaction(Transaction):
    """A transaction that computes its metadata once per change.

    pyiceberg computes it anew at each of some forty looks during one commit, each time copying the list of
    all snapshots: 39 ms with 20 snapshots, 412 ms with 200.
    """

    _metadata_of: tuple[tuple[TableUpdate, ...], TableMetadata, TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        """Metadata as it would be after the commit."""
        known = self._metadata_of
        if known is None or known[0] is not self._updates or known[1] is not self._table.metadata:
            known = (self._updates, self._table.metadata, super().table_metadata)
            self._metadata_of = known
        return known[2]


class TableCommitter:
    """The only writer of one table."""

    def __init__(self, catalog: Catalog, identifier: tuple[str, str], spec: TableSpec, wait: Wait) -> None:
        self.spec = spec
        self._wait = wait
        self._table: Table = catalog.load_table(identifier)

    def check(self) -> None:
        """Refuse a table that would break the promises of this module.

        Raises:
            Unprovisioned: a column is missing, or commits would be retried behind our back.
        """
        lacking = [column.name for column in missing_columns(self._table, self.spec)]
        if lacking:
            raise Unprovisioned(f"table {self.spec.name} lacks {', '.join(lacking)}: run `clawtrace lake provision`")
        if self._table.properties.get("commit.retry.num-retries") != "0":
            raise Unprovisioned(
                f"table {self.spec.name} lets commits be retried, which would accept rows twice: "
                "run `clawtrace lake provision`"
            )

    def progress(self) -> TableProgress:
        """Progress as of the last look at the table."""
        return TableProgress.from_json(self._table.properties.get(PROPERTY))

    def write(self, rows: pa.Table) -> list[DataFile]:
        """Write rows to data files; nobody sees them before :meth:`commit`.

        Raises:
            StoppedWaiting: the warehouse was away until the process had to end.
        """
        for _ in self._attempts("write"):
            try:
                files = list(_dataframe_to_data_files(self._table.metadata, rows, self._table.io))
            except TRANSIENT as error:
                self._note("files_not_written", error)
            else:
                reach("sink.files_written")
                return files
        raise StoppedWaiting(f"{self.spec.name}: files could not be written")

    def commit(self, files: list[DataFile], wanted: TableProgress, is_fit: Callable[[], bool] = lambda: True) -> None:
        """Put the files into the table and move its progress, both or neither.

        Returns only when that is the case. Waits while the catalog is away. ``is_fit`` is asked before each
        attempt, so after any look at the head.

        Raises:
            Outdated: the files are not fit any more; they are deleted, nothing was committed.
            Overtaken: another sink was quicker; the files stay orphans and upkeep removes them.
            StoppedWaiting: the process had to end; whether the commit landed is found out at the next start.
        """
        started = time.monotonic()
        is_doubtful, is_lost = False, False
        for _ in self._attempts("commit"):
            try:
                if is_doubtful and self._has_landed(wanted):
                    break
                if not is_fit():
                    self._discard(files, is_lost)
                    raise Outdated(self.spec.name)
            except TRANSIENT as error:
                self._note("commit_not_tried", error)
                continue
            try:
                self._swap(files, wanted)
                break
            except CommitFailedException:
                # Maintenance moved the head, or another sink did; the look before the next attempt tells.
                metrics.CONFLICTS.labels(table=self.spec.name).inc()
                is_doubtful = True
            except TRANSIENT as error:
                self._note("commit_outcome_unknown", error)
                is_doubtful, is_lost = True, True
        else:
            raise StoppedWaiting(f"{self.spec.name}: commit {wanted.epoch} may or may not have landed")
        metrics.COMMIT_SECONDS.labels(table=self.spec.name).observe(time.monotonic() - started)
        metrics.COMMITS.labels(table=self.spec.name).inc()
        metrics.LAST_COMMIT.labels(table=self.spec.name).set_to_current_time()
        self._note_size()

    def _discard(self, files: list[DataFile], is_lost: bool) -> None:
        """Delete files that no commit names. One whose answer got lost may still land, on a head that nobody erased."""
        if is_lost:
            return
        for file in files:
            # When the warehouse was away in the middle, the first ones are gone already.
            with suppress(FileNotFoundError):
                self._table.io.delete(file.file_path)

    def _note_size(self) -> None:
        """Tell dashboards how big the table is; its newest snapshot says so, nothing is counted."""
        snapshot = self._table.metadata.current_snapshot()
        summary = snapshot.summary.additional_properties if snapshot is not None and snapshot.summary else {}
        for gauge, name in _SIZES:
            if name in summary:
                gauge.labels(table=self.spec.name).set(int(summary[name]))

    def _has_landed(self, wanted: TableProgress) -> bool:
        self._table.refresh()
        found = self.progress()
        if found.commit_id == wanted.commit_id:
            _log.info("commit_had_landed", table=self.spec.name, epoch=wanted.epoch)
            return True
        if found.epoch != wanted.epoch - 1:
            raise Overtaken(f"{self.spec.name} is at commit {found.epoch}, this sink wanted {wanted.epoch}")
        return False

    def _swap(self, files: list[DataFile], wanted: TableProgress) -> None:
        """Commit against the head we know. Always makes a snapshot, because only that is compared."""
        state = wanted.to_json()
        transaction = CommitTransaction(self._table)
        transaction.set_properties({PROPERTY: state})
        snapshot = transaction.update_snapshot(snapshot_properties={PROPERTY: state})
        with snapshot.merge_append() as append:
            for file in files:
                append.append_data_file(file)
        reach("sink.manifest_written")
        transaction.commit_transaction()
        reach("sink.swapped")

    def _attempts(self, what: str) -> Iterator[int]:
        """Count attempts, waiting longer and longer between them; ends when the process must end."""
        wait_s = _FIRST_WAIT_S
        attempt = 0
        while True:
            yield attempt
            attempt += 1
            if not self._wait(wait_s):
                _log.warning("stopped_waiting", table=self.spec.name, what=what, attempts=attempt)
                return
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    def _note(self, event: str, error: Exception) -> None:
        metrics.RETRIES.labels(table=self.spec.name).inc()
        _log.warning(event, table=self.spec.name, error=f"{type(error).__name__}: {error}".splitlines()[0])
