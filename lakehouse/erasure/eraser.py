"""Does one erasure after the other: tombstones, tables, snapshots, files, a last look, and the receipt.

Upstream: jobs of infra.runtime.erasure_jobs; upkeep looks for them, `clawtrace lake erase` does its own.
Downstream: the silver tables and the warehouse; the job's receipt.
Guarantee: tombstones first, tables second, so that nothing slips in between; a job ends as done only when the last look
found nothing. It may be cut off anywhere and done again from its start.
"""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from pyiceberg.exceptions import NoSuchTableError, RESTError
from requests.exceptions import RequestException
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from trino.exceptions import Error as TrinoError

from infra.runtime import erasure_jobs
from infra.runtime.access_keys import access_keys
from infra.runtime.database import DatabaseAway
from infra.runtime.kafka import KafkaAway
from infra.runtime.tombstones import Tombstones, add_tombstones, read_tombstones
from infra.runtime.trino_connection import connect
from lakehouse import metrics
from lakehouse.catalog.connect import connect_catalog, load_table
from lakehouse.contracts.erasure import Receipt
from lakehouse.contracts.tables import TABLES
from lakehouse.erasure.names import Names
from lakehouse.erasure.rest import ELSEWHERE, topics_left
from lakehouse.erasure.warehouse import TableBytes
from lakehouse.maintenance.swap import FilesMoved, NotCommitted
from lakehouse.settings import UpkeepSettings

_log = structlog.get_logger(__name__)

# Rows with new names may land between a look and the head's move; as a rule the second look finds none.
_MAX_ROUNDS: Final = 5
FAILURES: Final = (
    TrinoError,
    RequestException,
    OSError,
    SQLAlchemyError,
    DatabaseAway,
    KafkaAway,
    RESTError,
    NoSuchTableError,
    FilesMoved,
    NotCommitted,
)


class NotErased(Exception):
    """Something is left after all rounds; the text says what."""


class Eraser:
    """Takes up jobs. Hold the lock of the tables meanwhile."""

    def __init__(
        self, settings: UpkeepSettings, engine: Engine, tell: Callable[[str], None] = lambda step: None
    ) -> None:
        self._settings, self._engine, self._tell_person = settings, engine, tell

    def run_next(self, erasure_id: str | None = None) -> dict[str, Any] | None:
        """Do the oldest open job, or the one named; return it as it was taken up, None when there is none.

        Raises:
            SQLAlchemyError: Postgres is away. Whatever else fails is written down with the job, which is tried again.
        """
        with self._engine.begin() as connection:
            job = erasure_jobs.take(connection, erasure_id)
        if job is None:
            return None
        try:
            receipt = self._erase(job)
        except (NotErased, *FAILURES) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            metrics.ERASURES.labels(outcome="failed").inc()
            # The same alert rule wakes somebody.
            metrics.UPKEEP_FAILURES.labels(procedure="erase", table="all").inc()
            _log.warning("erasure_failed", erasure_id=job["erasure_id"], reason=reason)
            with self._engine.begin() as connection:
                erasure_jobs.put_back(connection, job["erasure_id"], job["num_tries"], reason)
            return job
        with self._engine.begin() as connection:
            erasure_jobs.end(connection, job["erasure_id"], receipt.model_dump(mode="json"))
        metrics.ERASURES.labels(outcome="done").inc()
        _log.info("erased", erasure_id=job["erasure_id"], scope=job["scope"], num_traces=receipt.num_traces)
        return job

    def _erase(self, job: dict[str, Any]) -> Receipt:
        tenant_id = job["tenant_id"]
        catalog = connect_catalog(self._settings)
        tables = [TableBytes(load_table(catalog, self._settings, it), it, tenant_id, self._settings) for it in TABLES]
        traces: set[str] = set()
        known: Tombstones | None = None
        for round_number in range(1, _MAX_ROUNDS + 1):
            self._tell(job, f"looking for what it names, round {round_number}")
            found, stones = self._note_names(job)
            traces |= found
            if known is not None and not stones.news(known):
                break
            known = stones
            for table in tables:
                self._tell(job, f"erasing rows of {table.spec.name}, round {round_number}")
                metrics.ERASED_ROWS.labels(table=table.spec.name).inc(table.erase(stones))
        looks = []
        for table in tables:
            self._tell(job, f"looking at the files of {table.spec.name}")
            found_left = table.look(stones)
            if table.num_rows or found_left[0]:
                self._tell(job, f"expiring snapshots of {table.spec.name}")
                table.expire()
                table.remove_strays(stones)
                found_left = table.look(stones)
            looks.append(found_left)
        num_left, num_files_left = sum(rows for rows, _ in looks), sum(files for _, files in looks)
        if num_left:
            raise NotErased(f"{num_left} rows in {num_files_left} files are left")
        num_blobs = self._remove_blobs(job, set().union(*(table.blobs for table in tables)))
        finished_at = datetime.now(UTC)
        return Receipt(
            scope=job["scope"],
            id=job["target"],
            tenant_id=tenant_id,
            reason=job["reason"],
            asked_at=job["asked_at"],
            finished_at=finished_at,
            num_traces=len(traces),
            tables=[table.result() for table in tables],
            num_blobs_removed=num_blobs,
            num_ingest_keys_revoked=self._num_revoked(job),
            num_rows_left=num_left,
            num_files_left=num_files_left,
            # The stitcher may have had some of it in its hands until now.
            topics=topics_left(self._settings, self._settings.topic_prefix, finished_at),
            elsewhere=list(ELSEWHERE),
        )

    def _note_names(self, job: dict[str, Any]) -> tuple[set[str], Tombstones]:
        """Store tombstones for all that is named; return its traces and all tombstones of now."""
        cursor = connect(self._settings, self._settings.maintenance_user, source="clawtrace erasure").cursor()
        names = Names(cursor, self._settings, job)
        traces = names.traces()
        # A trace that the tables do not know may have runs that they do.
        known = traces | {job["target"]} if job["scope"] == "trace" else traces
        stones = [] if job["scope"] == "tenant" else names.tombstones(known)
        with self._engine.begin() as connection:
            add_tombstones(connection, job["erasure_id"], stones)
        with self._engine.connect() as connection:
            return traces, read_tombstones(connection)

    def _remove_blobs(self, job: dict[str, Any], hashes: set[str]) -> int:
        """Remove payloads that were stored apart; one that other rows name too stays."""
        folder = self._settings.home / "blobs" / job["tenant_id"]
        if job["scope"] == "tenant":
            num_blobs = sum(path.is_file() for path in folder.rglob("*")) if folder.is_dir() else 0
            shutil.rmtree(folder, ignore_errors=True)
            return num_blobs
        present = {sha256 for sha256 in hashes if (folder / sha256[:2] / sha256).is_file()}
        for sha256 in present - self._still_named(job["tenant_id"], present):
            (folder / sha256[:2] / sha256).unlink(missing_ok=True)
        return sum(not (folder / sha256[:2] / sha256).is_file() for sha256 in present)

    def _still_named(self, tenant_id: str, hashes: set[str]) -> set[str]:
        if not hashes:
            return set()
        cursor = connect(self._settings, self._settings.maintenance_user, source="clawtrace erasure").cursor()
        found: set[str] = set()
        for table in ("events", "spans"):
            place = f'"{self._settings.catalog_name}"."{self._settings.silver_namespace}".{table}'
            marks = ", ".join("?" for _ in hashes)
            # Names of our own tables; the rest are parameters.
            sql = f"SELECT DISTINCT payload_ref FROM {place} WHERE tenant_id = ? AND payload_ref IN ({marks})"  # noqa: S608
            cursor.execute(sql, [tenant_id, *sorted(hashes)])
            found |= {str(row[0]) for row in cursor.fetchall()}
        return found

    def _num_revoked(self, job: dict[str, Any]) -> int:
        if job["scope"] != "tenant":
            return 0
        keys = access_keys.c
        wanted = select(func.count()).where(
            keys.tenant_id == job["tenant_id"], keys.scope == "ingest", keys.revoked_at >= job["asked_at"]
        )
        with self._engine.connect() as connection:
            return int(connection.scalar(wanted) or 0)

    def _tell(self, job: dict[str, Any], step: str) -> None:
        self._tell_person(step)
        with self._engine.begin() as connection:
            erasure_jobs.tell(connection, job["erasure_id"], step)
