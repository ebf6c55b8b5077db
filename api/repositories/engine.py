"""Runs one read in Trino: bounded, with a deadline, cancelled when nobody waits for it any more.

Upstream: the repositories give SQL, parameters and the scope.
Downstream: Trino, through the synchronous client in a pool of threads.
Guarantee: never more queries at once than the settings say, per tenant and in all; a query that is given up
is also ended in Trino; the caller gets our exceptions or Trino's verdict on the SQL (TrinoQueryError).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import requests
import structlog
from trino.dbapi import Cursor
from trino.exceptions import (
    DatabaseError,
    HttpError,
    TrinoConnectionError,
    TrinoDataError,
    TrinoExternalError,
    TrinoInternalError,
    TrinoQueryError,
)

from api.metrics import QUERIES, QUERIES_RUNNING, QUERY_SECONDS
from api.repositories.errors import QueryTimeout, TooManyQueries, TrinoAway
from api.repositories.scope import AnyScope
from api.settings import ApiSettings
from infra.runtime.trino_connection import KeptTransport, connect

_log = structlog.get_logger(__name__)

# Errors with which Trino says that it cannot work now, whatever the SQL.
_AWAY = frozenset(
    {
        "SERVER_STARTING_UP",
        "SERVER_SHUTTING_DOWN",
        "NO_NODES_AVAILABLE",
        "CLUSTER_OUT_OF_MEMORY",
        "ICEBERG_CATALOG_ERROR",
    }
)
_BUSY = frozenset({"QUERY_QUEUE_FULL"})


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """Name and Trino type of one column of a result."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Rows:
    """A result. ``truncated`` when there were more rows, or more bytes, than asked for."""

    columns: tuple[ResultColumn, ...]
    rows: list[list[Any]]
    truncated: bool

    def as_dicts(self) -> list[dict[str, Any]]:
        """Rows by column name."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


class TrinoEngine:
    """The one way from the API into Trino. Use it from one event loop."""

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        # Cancelling needs threads too, when all others are stuck.
        self._threads = ThreadPoolExecutor(settings.api_max_queries, thread_name_prefix="trino")
        self._cancel_threads = ThreadPoolExecutor(2, thread_name_prefix="trino-cancel")
        self._transport = KeptTransport(settings.api_max_queries + 2)
        self._all = asyncio.Semaphore(settings.api_max_queries)
        self._by_user: dict[str, asyncio.Semaphore] = {}

    async def read(
        self,
        scope: AnyScope,
        sql: str,
        parameters: Sequence[Any] = (),
        *,
        max_rows: int,
        max_bytes: int | None = None,
        login: tuple[str, str] | None = None,
    ) -> Rows:
        """Run one query as the scope's user and return at most ``max_rows`` rows.

        ``max_bytes`` replaces the setting, for queries of ours whose rows are known to be small. ``login`` replaces
        the scope's own login; the limits stay the scope's.

        Raises:
            TrinoAway, TooManyQueries, QueryTimeout: see there.
            TrinoQueryError: what Trino says about the SQL or its values.
        """
        principal, user = login or scope.login
        async with self._turn(scope.login[1]):
            connection = connect(
                self._settings,
                principal,
                user,
                request_timeout_s=self._settings.api_query_timeout_s,
                source="clawtrace-api",
                transport=self._transport,
            )
            cursor: Cursor = connection.cursor()
            limit = max_bytes or self._settings.api_max_result_bytes

            def fetch() -> Rows:
                try:
                    return _fetch(cursor, sql, list(parameters), max_rows, limit)
                finally:
                    connection.close()  # type: ignore[no-untyped-call]  # no types in trino

            return await self._run(cursor, fetch)

    def close(self) -> None:
        """Stop the threads; queries that still run are left to their deadline in Trino."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._cancel_threads.shutdown(wait=False, cancel_futures=True)
        self._transport.shut()

    async def _run(self, cursor: Cursor, fetch: Callable[[], Rows]) -> Rows:
        loop = asyncio.get_running_loop()
        started_at_s = time.monotonic()
        outcome = "error"
        running = loop.run_in_executor(self._threads, fetch)
        QUERIES_RUNNING.inc()
        # When the thread ends, not when we stop waiting: a query given up still runs until Trino has ended it.
        running.add_done_callback(_forget)
        try:
            rows = await asyncio.wait_for(asyncio.shield(running), self._settings.api_query_timeout_s)
            outcome = "ok"
            return rows
        except TimeoutError:
            outcome = "timeout"
            self._cancel(cursor)
            raise QueryTimeout(self._settings.api_query_timeout_s) from None
        except asyncio.CancelledError:
            outcome = "cancelled"
            self._cancel(cursor)
            raise
        except TrinoAway:
            outcome = "away"
            raise
        except TrinoQueryError as error:
            outcome = "refused"
            raise _translate(error) from error
        finally:
            QUERIES.labels(outcome).inc()
            QUERY_SECONDS.observe(time.monotonic() - started_at_s)

    def _cancel(self, cursor: Cursor) -> None:
        self._cancel_threads.submit(_end_query, cursor)

    @asynccontextmanager
    async def _turn(self, user: str) -> AsyncIterator[None]:
        """Wait for a free place: the tenant's own first, so that a greedy one waits for itself."""
        mine = self._by_user.setdefault(user, asyncio.Semaphore(self._settings.api_max_queries_per_tenant))
        deadline_s = time.monotonic() + self._settings.api_queue_timeout_s
        taken: list[asyncio.Semaphore] = []
        try:
            for semaphore in (mine, self._all):
                try:
                    await asyncio.wait_for(semaphore.acquire(), max(0.001, deadline_s - time.monotonic()))
                except TimeoutError:
                    whose = "of this tenant" if semaphore is mine else "of all tenants together"
                    raise TooManyQueries(f"as many queries {whose} are running as may; try again shortly") from None
                taken.append(semaphore)
            yield
        finally:
            for semaphore in taken:
                semaphore.release()


def _fetch(cursor: Cursor, sql: str, parameters: list[Any], max_rows: int, max_bytes: int) -> Rows:
    """Run and read, in a thread of the pool."""
    rows: list[list[Any]] = []
    num_bytes, truncated = 0, False
    try:
        cursor.execute(sql, parameters or None)  # type: ignore[no-untyped-call]  # no types in trino
        while (row := cursor.fetchone()) is not None:
            num_bytes += sum(len(value) if isinstance(value, str | bytes) else 16 for value in row)
            if len(rows) == max_rows or num_bytes > max_bytes:
                truncated = True
                _end_query(cursor)
                break
            rows.append(row)
        columns = tuple(ResultColumn(column.name, str(column.type_code)) for column in cursor.description or ())
    except (TrinoConnectionError, HttpError, requests.RequestException) as error:
        _log.warning("trino_away", reason=str(error)[:300])
        raise TrinoAway(f"Trino does not answer: {type(error).__name__}") from error
    except TrinoDataError as error:
        # A timestamp beyond the year 9999, for instance: valid for Trino, not for Python.
        raise TrinoQueryError({"errorName": "NUMERIC_VALUE_OUT_OF_RANGE", "message": str(error)}) from error
    except DatabaseError as error:
        if isinstance(error, TrinoQueryError):
            raise
        raise TrinoAway(f"Trino does not answer: {type(error).__name__}") from error
    return Rows(columns, rows, truncated)


def _translate(error: TrinoQueryError) -> Exception:
    name = error.error_name or ""
    if name in _BUSY:
        return TooManyQueries("Trino has as many queries waiting as it takes; try again shortly")
    if name in _AWAY:
        return TrinoAway(f"Trino cannot work now: {name}")
    if isinstance(error, TrinoInternalError | TrinoExternalError):
        _log.error("query_failed", query_id=error.query_id, error=name, message=error.message)
    return error


def _forget(running: "asyncio.Future[Rows]") -> None:
    QUERIES_RUNNING.dec()
    if not running.cancelled():
        # Fetched so that asyncio does not report the exception of a query that nobody waits for.
        running.exception()


def _end_query(cursor: Cursor) -> None:
    try:
        cursor.cancel()  # type: ignore[no-untyped-call]  # no types in trino
    except Exception as error:
        # It may have ended by itself meanwhile; if not, Trino ends it when nobody fetches its rows.
        _log.debug("query_not_cancelled", reason=type(error).__name__)
