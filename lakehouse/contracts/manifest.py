"""What a SQL client may see: views, their columns with notes, and example questions.

Upstream: lakehouse.contracts.tables.
Downstream: the API's SQL guard and schema lesson, `clawtrace lake tables`, the README.
Guarantee: only what the views have is listed; internals never appear.
"""

from dataclasses import dataclass

from lakehouse.contracts.columns import ColumnSpec
from lakehouse.contracts.tables import TABLES, TableSpec

DEFAULT_VIEW_NAMESPACE = "clawtrace"

_SQL_TYPES = {
    "string": "varchar",
    "long": "bigint",
    "timestamptz": "timestamp(6) with time zone",
    "list<string>": "array(varchar)",
    "map<string,string>": "map(varchar, varchar)",
}


@dataclass(frozen=True, slots=True)
class ColumnEntry:
    """One column of a view."""

    name: str
    sql_type: str
    doc: str
    nullable: bool


@dataclass(frozen=True, slots=True)
class ViewEntry:
    """One view."""

    name: str
    doc: str
    columns: tuple[ColumnEntry, ...]
    notes: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]


_NOTES: dict[str, tuple[str, ...]] = {
    "events": (
        "Give a range of event_date: it decides how much is read.",
        "payload is JSON text: json_extract_scalar(payload, '$.event.toolName').",
    ),
    "spans": (
        "Give a range of trace_date: it decides how much is read.",
        "Tokens and cost_usd are set on model calls only, so sums over all spans count nothing twice.",
        "run_* columns repeat, on run spans, the sums of the run's own model calls: never add both.",
        "cost_usd is NULL when no price is known; that is not 0.",
        "The four token columns are disjoint; reasoning_tokens is part of output_tokens, cache_write_1h_tokens of "
        "cache_write_tokens.",
    ),
    "traces": (
        "Give a range of trace_date: it decides how much is read.",
        "A trace holds the run and all its sub-agents.",
        "category tells work from heartbeat and memory upkeep.",
    ),
    "edges": ("trace_date and trace_id are NULL for HAS_AGENT.",),
    "alerts": ("labels and evidence are maps: element_at(labels, 'run_id').",),
    "verdicts": (
        "In force while expires_at is ahead; one that was taken back ends when it was.",
        "verdict_id tells who said it: by-hand-… a person, budget-… a budget, else a rule.",
    ),
    "scores": (
        "criterion total is the weighted mean of a rubric's rules: never average it with the others.",
        "value is NULL for a comment alone; source is rule, model or human.",
    ),
    "cards": ("top_cost_spans, redundant_tool_calls, sub_agents, critical_path and reread_bill are JSON text.",),
}

_EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "events": (
        (
            "Which hooks fired today, and how often?",
            "SELECT hook, count(*) AS num_events FROM events WHERE event_date = current_date "
            "GROUP BY hook ORDER BY num_events DESC",
        ),
    ),
    "spans": (
        (
            "What did each model cost in the last week?",
            "SELECT provider, model, count(*) AS num_calls, sum(cost_usd) AS cost_usd FROM spans "
            "WHERE kind = 'model_call' AND trace_date >= current_date - INTERVAL '7' DAY "
            "GROUP BY provider, model ORDER BY cost_usd DESC NULLS LAST",
        ),
        (
            "Which tools fail most?",
            "SELECT tool_name, count(*) AS num_calls, count_if(status = 'error') AS num_errors FROM spans "
            "WHERE kind = 'tool_call' AND trace_date >= current_date - INTERVAL '7' DAY "
            "GROUP BY tool_name ORDER BY num_errors DESC",
        ),
    ),
    "traces": (
        (
            "Which were the dearest traces of today?",
            "SELECT trace_id, name, cost_usd, num_model_calls, duration_ms FROM traces "
            "WHERE trace_date = current_date ORDER BY cost_usd DESC NULLS LAST LIMIT 10",
        ),
    ),
    "agents": (("Which agents were active most recently?", "SELECT * FROM agents ORDER BY last_seen_at DESC"),),
    "tenants": (("Since when do we have data?", "SELECT first_seen_at FROM tenants"),),
    "edges": (
        (
            "Which spans have the most children?",
            "SELECT dst_id AS parent_span_id, count(*) AS num_children FROM edges "
            "WHERE kind = 'CHILD_OF' AND trace_date = current_date GROUP BY dst_id "
            "ORDER BY num_children DESC LIMIT 10",
        ),
    ),
    "alerts": (("What is wrong right now?", "SELECT at, severity, rule, message FROM alerts WHERE state = 'alert'"),),
    "verdicts": (
        (
            "Who is stopped right now, and why?",
            "SELECT agent_id, scope, scope_id, action, reason, expires_at FROM verdicts "
            "WHERE expires_at > now() AND action <> 'release' ORDER BY issued_at DESC",
        ),
    ),
    "scores": (
        (
            "How well did each task score in the last week?",
            "SELECT task_id, count(*) AS num_runs, avg(value) AS score FROM scores "
            "WHERE criterion = 'total' AND trace_date >= current_date - INTERVAL '7' DAY GROUP BY task_id "
            "ORDER BY score",
        ),
    ),
    "cards": (
        (
            "Which tasks cost most?",
            "SELECT task_id, count(*) AS num_traces, sum(total_cost_usd) AS cost_usd FROM cards "
            "WHERE trace_date >= current_date - INTERVAL '7' DAY GROUP BY task_id "
            "ORDER BY cost_usd DESC NULLS LAST LIMIT 10",
        ),
    ),
}


def build_manifest() -> tuple[ViewEntry, ...]:
    """List every view with what a person or a model must know to ask it something."""
    return tuple(_entry(table) for table in TABLES)


def _entry(table: TableSpec) -> ViewEntry:
    return ViewEntry(
        name=table.name,
        doc=table.doc,
        columns=tuple(_column(column) for column in table.visible_columns),
        notes=_NOTES.get(table.name, ()),
        examples=_EXAMPLES[table.name],
    )


def _column(column: ColumnSpec) -> ColumnEntry:
    return ColumnEntry(column.name, _SQL_TYPES.get(column.type, column.type), column.doc, not column.required)
