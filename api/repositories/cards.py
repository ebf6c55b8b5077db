"""Reads TraceCards.

Upstream: view ``clawtrace.cards``, through the engine.
Downstream: api/routers/trace_views.py.
Guarantee: one card a trace, the newest revision.
"""

from typing import Any

from api.repositories.engine import TrinoEngine
from api.repositories.scope import Scope
from api.repositories.spans import TracePlace

_COLUMNS = """trace_id, agent_id, trace_date, task_id, models, total_cost_usd, input_tokens, cache_read_tokens,
cache_write_tokens, output_tokens, num_model_calls, num_tool_calls, top_cost_spans, redundant_tool_calls, sub_agents,
failed_or_repeated_steps"""


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
