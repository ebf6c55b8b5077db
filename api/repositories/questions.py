"""Queries that Tracy and the other readers ask as a text, because a number must carry the SQL that gives it.

Upstream: ids from a request or a model, checked here.
Downstream: api/tracy/reader.py sends them through the SQL guard like any other text.
Guarantee: an id is a literal of a closed alphabet or the function raises; each text is one SELECT over the views.
"""

import re
from datetime import date
from decimal import Decimal
from typing import Final

from infra.runtime.access_keys import AGENT_ID

# Trace and span ids of any source; no quote, no backslash.
ENTITY_ID: Final = re.compile(r"[A-Za-z0-9_.:~-]{1,128}")
_DAY: Final = "trace_date = current_date"


class BadId(ValueError):
    """An id that no trace, span or agent can have."""


def trace_question(trace_id: str) -> str:
    """Roll-up of one trace; one row or none."""
    return (
        "SELECT trace_id, trace_date, agent_id, name, category, status, started_at, duration_ms, num_spans, num_runs, "  # noqa: S608 - ids are checked
        "num_model_calls, num_tool_calls, num_errors, num_unpriced_calls, models, input_tokens, cache_read_tokens, "
        "cache_write_tokens, output_tokens, cost_usd, is_open FROM traces "
        f"WHERE trace_id = {_literal(trace_id)} ORDER BY trace_date DESC LIMIT 1"
    )


def spans_question(trace_id: str, trace_date: date, agent_id: str, limit: int) -> str:
    """Spans of one trace, the dearest and longest first, without payloads."""
    return (
        "SELECT span_id, parent_span_id, depth, kind, name, status, error, started_at, duration_ms, model, tool_name, "  # noqa: S608
        "input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, cost_usd FROM spans "
        f"WHERE trace_date = DATE '{trace_date.isoformat()}' AND agent_id = {_literal(agent_id)} "
        f"AND trace_id = {_literal(trace_id)} "
        f"ORDER BY cost_usd DESC NULLS LAST, duration_ms DESC NULLS LAST, span_id LIMIT {int(limit)}"
    )


def card_question(trace_id: str) -> str:
    """TraceCard of one trace; one row or none."""
    return (
        "SELECT trace_id, trace_date, agent_id, task_id, models, total_cost_usd, input_tokens, cache_read_tokens, "  # noqa: S608
        "cache_write_tokens, output_tokens, num_model_calls, num_tool_calls, top_cost_spans, redundant_tool_calls, "
        "sub_agents, failed_or_repeated_steps, name, status, duration_ms, num_failed_steps, critical_path, "
        f"reread_cost_usd, reread_bill, is_partial FROM cards WHERE trace_id = {_literal(trace_id)} "
        "ORDER BY trace_date DESC LIMIT 1"
    )


def alerts_question(*, open_only: bool, agent_id: str | None, limit: int) -> str:
    """Alerts, newest first."""
    where = ["true"]
    if open_only:
        where.append("state IN ('alert', 'warn')")
    if agent_id is not None:
        where.append(f"agent_id = {agent_literal(agent_id)}")
    return (
        "SELECT alert_id, agent_id, rule, severity, state, message, evidence, trace_id, span_id, at FROM alerts "  # noqa: S608
        f"WHERE {' AND '.join(where)} ORDER BY at DESC, alert_id LIMIT {int(limit)}"
    )


def cost_today_question() -> str:
    """What was spent today (UTC) by agent, and how much of it has no price."""
    return (
        "SELECT agent_id, sum(cost_usd) AS cost_usd, count(*) AS num_runs, "  # noqa: S608
        "sum(num_model_calls) AS num_model_calls, sum(num_unpriced_calls) AS num_unpriced_calls, "
        "count_if(has_error) AS num_failed_runs, count_if(is_open) AS num_open_runs "
        f"FROM traces WHERE {_DAY} GROUP BY agent_id ORDER BY cost_usd DESC NULLS LAST, agent_id"
    )


def left_today_question(limit_usd: Decimal) -> str:
    """What is left today (UTC) of a limit in dollars, over all rows that the reader sees."""
    return f"SELECT {limit_usd:f} - coalesce(sum(cost_usd), 0) AS left_usd FROM traces WHERE {_DAY}"  # noqa: S608


def last_runs_question(limit: int) -> str:
    """The newest runs of the last seven days."""
    return (
        "SELECT trace_id, name, status, started_at, duration_ms, num_model_calls, num_tool_calls, num_errors, cost_usd "  # noqa: S608
        "FROM traces WHERE trace_date >= current_date - INTERVAL '7' DAY "
        f"ORDER BY started_at DESC, trace_id LIMIT {int(limit)}"
    )


def repeats_question(limit: int) -> str:
    """Tools called again and again with the same input within one run of today, most often first."""
    return (
        "SELECT trace_id, run_id, tool_name, count(*) AS num_calls, "  # noqa: S608
        "count_if(status = 'error') AS num_errors, max(started_at) AS last_called_at "
        f"FROM spans WHERE {_DAY} AND kind = 'tool_call' AND input IS NOT NULL "
        "GROUP BY trace_id, run_id, tool_name, xxhash64(to_utf8(input)) HAVING count(*) >= 3 "
        f"ORDER BY num_calls DESC, last_called_at DESC, trace_id LIMIT {int(limit)}"
    )


def agent_literal(agent_id: str) -> str:
    """SQL literal of an agent's id.

    Raises:
        BadId: no agent can have it.
    """
    if not AGENT_ID.fullmatch(agent_id):
        raise BadId(f"no agent can be named {agent_id[:80]!r}")
    return f"'{agent_id}'"


def _literal(entity_id: str) -> str:
    if not ENTITY_ID.fullmatch(entity_id):
        raise BadId("an id has letters, digits and _ . : ~ - only")
    return f"'{entity_id}'"
