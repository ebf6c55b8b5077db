"""Reads what agents were made of: versions of their configuration, and changes of their skills.

Upstream: views ``clawtrace.traces`` (labels of runs) and ``clawtrace.events`` (agent_config, skill_changed).
Downstream: api/routers/configs.py.
Guarantee: every query names days and agent. Payloads are read by their keys, so those of other events stay unread.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from api.repositories.engine import Rows, TrinoEngine
from api.repositories.scope import Scope
from api.repositories.traces import days_of

CONFIG_HOOK = "agent_config"
SKILL_HOOK = "skill_changed"
# Told once a day and agent, and at each change: more are not looked for one hash in.
_MAX_TOLD = 400

# Day and id of an event.
EventKey = tuple[date, str]


class ConfigsRepository:
    """Configurations of the agents of one tenant."""

    def __init__(self, engine: TrinoEngine) -> None:
        self._engine = engine

    async def list_used(self, scope: Scope, agent_id: str, *, from_at: datetime, to_at: datetime, limit: int) -> Rows:
        """Return each configuration that traces of [from_at, to_at) are labelled with, the newest first."""
        sql = (
            "SELECT openclaw_agent_id, element_at(labels, 'config') AS hash, "  # noqa: S608 - texts of this module only
            "max_by(element_at(labels, 'model'), started_at) AS model, "
            "max_by(element_at(labels, 'skill'), started_at) AS skill, "
            "min(started_at) AS first_run_at, max(started_at) AS last_run_at, count(*) AS num_traces, "
            "count_if(NOT is_open AND status = 'error') AS num_failed, sum(num_tool_calls) AS num_tool_calls, "
            "sum(cost_usd) AS cost_usd FROM traces "
            "WHERE trace_date BETWEEN ? AND ? AND started_at >= ? AND started_at < ? AND agent_id = ? "
            "AND element_at(labels, 'config') IS NOT NULL "
            f"GROUP BY 1, 2 ORDER BY last_run_at DESC, hash LIMIT {int(limit) + 1}"
        )
        parameters = [*days_of(from_at, to_at), from_at, to_at, agent_id]
        return await self._engine.read(scope, sql, parameters, max_rows=limit)

    async def find_told(
        self, scope: Scope, agent_id: str, hook: str, *, from_at: datetime, to_at: datetime
    ) -> list[EventKey]:
        """Return the keys of the agent's events of one hook in [from_at, to_at), the newest first, 400 at most."""
        sql = (
            "SELECT event_date, event_id FROM events WHERE event_date BETWEEN ? AND ? "  # noqa: S608 - ours
            "AND agent_id = ? AND hook = ? AND at >= ? AND at < ? "
            f"ORDER BY at DESC, event_id LIMIT {_MAX_TOLD}"
        )
        parameters = [*days_of(from_at, to_at), agent_id, hook, from_at, to_at]
        rows = await self._engine.read(scope, sql, parameters, max_rows=_MAX_TOLD)
        return [(row[0], row[1]) for row in rows.rows]

    async def find_config(self, scope: Scope, agent_id: str, keys: Iterable[EventKey], version: str) -> str | None:
        """Return the newest payload among those events that tells the configuration; None when none does."""
        rows = await self._payloads(
            scope, agent_id, keys, "AND json_extract_scalar(payload, '$.event.hash') = ?", version
        )
        return rows[0]["payload"] if rows else None

    async def list_payloads(self, scope: Scope, agent_id: str, keys: Iterable[EventKey]) -> list[dict[str, Any]]:
        """Return ``at``, ``run_id`` and ``payload`` of those events, the newest first."""
        return await self._payloads(scope, agent_id, keys)

    async def _payloads(
        self, scope: Scope, agent_id: str, keys: Iterable[EventKey], condition: str = "", *values: str
    ) -> list[dict[str, Any]]:
        wanted = list(keys)
        if not wanted:
            return []
        days = [day for day, _ in wanted]
        places = ", ".join("?" * len(wanted))
        sql = (
            "SELECT at, run_id, payload FROM events WHERE event_date BETWEEN ? AND ? "  # noqa: S608 - ours
            f"AND agent_id = ? AND event_id IN ({places}) {condition} ORDER BY at DESC, event_id"
        )
        parameters = [min(days), max(days), agent_id, *(event_id for _, event_id in wanted), *values]
        return (await self._engine.read(scope, sql, parameters, max_rows=len(wanted))).as_dicts()
