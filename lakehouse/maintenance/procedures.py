"""The upkeep of one table: delete what is old; in Trino rewrite small files, expire snapshots, remove orphan files.

Upstream: lakehouse.maintenance.schedule, or `clawtrace lake upkeep`.
Downstream: the silver tables; readers and the sink go on meanwhile.
Guarantee: safe beside the sink. A rewrite that loses the race for the table's head fails and is tried at the next
turn; the sink's progress is a table property and outlives every snapshot.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from pyiceberg.exceptions import NoSuchTableError, RESTError
from requests.exceptions import RequestException
from sqlalchemy.exc import SQLAlchemyError
from trino.exceptions import Error as TrinoError

from infra.runtime.database import DatabaseAway, make_engine
from infra.runtime.trino_connection import connect
from lakehouse import metrics
from lakehouse.catalog.connect import connect_catalog, load_table
from lakehouse.contracts.tables import TableSpec
from lakehouse.maintenance.retention import delete_old_rows, read_days, rule_of
from lakehouse.maintenance.swap import FilesMoved, NotCommitted
from lakehouse.settings import UpkeepSettings

_log = structlog.get_logger(__name__)

_SOURCE = "clawtrace upkeep"
_DELETE = "delete_old_rows"
_FAILURES = (
    TrinoError,
    RequestException,
    OSError,
    SQLAlchemyError,
    DatabaseAway,
    RESTError,
    NoSuchTableError,
    FilesMoved,
    NotCommitted,
)


@dataclass(frozen=True)
class Outcome:
    """What one procedure did to one table."""

    procedure: str
    table: str
    seconds: float
    skipped: bool = False
    error: str | None = None

    def describe(self) -> str:
        """Say it in one line."""
        what = "nothing new" if self.skipped else f"{self.seconds:.2f} s"
        return f"{self.table}: {self.procedure}: {self.error or what}"

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return asdict(self)


class Upkeep:
    """Runs procedures; remembers each table's head, so that a table without new data is left alone."""

    def __init__(self, settings: UpkeepSettings) -> None:
        self._settings = settings
        self._heads: dict[tuple[str, str], int | None] = {}
        self._procedures: dict[str, Callable[[Any, str], None]] = {
            "optimize": self._optimize,
            "expire_snapshots": self._expire,
            "remove_orphan_files": self._remove_orphans,
        }

    def run_all(self, tables: Iterable[TableSpec]) -> list[Outcome]:
        """Run every procedure on every table; expiry comes late, so that it frees what the others replaced."""
        wanted = tuple(tables)
        return [outcome for procedure in metrics.PROCEDURES for outcome in self.run(procedure, wanted)]

    def run(self, procedure: str, tables: Iterable[TableSpec]) -> list[Outcome]:
        """Run one procedure on each table; a failure is an outcome, and the next table has its turn."""
        return [self._run_one(procedure, table) for table in tables]

    def _run_one(self, procedure: str, table: TableSpec) -> Outcome:
        started = time.monotonic()
        skipped, error = False, None
        try:
            skipped = self._delete_old(table) if procedure == _DELETE else self._run_in_trino(procedure, table)
        except _FAILURES as failure:
            error = f"{type(failure).__name__}: {failure}".splitlines()[0]
            metrics.UPKEEP_FAILURES.labels(procedure=procedure, table=table.name).inc()
            _log.warning("upkeep_failed", procedure=procedure, table=table.name, error=error)
        seconds = time.monotonic() - started
        if error is None and not skipped:
            metrics.UPKEEP_SECONDS.labels(procedure=procedure, table=table.name).observe(seconds)
            metrics.UPKEEP_LAST_SUCCESS.labels(procedure=procedure).set_to_current_time()
            _log.info("upkeep_done", procedure=procedure, table=table.name, seconds=round(seconds, 3))
        return Outcome(procedure, table.name, seconds, skipped, error)

    def _run_in_trino(self, procedure: str, table: TableSpec) -> bool:
        """Run a procedure of Trino; True when there was nothing to do."""
        # A connection per table: a token lives for minutes, a rewrite may take longer.
        cursor = connect(self._settings, self._settings.maintenance_user, source=_SOURCE).cursor()
        if self._has_nothing_to_do(cursor, procedure, table):
            return True
        self._procedures[procedure](cursor, self._relation(table.name))
        # The procedure may have moved the head itself; that is no new data.
        self._heads[procedure, table.name] = self._head(cursor, table)
        return False

    def _delete_old(self, table: TableSpec) -> bool:
        """Delete what is older than its tenant keeps it; True when there was nothing."""
        rule = rule_of(table.name)
        if rule is None:
            return True
        engine = make_engine(self._settings, pool_size=1)
        try:
            own = read_days(engine)
        finally:
            engine.dispose()
        found = load_table(connect_catalog(self._settings), self._settings, table)
        removal = delete_old_rows(found, rule, own, self._settings.retention_days, datetime.now(UTC).date())
        if not removal.num_files:
            return True
        metrics.OLD_ROWS.labels(table=table.name).inc(removal.num_rows)
        _log.info("old_rows_deleted", table=table.name, num_rows=removal.num_rows, num_files=removal.num_files)
        return False

    def _has_nothing_to_do(self, cursor: Any, procedure: str, table: TableSpec) -> bool:
        if procedure == "expire_snapshots":
            # Snapshots grow old without new data: only their number says whether there is something to do.
            snapshots = self._relation(f"{table.name}$snapshots")
            cursor.execute(f"SELECT count(*) FROM {snapshots}")  # noqa: S608 quoted names only
            return int(cursor.fetchone()[0]) <= 1
        head = self._head(cursor, table)
        return head is None or self._heads.get((procedure, table.name)) == head

    def _head(self, cursor: Any, table: TableSpec) -> int | None:
        """Snapshot id of the table's head; None while the table is empty."""
        refs = self._relation(f"{table.name}$refs")
        cursor.execute(f"SELECT snapshot_id FROM {refs} WHERE name = 'main'")  # noqa: S608 quoted names only
        row = cursor.fetchone()
        return int(row[0]) if row else None

    def _optimize(self, cursor: Any, relation: str) -> None:
        threshold = f"{self._settings.upkeep_small_file_bytes}B"
        self._execute(cursor, f"ALTER TABLE {relation} EXECUTE optimize(file_size_threshold => '{threshold}')")

    def _expire(self, cursor: Any, relation: str) -> None:
        retention = self._settings.upkeep_snapshot_retention
        self._execute(cursor, f"ALTER TABLE {relation} EXECUTE expire_snapshots(retention_threshold => '{retention}')")

    def _remove_orphans(self, cursor: Any, relation: str) -> None:
        retention = self._settings.upkeep_orphan_retention
        self._execute(
            cursor, f"ALTER TABLE {relation} EXECUTE remove_orphan_files(retention_threshold => '{retention}')"
        )

    @staticmethod
    def _execute(cursor: Any, statement: str) -> None:
        cursor.execute(statement)
        cursor.fetchall()

    def _relation(self, table: str) -> str:
        names = (self._settings.catalog_name, self._settings.silver_namespace, table)
        return ".".join('"' + name.replace('"', '""') + '"' for name in names)
