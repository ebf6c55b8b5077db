"""Reads spans of one trace.

Upstream: view ``clawtrace.spans``, through the engine.
Downstream: api/routers/traces.py.
Guarantee: every query names the trace's day, so that one partition is read; payloads are read for one span only.
"""

from datetime import date
from typing import Any

from api.repositories.engine import Rows, TrinoEngine
from api.repositories.scope import Scope

_COLUMNS = """span_id, parent_span_id, path, depth, kind, operation_name, name, status, error, started_at, ended_at,
duration_ms, run_id, session_key, openclaw_agent_id, attempt, provider, model, tool_name, tool_call_id, exit_code,
input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, usage_source, cost_usd,
price_id, reported_cost_usd, run_input_tokens, run_cache_read_tokens, run_cache_write_tokens, run_output_tokens,
run_cost_usd, payload_ref, flags"""


class SpansRepository:
    """Spans of one tenant."""

    def __init__(self, engine: TrinoEngine) -> None:
        self._engine = engine

    async def list_of_trace(self, scope: Scope, *, trace_id: str, trace_date: date, agent_id: str, limit: int) -> Rows:
        """Return the spans of a trace in the order they started, without payloads; at most ``limit``."""
        sql = (
            f"SELECT {_COLUMNS} FROM spans "  # noqa: S608 - texts of this module only
            "WHERE trace_date = ? AND agent_id = ? AND trace_id = ? "
            f"ORDER BY started_at, depth, span_id LIMIT {int(limit) + 1}"
        )
        return await self._engine.read(scope, sql, [trace_date, agent_id, trace_id], max_rows=limit)

    async def find(
        self, scope: Scope, *, trace_id: str, trace_date: date, agent_id: str, span_id: str
    ) -> dict[str, Any] | None:
        """Return one span with its payloads; None when the trace has none of that id."""
        sql = (
            f"SELECT {_COLUMNS}, input, output FROM spans "  # noqa: S608 - texts of this module only
            "WHERE trace_date = ? AND agent_id = ? AND trace_id = ? AND span_id = ?"
        )
        rows = await self._engine.read(scope, sql, [trace_date, agent_id, trace_id, span_id], max_rows=1)
        return rows.as_dicts()[0] if rows.rows else None
