"""The call graph of a trace: which agent called which model, tool and sub-agent, how often and at what cost.

Upstream: SpanColumns.
Downstream: GET /v1/traces/{trace_id}/graph.
Guarantee: every model call, tool call and run is counted on exactly one edge (a root run on none); the cost of the
edges to models is the cost of the trace. Numbers of an edge to a sub-agent include everything below it, so they are
not to be added to the others.
"""

from dataclasses import dataclass, field
from typing import Literal

from api.views.columns import SpanColumns

NodeKind = Literal["agent", "model", "tool"]
_TARGETS: dict[str, NodeKind] = {"run": "agent", "model_call": "model", "tool_call": "tool"}
UNKNOWN = "unknown"


@dataclass(slots=True)
class CallTotals:
    """Sums over calls. ``cost`` is in 1e-12 dollars and holds the priced calls only."""

    num_calls: int = 0
    num_errors: int = 0
    num_unpriced_calls: int = 0
    duration_us: int = 0
    tokens: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    cost: int = 0

    def add_call(self, duration_us: int, is_error: bool) -> None:
        """Count one call."""
        self.num_calls += 1
        self.num_errors += is_error
        self.duration_us += duration_us

    def add_spent(self, other: "CallTotals") -> None:
        """Add tokens and cost."""
        self.tokens = [mine + more for mine, more in zip(self.tokens, other.tokens, strict=True)]
        self.cost += other.cost
        self.num_unpriced_calls += other.num_unpriced_calls


@dataclass(frozen=True, slots=True)
class GraphNode:
    """An agent, a model or a tool. Agents of the same name at different depths of nesting are different nodes."""

    node_id: str
    kind: NodeKind
    name: str
    level: int
    totals: CallTotals


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """All calls from one node to another."""

    source: str
    target: str
    totals: CallTotals


@dataclass(frozen=True, slots=True)
class CallGraph:
    """Nodes and edges in the order in which they first appear."""

    nodes: list[GraphNode]
    edges: list[GraphEdge]


def make_call_graph(spans: SpanColumns) -> CallGraph:
    """Make the call graph of a trace."""
    roots, below = spans.children()
    ends = spans.ends()
    nodes: dict[str, GraphNode] = {}
    edges: dict[tuple[str, str], GraphEdge] = {}
    spent = [_spent(spans, index) for index in range(len(spans))]
    calls_of_agents: list[tuple[int, CallTotals]] = []
    order: list[int] = []
    # A span and the agent that it belongs to.
    ahead: list[tuple[int, GraphNode | None]] = [(root, None) for root in reversed(roots)]
    while ahead:
        index, caller = ahead.pop()
        order.append(index)
        kind = _TARGETS.get(spans.kind[index])
        if kind is not None:
            if kind != "agent" and caller is None:
                caller = _node(nodes, "agent", UNKNOWN, 0)
            level = 0 if caller is None or kind != "agent" else caller.level + 1
            target = _node(nodes, kind, _name(spans, index, kind), level)
            totals = [target.totals]
            if caller is not None:
                ends_of_edge = (caller.node_id, target.node_id)
                totals.append(edges.setdefault(ends_of_edge, GraphEdge(*ends_of_edge, CallTotals())).totals)
            for total in totals:
                total.add_call(ends[index] - spans.started_us[index], spans.status[index] == "error")
            if kind == "agent":
                if caller is not None:
                    calls_of_agents.append((index, totals[-1]))
                caller = target
            else:
                for total in totals:
                    total.add_spent(spent[index])
                if kind == "model" and caller is not None:
                    caller.totals.add_spent(spent[index])
        ahead.extend((child, caller) for child in reversed(below[index]))
    for index in reversed(order):
        for child in below[index]:
            spent[index].add_spent(spent[child])
    for index, totals_of_call in calls_of_agents:
        totals_of_call.add_spent(spent[index])
    return CallGraph(list(nodes.values()), list(edges.values()))


def _spent(spans: SpanColumns, index: int) -> CallTotals:
    tokens, cost = list(spans.tokens(index)), spans.cost[index]
    return CallTotals(tokens=tokens, cost=cost or 0, num_unpriced_calls=int(cost is None and any(tokens)))


def _name(spans: SpanColumns, index: int, kind: NodeKind) -> str:
    if kind == "agent":
        return spans.agent[index] or UNKNOWN
    if kind == "tool":
        return spans.tool[index] or UNKNOWN
    provider, model = spans.provider[index], spans.model[index] or UNKNOWN
    return f"{provider}/{model}" if provider else model


def _node(nodes: dict[str, GraphNode], kind: NodeKind, name: str, level: int) -> GraphNode:
    node_id = f"{kind}:{level}:{name}" if kind == "agent" else f"{kind}:{name}"
    return nodes.setdefault(node_id, GraphNode(node_id, kind, name, level, CallTotals()))
