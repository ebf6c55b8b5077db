import { describe, expect, test } from "vitest";

import type { TraceGraph } from "../api/queries";
import { NODE_HEIGHT, reduceGraph } from "./graph_layout";
import { placeGraph } from "./graph_place";

const tokens = { input: 0, cache_read: 0, cache_write: 0, output: 0 };
const totals = (num_calls: number, cost_usd: string | null) => ({
  num_calls,
  num_errors: 0,
  num_unpriced_calls: 0,
  duration_ms: 1,
  tokens,
  cost_usd,
});

function fan(numTools: number): TraceGraph {
  const tools = Array.from({ length: numTools }, (_, index) => `tool:t${index}`);
  return {
    truncated: false,
    nodes: [
      { node_id: "agent:0:main", kind: "agent", name: "main", level: 0, totals: totals(1, "5") },
      ...tools.map((id, index) => ({ node_id: id, kind: "tool" as const, name: id, level: 0, totals: totals(index + 1, null) })),
    ],
    edges: tools.map((id, index) => ({ source: "agent:0:main", target: id, totals: totals(index + 1, null) })),
  };
}

describe("reduceGraph", () => {
  test("a small graph stays as it is", () => {
    const graph = reduceGraph(fan(3), 40);
    expect(graph.nodes.map((node) => node.name)).toEqual(["main", "tool:t0", "tool:t1", "tool:t2"]);
    expect(graph.edges).toHaveLength(3);
    expect(graph.nodes[1]!.costUsd).toBeNull();
  });

  test("of a large one the busiest stay, and no call is lost", () => {
    const graph = reduceGraph(fan(500), 40);
    expect(graph.nodes.length).toBeLessThanOrEqual(40);
    expect(graph.nodes.some((node) => node.name === "main")).toBe(true);
    expect(graph.nodes.some((node) => node.name === "tool:t499")).toBe(true);
    const sum = graph.edges.reduce((before, edge) => before + edge.numCalls, 0);
    expect(sum).toBe((500 * 501) / 2);
  });
});

describe("placeGraph", () => {
  test("agents stand left of what they call, and nodes do not cover each other", () => {
    const picture = placeGraph(reduceGraph(fan(4), 40));
    const [main, ...tools] = picture.nodes;
    for (const tool of tools) expect(tool.x).toBeGreaterThan(main!.x);
    const heights = tools.map((tool) => tool.y).toSorted((left, right) => left - right);
    heights.slice(1).forEach((y, at) => expect(y - heights[at]!).toBeGreaterThanOrEqual(NODE_HEIGHT));
    expect(picture.edges.every((edge) => edge.points.length >= 2)).toBe(true);
  });

  test("a call of oneself and a circle are laid out, too", () => {
    const node = (id: string) => ({ id, kind: "agent" as const, name: id, numCalls: 1, numErrors: 0, costUsd: 0, numNodes: 1 });
    const edge = (source: string, target: string) => ({ source, target, numCalls: 1, numErrors: 0, costUsd: 0 });
    const picture = placeGraph({ nodes: [node("a"), node("b")], edges: [edge("a", "a"), edge("a", "b"), edge("b", "a")] });
    expect(picture.edges).toHaveLength(3);
  });
});
