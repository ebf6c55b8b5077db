/**
 * What a call graph shows: who called what, made small enough to read.
 *
 * Upstream: nodes and edges of the API, one per agent, model and tool, however many calls there were.
 * Downstream: `graph_place`, `call_graph`.
 * Guarantee: at most `most` nodes; what is left out is one node per kind that holds the sums of its calls.
 */
import type { TraceGraph } from "../api/queries";

export interface GraphNode {
  readonly id: string;
  readonly kind: "agent" | "model" | "tool";
  readonly name: string;
  readonly numCalls: number;
  readonly numErrors: number;
  readonly costUsd: number | null;
  /** How many nodes of the API it stands for. */
  readonly numNodes: number;
}

export interface GraphEdge {
  readonly source: string;
  readonly target: string;
  readonly numCalls: number;
  readonly numErrors: number;
  readonly costUsd: number | null;
}

export interface CallGraphData {
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
}

export interface PlacedNode extends GraphNode {
  readonly x: number;
  readonly y: number;
}

export interface PlacedEdge extends GraphEdge {
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

export interface GraphPicture {
  readonly nodes: readonly PlacedNode[];
  readonly edges: readonly PlacedEdge[];
  readonly width: number;
  readonly height: number;
}

export const NODE_WIDTH = 196;
export const NODE_HEIGHT = 54;

/** The graph with at most `most` nodes: agents first, then the dearest and busiest. */
export function reduceGraph(graph: TraceGraph, most: number): CallGraphData {
  const rank = (node: TraceGraph["nodes"][number]) =>
    (node.kind === "agent" ? 1e12 - node.level : 0) + Number(node.totals.cost_usd ?? 0) * 1e6 + node.totals.num_calls;
  const order = graph.nodes.toSorted((left, right) => rank(right) - rank(left));
  const rest = new Set((order.length <= most ? [] : order.slice(most - 3)).map((node) => node.node_id));
  const groupOf = new Map(graph.nodes.map((node) => [node.node_id, rest.has(node.node_id) ? `rest:${node.kind}` : node.node_id]));

  const nodes = new Map<string, GraphNode>();
  for (const node of graph.nodes) {
    const id = groupOf.get(node.node_id)!;
    const before = nodes.get(id);
    const numNodes = (before?.numNodes ?? 0) + 1;
    nodes.set(id, {
      id,
      kind: node.kind,
      name: id.startsWith("rest:") ? `${numNodes} more ${node.kind}s` : node.name,
      numCalls: (before?.numCalls ?? 0) + node.totals.num_calls,
      numErrors: (before?.numErrors ?? 0) + node.totals.num_errors,
      costUsd: sumUsd(before?.costUsd, node.totals.cost_usd),
      numNodes,
    });
  }
  const edges = new Map<string, GraphEdge>();
  for (const edge of graph.edges) {
    const source = groupOf.get(edge.source);
    const target = groupOf.get(edge.target);
    if (source === undefined || target === undefined) continue;
    const key = `${source}\n${target}`;
    const before = edges.get(key);
    edges.set(key, {
      source,
      target,
      numCalls: (before?.numCalls ?? 0) + edge.totals.num_calls,
      numErrors: (before?.numErrors ?? 0) + edge.totals.num_errors,
      costUsd: sumUsd(before?.costUsd, edge.totals.cost_usd),
    });
  }
  return { nodes: [...nodes.values()], edges: [...edges.values()] };
}

function sumUsd(before: number | null | undefined, cost: string | null): number | null {
  if (cost === null) return before ?? null;
  return (before ?? 0) + Number(cost);
}
