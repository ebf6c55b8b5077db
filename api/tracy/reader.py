"""Reads results as one caller may, and keeps each with the SQL and the snapshots it came from.

Upstream: api/tracy/tools.py asks.
Downstream: api/sqlguard, api/repositories/sql.py; api/tracy/citations.py compares.
Guarantee: every query runs as the scope's user behind the guard, the second reading as well as the first; no query
runs that is not in the log (event ``tracy_query``).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from api.metrics import SQL_REFUSED
from api.repositories.errors import QueryTimeout, TooManyQueries, TrinoAway
from api.repositories.scope import Scope
from api.repositories.sql import SqlRepository
from api.sqlguard.admit import Admitted, admit_sql
from api.sqlguard.errors import SqlError, SqlRefused
from api.sqlguard.manifest import view_columns
from api.tracy.citations import Reread, Table
from api.tracy.confine import confine

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One result of this question. ``sql`` is empty when it came from a control table and not from the lake."""

    result_id: str
    source: str
    sql: str
    types: tuple[str, ...]
    table: Table
    reread: Callable[[], Awaitable[Table]]

    @property
    def num_rows(self) -> int:
        """Rows that were read."""
        return len(self.table.rows)


class Reader:
    """Reads for one tenant, or for one agent of it."""

    def __init__(self, scope: Scope, sql: SqlRepository, *, agent_id: str | None = None) -> None:
        self._scope = scope
        self._sql = sql
        self.agent_id = agent_id

    async def read(
        self, text: str, max_rows: int, *, with_payloads: bool = False
    ) -> tuple[str, tuple[str, ...], Table, Callable[[], Awaitable[Table]]]:
        """Run one SELECT; return its text as it may be shown, the types, the table, and how to read it again.

        Raises:
            SqlError: the guard or Trino refused it; the text says what to write instead.
            TrinoAway, TooManyQueries, QueryTimeout: as ever.
        """
        columns = view_columns()
        try:
            admitted = await asyncio.to_thread(admit_sql, text, columns, max_rows)
            run, shown = await asyncio.to_thread(
                confine, admitted.sql, columns, agent_id=self.agent_id, with_payloads=with_payloads
            )
        except SqlRefused as refusal:
            SQL_REFUSED.labels(refusal.code).inc()
            raise
        confined = Admitted(sql=run, tables=admitted.tables, max_rows=admitted.max_rows)
        types, table = await self._run(confined)

        async def again() -> Table:
            return (await self._run(confined))[1]

        return shown, types, table, again

    async def _run(self, admitted: Admitted) -> tuple[tuple[str, ...], Table]:
        _log.info("tracy_query", tenant_id=self._scope.tenant_id, agent_id=self.agent_id, sql=admitted.sql)
        # Before the query: a commit in between makes the rows newer than the snapshot says, never older.
        snapshots = await self._sql.find_snapshots(self._scope, admitted.tables)
        rows = await self._sql.run(self._scope, admitted)
        table = Table(
            columns=tuple(column.name for column in rows.columns),
            rows=tuple(tuple(row) for row in rows.rows),
            snapshots=snapshots,
            truncated=rows.truncated,
            is_recorded=bool(admitted.tables),
        )
        return tuple(column.type for column in rows.columns), table


@dataclass(slots=True)
class EvidenceBook:
    """The results of one question, r1, r2 and so on."""

    results: dict[str, Evidence] = field(default_factory=dict)
    _rereads: dict[str, Reread] = field(default_factory=dict)

    def add(
        self, source: str, sql: str, types: tuple[str, ...], table: Table, reread: Callable[[], Awaitable[Table]]
    ) -> Evidence:
        """Keep a result under the next number."""
        evidence = Evidence(f"r{len(self.results) + 1}", source, sql, types, table, reread)
        self.results[evidence.result_id] = evidence
        return evidence

    async def reread(self, result_id: str) -> Reread | None:
        """Read a result a second time, once; None when there is no such result."""
        evidence = self.results.get(result_id)
        if evidence is None:
            return None
        if result_id not in self._rereads:
            self._rereads[result_id] = Reread(evidence.table, await self._read_again(evidence))
        return self._rereads[result_id]

    async def _read_again(self, evidence: Evidence) -> Table | None:
        try:
            return await evidence.reread()
        except (SqlError, TrinoAway, TooManyQueries, QueryTimeout) as error:
            _log.warning("tracy_reread_failed", result_id=evidence.result_id, reason=str(error)[:200])
            return None

    def rereads(self) -> dict[str, Reread]:
        """What was read twice so far."""
        return dict(self._rereads)
