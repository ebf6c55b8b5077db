"""The silver tables as data: columns, grain, partition, sort, key and the topics that fill them.

Upstream: the contracts of the topics, from which the columns are taken.
Downstream: catalog.provision creates them, the sink fills them, views and manifest show them.
Guarantee: every field of a contract is a column; nothing is ever updated in place: facts are appended once,
what changes is appended again under a higher ``rev``.
"""

from dataclasses import dataclass
from typing import Literal

from lakehouse.contracts.columns import ColumnSpec, columns_of
from producers.contracts.event import Event, EventBatch, Source, TraceContext
from producers.contracts.guard import GuardMessage, Verdict
from producers.contracts.topics import EVENTS as EVENTS_TOPIC
from producers.contracts.topics import GUARD as GUARD_TOPIC
from stream_jobs.contracts.alert import Alert
from stream_jobs.contracts.card import Card
from stream_jobs.contracts.score import Score
from stream_jobs.contracts.span import Span
from stream_jobs.contracts.topics import ALERTS as ALERTS_TOPIC
from stream_jobs.contracts.topics import BUDGET_ALERTS as BUDGET_ALERTS_TOPIC
from stream_jobs.contracts.topics import CARDS as CARDS_TOPIC
from stream_jobs.contracts.topics import LEARN_ALERTS as LEARN_ALERTS_TOPIC
from stream_jobs.contracts.topics import SCORES as SCORES_TOPIC
from stream_jobs.contracts.topics import SPANS as SPANS_TOPIC
from stream_jobs.contracts.topics import TRACES as TRACES_TOPIC
from stream_jobs.contracts.trace import Trace

# newest: one row per key, the one with the highest rev. oldest: the one with the lowest, for facts that may be sent
# again but never change. extent: first and last seen over all rows of a key.
Reading = Literal["newest", "oldest", "extent"]


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table.

    ``partition`` columns are taken as they are (a DATE column is a day); ``key`` says which rows are about
    the same thing and always holds the partition columns, or a predicate on them could not be pushed below
    the choice of the newest row. Entries of ``key`` are SQL expressions. ``tie_break`` says which of two rows of
    one rev is read, as an ORDER BY of SQL.
    """

    name: str
    doc: str
    columns: tuple[ColumnSpec, ...]
    partition: tuple[str, ...]
    sort: tuple[str, ...]
    key: tuple[str, ...]
    sources: tuple[str, ...]
    reading: Reading = "newest"
    tie_break: str = ""

    def column(self, name: str) -> ColumnSpec:
        """Column of that name; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"table {self.name} has no column {name}")

    @property
    def visible_columns(self) -> tuple[ColumnSpec, ...]:
        """Columns that people see."""
        return tuple(column for column in self.columns if not column.internal)


TENANT_ID = ColumnSpec("tenant_id", "string", "Who pays and sees.", required=True)
AGENT_ID = ColumnSpec("agent_id", "string", "The OpenClaw install.", required=True)
EPOCH = ColumnSpec("epoch", "long", "Number of the sink's commit that brought the row.", required=True, internal=True)
REV = ColumnSpec("rev", "long", "Offset of the source record; the newest row wins.", required=True, internal=True)

EVENTS = TableSpec(
    name="events",
    doc="Everything that was captured, one row per event, with its payload as JSON text.",
    columns=(
        *columns_of(EventBatch, without=("schema_version", "source", "events", "tick_at_us")),
        *columns_of(Source, prefix="source_", within="source"),
        *columns_of(Event, without=("trace", "payload", "payload_ref")),
        ColumnSpec("event_date", "date", "Day of `at`; part of the key.", True, field="at_us", encoding="microseconds"),
        ColumnSpec("at_us", "long", "`at` as the agent said it, unclamped.", True, internal=True, field="at_us"),
        *(
            ColumnSpec(column.name, column.type, column.doc, field=column.field)
            for column in columns_of(TraceContext, within="trace")
        ),
        *columns_of(Event, without=[name for name in Event.__struct_fields__ if not name.startswith("payload")]),
        REV,
        EPOCH,
    ),
    partition=("event_date", "tenant_id"),
    sort=("tenant_id", "trace_id", "at", "seq"),
    key=("tenant_id", "event_date", "agent_id", "event_id"),
    sources=(EVENTS_TOPIC.name,),
    reading="oldest",
)

SPANS = TableSpec(
    name="spans",
    doc="The tree of every trace, one row per span: runs, model calls, tool calls, with tokens and cost.",
    columns=(*columns_of(Span, internal=("link_rev", "rev")), EPOCH),
    partition=("trace_date", "tenant_id"),
    sort=("tenant_id", "trace_id", "started_at"),
    key=("tenant_id", "trace_date", "agent_id", "trace_id", "span_id"),
    sources=(SPANS_TOPIC.name,),
)

TRACES = TableSpec(
    name="traces",
    doc="One row per trace, that is per tree of runs: counts, tokens, cost, status.",
    columns=(*columns_of(Trace, internal=("rev",)), EPOCH),
    partition=("trace_date", "tenant_id"),
    sort=("tenant_id", "trace_id", "rev"),
    key=("tenant_id", "trace_date", "agent_id", "trace_id"),
    sources=(TRACES_TOPIC.name,),
)

_SEEN = (
    ColumnSpec("first_seen_at", "timestamptz", "Start of the earliest trace.", True, encoding="microseconds"),
    ColumnSpec("last_seen_at", "timestamptz", "End (or start) of the latest trace.", True, encoding="microseconds"),
)

AGENTS = TableSpec(
    name="agents",
    doc="One row per OpenClaw install that sent something.",
    columns=(TENANT_ID, AGENT_ID, *_SEEN, REV, EPOCH),
    # Not for speed: without it, the row counts in a plan would be those of all tenants.
    partition=("tenant_id",),
    sort=("tenant_id", "agent_id"),
    key=("tenant_id", "agent_id"),
    sources=(TRACES_TOPIC.name,),
    reading="extent",
)

TENANTS = TableSpec(
    name="tenants",
    doc="One row per tenant that sent something.",
    columns=(TENANT_ID, *_SEEN, REV, EPOCH),
    partition=("tenant_id",),
    sort=("tenant_id",),
    key=("tenant_id",),
    sources=(TRACES_TOPIC.name,),
    reading="extent",
)

EdgeKind = Literal["HAS_AGENT", "OWNS", "HAS_SPAN", "CHILD_OF"]

EDGES = TableSpec(
    name="edges",
    doc="The graph: tenant HAS_AGENT agent OWNS trace HAS_SPAN span, and span CHILD_OF span.",
    columns=(
        TENANT_ID,
        ColumnSpec("kind", "string", "HAS_AGENT, OWNS, HAS_SPAN or CHILD_OF.", required=True),
        ColumnSpec("src_id", "string", "Where the edge starts; for CHILD_OF the child.", required=True),
        ColumnSpec("dst_id", "string", "Where the edge ends; for CHILD_OF the parent.", required=True),
        AGENT_ID,
        ColumnSpec("trace_id", "string", "The trace; NULL for HAS_AGENT."),
        ColumnSpec("trace_date", "date", "Day the trace was first seen; NULL for HAS_AGENT.", encoding="iso_date"),
        REV,
        EPOCH,
    ),
    partition=("trace_date", "tenant_id"),
    sort=("tenant_id", "trace_id", "kind", "src_id"),
    # A span has one parent at a time, so the child alone is the key of CHILD_OF: a new parent replaces the old.
    key=(
        "tenant_id",
        "trace_date",
        "agent_id",
        "trace_id",
        "kind",
        "CASE WHEN kind = 'CHILD_OF' THEN src_id ELSE dst_id END",
    ),
    sources=(SPANS_TOPIC.name, TRACES_TOPIC.name),
)

ALERTS = TableSpec(
    name="alerts",
    doc="Alerts, one row per alert with its newest state and the numbers that prove it.",
    columns=(*columns_of(Alert, internal=("rev",)), EPOCH),
    # One alert changes state over days, so a day cannot be part of its key; alerts are few.
    partition=("tenant_id",),
    sort=("tenant_id", "alert_id", "rev"),
    key=("tenant_id", "alert_id"),
    # One that rose and was over within one record has both states there.
    tie_break="CASE WHEN state = 'ok' THEN 0 ELSE 1 END",
    sources=(ALERTS_TOPIC.name, BUDGET_ALERTS_TOPIC.name, LEARN_ALERTS_TOPIC.name),
)

VERDICTS = TableSpec(
    name="verdicts",
    doc="Every word to an agent to slow down, ask, stop or go on, whoever said it: a rule, a budget, a person.",
    columns=(
        *columns_of(GuardMessage, without=("schema_version", "body"), internal=("rev",)),
        *columns_of(Verdict, within="body"),
        EPOCH,
    ),
    # Like alerts: few, and said again under the same id when their end moves.
    partition=("tenant_id",),
    sort=("tenant_id", "agent_id", "verdict_id", "rev"),
    key=("tenant_id", "agent_id", "verdict_id"),
    sources=(GUARD_TOPIC.name,),
)

CARDS = TableSpec(
    name="cards",
    doc="TraceCards: what a finished trace cost and why, one row per trace.",
    columns=(*columns_of(Card, internal=("rev",)), EPOCH),
    partition=("trace_date", "tenant_id"),
    sort=("tenant_id", "trace_id", "rev"),
    key=("tenant_id", "trace_date", "agent_id", "trace_id"),
    sources=(CARDS_TOPIC.name,),
)

SCORES = TableSpec(
    name="scores",
    doc="How well runs met the criteria of a rubric, one row per trace, criterion and who says it.",
    columns=(*columns_of(Score, internal=("rev",)), EPOCH),
    partition=("trace_date", "tenant_id"),
    sort=("tenant_id", "trace_id", "score_id", "rev"),
    key=("tenant_id", "trace_date", "agent_id", "trace_id", "score_id"),
    sources=(SCORES_TOPIC.name,),
)

# In the order of commits within a cycle: what a trace names must be there before the trace.
TABLES: tuple[TableSpec, ...] = (EVENTS, SPANS, EDGES, TRACES, AGENTS, TENANTS, ALERTS, CARDS, VERDICTS, SCORES)


def table_named(name: str) -> TableSpec:
    """Table of that name; KeyError when there is none."""
    for table in TABLES:
        if table.name == name:
            return table
    raise KeyError(f"no table {name}; there are {', '.join(table.name for table in TABLES)}")
