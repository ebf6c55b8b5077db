"""Reads TraceCards.

Upstream: view ``clawtrace.cards``, through the engine.
Downstream: api/routers/trace_views.py.
Guarantee: one card a trace, the newest revision.
"""

from typing import Any

from api.repositories.engine import TrinoEngine
from api.repositories.scope import Scope
from api.repositories.spans import TracePlace
from lakehouse.contracts.tables import table_named

_COLUMNS = ", ".join(column.name for column in table_named("cards").visible_columns if column.name != "tenant_id")


class CardsRepository:
    """Cards of one tenant."""

    def __init__(self, engine: TrinoEngine) -> None:
        self._engine = engine

    async def find(self, scope: Scope, trace: TracePlace) -> dict[str, Any] | None:
        """Return the card of a trace; None when it has none."""
        sql = (
            f"SELECT {_COLUMNS} FROM cards "  # noqa: S608 - texts of this module only
            "WHERE trace_date = ? AND agent_id = ? AND trace_id = ?"
        )
        rows = await self._engine.read(scope, sql, trace.values, max_rows=1)
        return rows.as_dicts()[0] if rows.rows else None
