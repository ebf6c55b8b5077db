/**
 * Where the nodes and edges of a call graph stand.
 *
 * Upstream: `graph_layout`.
 * Downstream: `graph_layout.worker`; nobody else, so that the layout library is loaded in the worker only.
 * Guarantee: from left to right; no node covers another.
 */
import { graphlib, layout } from "@dagrejs/dagre";

import { type CallGraphData, type GraphPicture, NODE_HEIGHT, NODE_WIDTH } from "./graph_layout";

/** What the layout writes into a node, and into each bend of an edge. */
interface Place {
  readonly x: number;
  readonly y: number;
}

/** Places for nodes and edges, from left to right. */
export function placeGraph({ nodes, edges }: CallGraphData): GraphPicture {
  const graph = new graphlib.Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 18, ranksep: 110, marginx: 16, marginy: 16 });
  graph.setDefaultEdgeLabel(() => ({ points: [] }));
  for (const node of nodes) graph.setNode(node.id, { width: NODE_WIDTH, height: NODE_HEIGHT, x: 0, y: 0 });
  for (const edge of edges) graph.setEdge(edge.source, edge.target, { points: [] });
  layout(graph);
  const about = graph.graph() as { width?: number; height?: number };
  return {
    nodes: nodes.map((node) => {
      const { x, y } = graph.node(node.id) as Place;
      return { ...node, x, y };
    }),
    edges: edges.map((edge) => ({ ...edge, points: (graph.edge(edge.source, edge.target) as { readonly points: readonly Place[] }).points })),
    width: about.width ?? 0,
    height: about.height ?? 0,
  };
}
