"""The bytes of one table: rows, older snapshots, and files that no snapshot names.

Upstream: lakehouse.erasure.eraser.
Downstream: the Iceberg table and its folder in the warehouse.
Guarantee: after :meth:`TableBytes.erase` and :meth:`TableBytes.expire`, no data file that can be read holds a row that
was erased. A file that no snapshot names and that holds such rows can be deleted at once: whoever wrote it can only
commit it on a head that has moved since, and asks the tombstones before that.
"""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import structlog
from pyarrow.fs import FileSelector, FileSystem, FileType
from pyiceberg.expressions import EqualTo
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import FileScanTask, Table
from requests.exceptions import RequestException
from trino.exceptions import Error as TrinoError

from infra.runtime.tombstones import Tombstones
from infra.runtime.trino_connection import connect
from lakehouse.contracts.erasure import ErasedTable
from lakehouse.contracts.tables import TableSpec
from lakehouse.maintenance.row_removal import Choice, remove_rows
from lakehouse.maintenance.swap import swap_files
from lakehouse.settings import UpkeepSettings
from lakehouse.sink.refusals import naming_columns, refused

_log = structlog.get_logger(__name__)

_BLOB_COLUMN = "payload_ref"
# Each time the sink's commit came first.
_MAX_TRIES = 20


@dataclass
class TableBytes:
    """What an erasure does to one table, and what it has done."""

    table: Table
    spec: TableSpec
    tenant_id: str
    settings: UpkeepSettings
    num_rows: int = 0
    num_replaced: int = 0
    num_snapshots: int = 0
    num_files: int = 0
    blobs: set[str] = field(default_factory=set)

    def erase(self, stones: Tombstones) -> int:
        """Take the rows out of the table's head, which moves whatever is found; return their number.

        Raises:
            FilesMoved, NotCommitted: see remove_rows.
        """
        columns = naming_columns(self.spec)
        has_blobs = any(column.name == _BLOB_COLUMN for column in self.spec.columns)

        def mask(rows: pa.Table) -> pa.Array | pa.ChunkedArray:
            found = refused(self.spec, rows, stones)
            if has_blobs:
                self.blobs.update(value for value in rows[_BLOB_COLUMN].filter(found).to_pylist() if value)
            return found

        def choose(task: FileScanTask) -> Choice:
            return True if stones.has_tenant(self.tenant_id) else mask

        where = EqualTo(term="tenant_id", value=self.tenant_id)
        wanted = (*columns, _BLOB_COLUMN) if has_blobs else columns
        removal = remove_rows(self.table, where, choose, wanted, always=True)
        self.num_rows += removal.num_rows
        self.num_replaced += removal.num_files
        return removal.num_rows

    def expire(self) -> None:
        """Expire every snapshot but the head, and with them the files that only they name.

        Raises:
            TrinoError, RequestException, NotCommitted: Trino is away, or the table did not stand still.
        """
        if self.num_rows:
            # The newest manifests still say what was deleted, with bounds of its values; a further commit drops them.
            swap_files(self.table, (), ())
        self.table.refresh()
        before = len(self.table.snapshots())
        if before <= 1:
            return
        num_files = len(self._on_disk())
        names = (self.settings.catalog_name, self.settings.silver_namespace, self.spec.name)
        relation = ".".join(f'"{name}"' for name in names)
        floor = {f"{self.settings.catalog_name}.expire_snapshots_min_retention": "0s"}
        for attempt in range(1, _MAX_TRIES + 1):
            connection = connect(
                self.settings, self.settings.maintenance_user, source="clawtrace erasure", session_properties=floor
            )
            try:
                cursor = connection.cursor()
                cursor.execute(f"ALTER TABLE {relation} EXECUTE expire_snapshots(retention_threshold => '0s')")
                cursor.fetchall()
                break
            except (TrinoError, RequestException):
                if attempt == _MAX_TRIES:
                    raise
        self.table.refresh()
        self.num_snapshots += max(before - len(self.table.snapshots()), 0)
        self.num_files += max(num_files - len(self._on_disk()), 0)

    def remove_strays(self, stones: Tombstones) -> None:
        """Delete files that no snapshot names and that hold rows that were erased."""
        # Listed first: whatever is named afterwards was committed by somebody who has asked the tombstones.
        on_disk = self._on_disk()
        named = self._named()
        for path in on_disk:
            if path not in named and self._num_refused(path, stones):
                self._files().delete_file(path)
                self.num_files += 1
                _log.info("stray_file_erased", table=self.spec.name, path=path)

    def look(self, stones: Tombstones) -> tuple[int, int]:
        """Count the rows that were erased and are still in files, and these files: all there are, named or not."""
        found = [num for path in self._on_disk() if (num := self._num_refused(path, stones))]
        return sum(found), len(found)

    def result(self) -> ErasedTable:
        """What was done."""
        return ErasedTable(
            table=self.spec.name,
            num_rows=self.num_rows,
            num_files_replaced=self.num_replaced,
            num_snapshots_expired=self.num_snapshots,
            num_files_removed=self.num_files,
        )

    def _files(self) -> FileSystem:
        io = self.table.io
        assert isinstance(io, PyArrowFileIO)
        scheme, netloc, _ = io.parse_location(self.table.location())
        return io.fs_by_scheme(scheme, netloc)

    def _path(self, location: str) -> str:
        _, _, path = PyArrowFileIO.parse_location(location)
        return str(path)

    def _on_disk(self) -> list[str]:
        """Data files in the table's folder that may hold rows of the tenant: folders are named by partition."""
        folder = f"{self._path(self.table.location())}/data"
        infos = self._files().get_file_info(FileSelector(folder, recursive=True, allow_not_found=True))
        return [
            info.path
            for info in infos
            if info.type == FileType.File
            and info.path.endswith(".parquet")
            and ("/tenant_id=" not in info.path or f"/tenant_id={self.tenant_id}/" in info.path)
        ]

    def _named(self) -> set[str]:
        self.table.refresh()
        return {
            self._path(entry.data_file.file_path)
            for snapshot in self.table.snapshots()
            for manifest in snapshot.manifests(self.table.io)
            for entry in manifest.fetch_manifest_entry(self.table.io, discard_deleted=True)
        }

    def _num_refused(self, path: str, stones: Tombstones) -> int:
        """Rows of a file that were erased; 0 for one that was never finished, or is gone."""
        try:
            file = pq.ParquetFile(path, filesystem=self._files())
            present = [name for name in naming_columns(self.spec) if name in file.schema_arrow.names]
            rows: Any = file.read(columns=present)
        except (OSError, pa.ArrowInvalid):
            return 0
        for name in set(naming_columns(self.spec)) - set(present):
            rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
        return int(pc.sum(pc.fill_null(refused(self.spec, rows, stones), False)).as_py() or 0)
