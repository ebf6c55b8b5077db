"""Runs SQL that a person or a model wrote, after the guard has written it again.

Upstream: api/sqlguard/admit.py.
Downstream: api/routers/sql.py and `clawtrace sql`.
Guarantee: the text runs as the scope's user; the snapshot ids say which state of the tables a number came from.
"""

from trino.exceptions import TrinoQueryError

from api.repositories.engine import Rows, TrinoEngine
from api.repositories.scope import AnyScope
from api.sqlguard.admit import Admitted
from api.sqlguard.execute import explain_failure
from infra.runtime.trino_connection import API


class SqlRepository:
    """Free SQL of one tenant, or of the operator."""

    def __init__(self, engine: TrinoEngine) -> None:
        self._engine = engine

    async def run(self, scope: AnyScope, admitted: Admitted) -> Rows:
        """Run an admitted text.

        Raises:
            SqlFailed: Trino could not run it.
        """
        try:
            return await self._engine.read(scope, admitted.sql, max_rows=admitted.max_rows)
        except TrinoQueryError as error:
            raise explain_failure(error, admitted.tables) from error

    async def find_snapshots(self, scope: AnyScope, tables: tuple[str, ...]) -> dict[str, str]:
        """Return the id of the newest snapshot of each table, as text: JavaScript cannot hold the number.

        The ids of snapshots belong to no tenant; the API's own user may read them, tenants' users may not.
        """
        if not tables:
            return {}
        # The names come out of the guard's list of views, never from the text.
        parts = [
            f"""SELECT '{name}', snapshot_id FROM silver."{name}$refs" WHERE name = 'main'"""  # noqa: S608
            for name in tables
        ]
        rows = await self._engine.read(scope, " UNION ALL ".join(parts), max_rows=len(parts), login=(API, API))
        return {f"silver.{name}": str(snapshot_id) for name, snapshot_id in rows.rows}
