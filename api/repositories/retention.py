"""Reads and writes how long rows of a tenant stay.

Upstream: table ``control.retention``; lakehouse.contracts.retention.
Downstream: api/routers/retention.py; upkeep deletes by the same rows.
Guarantee: the scope's tenant only; every change has its audit row in the same transaction.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine

from api.repositories.control import note, transact
from api.repositories.engine import TrinoEngine
from api.repositories.scope import Scope
from infra.runtime import retention_rows
from lakehouse.contracts.retention import AGE_RULES, RetainedTable, oldest_kept


class RetentionRepository:
    """Days by table, of one tenant."""

    def __init__(self, engine: Engine, trino: TrinoEngine, defaults: Mapping[RetainedTable, int]) -> None:
        self._engine, self._trino, self._defaults = engine, trino, defaults

    async def list_all(self, scope: Scope, *, with_counts: bool = False) -> list[dict[str, Any]]:
        """Return every table that grows old; with how many rows are older than they may be."""
        own = await transact(self._engine, lambda connection: retention_rows.days_of(connection, scope.tenant_id))
        rows: list[dict[str, Any]] = [
            {
                "table": table,
                "days": own.get(table, default),
                "default_days": default,
                "is_own": table in own,
                "num_rows_older": None,
            }
            for table, default in self._defaults.items()
        ]
        if with_counts:
            counts = await self._count_older(scope, {row["table"]: row["days"] for row in rows})
            for row in rows:
                row["num_rows_older"] = counts[row["table"]]
        return rows

    async def set_days(self, scope: Scope, table: RetainedTable, days: int, *, actor: str) -> None:
        """Set the days of a table."""

        def work(connection: Connection) -> None:
            retention_rows.set_days(connection, scope.tenant_id, table, days, who=actor)
            note(connection, scope.tenant_id, actor, "retention.set", table, {"days": days})

        await transact(self._engine, work)

    async def remove_days(self, scope: Scope, table: RetainedTable, *, actor: str) -> None:
        """Take back what was set; nothing happens when nothing was."""

        def work(connection: Connection) -> None:
            if retention_rows.remove_days(connection, scope.tenant_id, table):
                note(connection, scope.tenant_id, actor, "retention.unset", table, {})

        await transact(self._engine, work)

    async def _count_older(self, scope: Scope, days: Mapping[str, int]) -> dict[str, int]:
        today = datetime.now(UTC).date()
        # Names of tables and columns are the contract's own.
        query = " UNION ALL ".join(
            f"SELECT '{rule.table}' AS table_name, count(*) AS num_rows FROM {rule.table} "  # noqa: S608
            f"WHERE CAST({rule.column} AS date) < CAST(? AS date)"
            for rule in AGE_RULES
        )
        kept = [oldest_kept(today, days[rule.table]).isoformat() for rule in AGE_RULES]
        found = await self._trino.read(scope, query, kept, max_rows=len(kept))
        return {str(row["table_name"]): int(row["num_rows"]) for row in found.as_dicts()}
