"""What the views of one trace answer: skeleton, timeline, call graph, diff.

Upstream: api/views.
Downstream: OpenAPI, the web UI, clients.
Guarantee: money is decimal text, except in the skeleton, whose integers of 1e-12 dollars are exact too.
"""

from typing import Literal, Self

from pydantic import Field

from api.schemas.common import Answer, Tokens, Usd
from api.schemas.traces import TraceSummary
from api.views.call_graph import CallGraph, CallTotals, NodeKind
from api.views.columns import SpanColumns, usd
from api.views.timeline import Segment
from stream_jobs.learning import Change, Difference, Totals, TraceDiff


class TraceSkeleton(Answer):
    """All spans of a trace as columns of one length, in the order they started."""

    trace: TraceSummary
    truncated: bool = Field(description="Whether there are more spans than are returned.")
    strings: list[str] = Field(description="Texts that name, agent, provider, model, tool and flags are numbers of.")
    kinds: list[str] = Field(description="What the numbers in kind mean.")
    statuses: list[str] = Field(description="What the numbers in status mean.")
    started_us: int = Field(description="Start of the first span, microseconds since 1970 (UTC).")
    span_id: list[str] = Field(description="The spans.")
    parent: list[int] = Field(description="Index of the parent; -1 when there is none here.")
    kind: list[int] = Field(description="Index into kinds.")
    status: list[int] = Field(description="Index into statuses.")
    name: list[int] = Field(description="Index into strings.")
    agent: list[int] = Field(description="Agent inside the install, index into strings; -1 for none.")
    provider: list[int] = Field(description="Model provider, index into strings; -1 for none.")
    model: list[int] = Field(description="Model, index into strings; -1 for none.")
    tool: list[int] = Field(description="Tool, index into strings; -1 for none.")
    start_us: list[int] = Field(description="Start, microseconds since started_us.")
    duration_us: list[int | None] = Field(description="End - start, microseconds; null while it runs.")
    input_tokens: list[int] = Field(description="Fresh prompt tokens.")
    cache_read_tokens: list[int] = Field(description="Prompt tokens read from the cache.")
    cache_write_tokens: list[int] = Field(description="Prompt tokens written to the cache.")
    output_tokens: list[int] = Field(description="Output tokens.")
    cost_e12: list[int | None] = Field(description="Cost in units of 1e-12 dollars; null when unpriced or no call.")
    flags: list[int] = Field(description="Marks, separated by spaces, index into strings; -1 for none.")


class PathSegment(Answer):
    """A stretch of the critical path."""

    index: int = Field(description="Index of the span, as in the skeleton; -1 while no span ran.")
    span_id: str | None = Field(description="The span.")
    start_us: int = Field(description="Where it begins, microseconds since started_us.")
    duration_us: int = Field(description="How long this very span was waited for.")


class TraceTimeline(Answer):
    """Lanes of all spans, in the order of the skeleton, and the critical path."""

    truncated: bool = Field(description="Whether there are more spans than were looked at.")
    started_us: int = Field(description="Start of the first span, microseconds since 1970 (UTC).")
    duration_us: int = Field(description="From the first start to the last end.")
    num_lanes: int = Field(description="Lanes that are needed.")
    lane: list[int] = Field(description="Lane of each span, from 0; spans of one lane do not overlap.")
    critical_path: list[PathSegment] = Field(description="What the trace waited for, first to last, without gap.")

    @classmethod
    def of(cls, spans: SpanColumns, lanes: list[int], path: list[Segment], truncated: bool) -> Self:
        """Make it from the view."""
        start, end = spans.span_of_time()
        return cls(
            truncated=truncated,
            started_us=start,
            duration_us=end - start,
            num_lanes=max(lanes, default=-1) + 1,
            lane=lanes,
            critical_path=[
                PathSegment(
                    index=segment.index,
                    span_id=spans.span_id[segment.index] if segment.index >= 0 else None,
                    start_us=segment.from_us - start,
                    duration_us=segment.to_us - segment.from_us,
                )
                for segment in path
            ],
        )


class GraphTotals(Answer):
    """Sums over calls."""

    num_calls: int = Field(description="Calls.")
    num_errors: int = Field(description="Calls that ended in error.")
    num_unpriced_calls: int = Field(description="Model calls with tokens and without a price.")
    duration_ms: int = Field(description="Sum of their durations.")
    tokens: Tokens
    cost_usd: Usd

    @classmethod
    def of(cls, totals: CallTotals) -> Self:
        """Make it from the view."""
        fresh, read, written, output = totals.tokens
        return cls(
            num_calls=totals.num_calls,
            num_errors=totals.num_errors,
            num_unpriced_calls=totals.num_unpriced_calls,
            duration_ms=totals.duration_us // 1000,
            tokens=Tokens(input=fresh, cache_read=read, cache_write=written, output=output),
            cost_usd=usd(totals.cost),
        )


class CallGraphNode(Answer):
    """An agent, a model or a tool."""

    node_id: str = Field(description="Name of the node in the edges.")
    kind: NodeKind = Field(description="agent, model or tool.")
    name: str = Field(description="Agent, provider/model or tool.")
    level: int = Field(description="Of agents: how deep the run is nested, 0 for the root run.")
    totals: GraphTotals = Field(description="Calls of it; for agents its runs and what they spent themselves.")


class CallGraphEdge(Answer):
    """All calls from one node to another."""

    source: str = Field(description="The agent that calls.")
    target: str = Field(description="What it calls.")
    totals: GraphTotals = Field(description="The calls; to a sub-agent with all that is below it.")


class TraceGraph(Answer):
    """Who called what in a trace."""

    truncated: bool = Field(description="Whether there are more spans than were looked at.")
    nodes: list[CallGraphNode] = Field(description="Agents, models and tools.")
    edges: list[CallGraphEdge] = Field(description="Calls between them. Edges to models add up to the trace's cost.")

    @classmethod
    def of(cls, graph: CallGraph, truncated: bool) -> Self:
        """Make it from the view."""
        return cls(
            truncated=truncated,
            nodes=[
                CallGraphNode(
                    node_id=node.node_id,
                    kind=node.kind,
                    name=node.name,
                    level=node.level,
                    totals=GraphTotals.of(node.totals),
                )
                for node in graph.nodes
            ],
            edges=[
                CallGraphEdge(source=edge.source, target=edge.target, totals=GraphTotals.of(edge.totals))
                for edge in graph.edges
            ],
        )


class DiffTotals(Answer):
    """Sums over spans."""

    num_spans: int = Field(description="Spans.")
    num_unpriced: int = Field(description="Spans with tokens and without a price; they count as 0.")
    tokens: int = Field(description="Tokens of all four kinds.")
    cost_usd: Usd

    @classmethod
    def of(cls, totals: Totals) -> Self:
        """Make it from the view."""
        return cls(
            num_spans=totals.num_spans,
            num_unpriced=totals.num_unpriced,
            tokens=totals.tokens,
            cost_usd=usd(totals.cost),
        )


class DiffItem(Answer):
    """One difference."""

    change: Change = Field(description="added, removed (with all below it) or changed (the span itself).")
    path: list[str] = Field(description="Names from the root down to the span.")
    kind: str = Field(description="Kind of the span.")
    span_id_before: str | None = Field(description="The span in the first trace.")
    span_id_after: str | None = Field(description="The span in the second trace.")
    before: DiffTotals
    after: DiffTotals
    cost_delta_usd: Usd

    @classmethod
    def of(cls, one: Difference, before: SpanColumns, after: SpanColumns) -> Self:
        """Make it from the view."""
        return cls(
            change=one.change,
            path=list(one.path),
            kind=one.kind,
            span_id_before=None if one.before is None else before.span_id[one.before],
            span_id_after=None if one.after is None else after.span_id[one.after],
            before=DiffTotals.of(one.totals_before),
            after=DiffTotals.of(one.totals_after),
            cost_delta_usd=usd(one.cost),
        )


class TraceDifference(Answer):
    """What is different in the second trace, and what it costs.

    `cost_delta_usd` is the sum of the `cost_delta_usd` of all items and of `rest_cost_delta_usd`, exactly.
    """

    before: TraceSummary
    after: TraceSummary
    truncated: bool = Field(description="Whether either trace has more spans than were looked at.")
    totals_before: DiffTotals
    totals_after: DiffTotals
    cost_delta_usd: Usd
    num_aligned: int = Field(description="Pairs of spans with the same place and name.")
    num_differences: int = Field(description="All differences.")
    items: list[DiffItem] = Field(description="The differences whose cost changed most.")
    rest_cost_delta_usd: Usd

    @classmethod
    def of(
        cls,
        traces: tuple[TraceSummary, TraceSummary],
        spans: tuple[SpanColumns, SpanColumns],
        diff: TraceDiff,
        *,
        truncated: bool,
        limit: int,
    ) -> Self:
        """Make it from the view, with the ``limit`` dearest differences."""
        listed, rest = diff.differences[:limit], diff.differences[limit:]
        return cls(
            before=traces[0],
            after=traces[1],
            truncated=truncated,
            totals_before=DiffTotals.of(diff.before),
            totals_after=DiffTotals.of(diff.after),
            cost_delta_usd=usd(diff.cost),
            num_aligned=diff.num_aligned,
            num_differences=len(diff.differences),
            items=[DiffItem.of(one, *spans) for one in listed],
            rest_cost_delta_usd=usd(sum(one.cost for one in rest)),
        )


ExportFormat = Literal["ndjson", "parquet", "otlp"]
