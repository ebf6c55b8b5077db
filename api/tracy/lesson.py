"""The schema lesson: what can be asked, told once and cached by the model's server.

Upstream: lakehouse.contracts.manifest, from which nothing is repeated by hand.
Downstream: the system prompt of api/tracy/prompt.py; the tool describe_schema, also over MCP.
Guarantee: the same text in every call, so that a prompt cache holds it.
"""

from functools import cache

from api.tracy.confine import PAYLOAD_COLUMNS
from lakehouse.contracts.manifest import ViewEntry, build_manifest

_HABITS = """Trino SQL, one SELECT. Only this tenant's rows exist. Name the day: trace_date (spans, traces, edges,
cards) or event_date (events), as in trace_date >= current_date - INTERVAL '7' DAY. Days and instants are UTC.
cost_usd is decimal dollars and NULL when unpriced. A trace is a run with all its sub-agents; contains(path,
'<span_id>') finds all descendants of a span.
Give computed columns a name that tells the unit: …_usd, …_pct, …_ms, num_…."""

_PAYLOAD = " (payload: off unless the user asks)"


@cache
def schema_lesson() -> str:
    """Return the lesson on all views."""
    return "\n\n".join([_HABITS, *(_lesson(view) for view in build_manifest())])


def view_lesson(name: str) -> str | None:
    """Return the lesson on one view; None when there is none of that name."""
    return next((_lesson(view) for view in build_manifest() if view.name == name.lower()), None)


def _lesson(view: ViewEntry) -> str:
    hidden = PAYLOAD_COLUMNS.get(view.name, frozenset())
    lines = [f"{view.name}: {view.doc}"]
    lines += [
        f"  {column.name} {column.sql_type}: {column.doc}{_PAYLOAD if column.name in hidden else ''}"
        for column in view.columns
        if column.name != "tenant_id"
    ]
    lines += [f"  Note: {note}" for note in view.notes]
    lines += [f"  Example: {question} {sql}" for question, sql in view.examples]
    return "\n".join(lines)
