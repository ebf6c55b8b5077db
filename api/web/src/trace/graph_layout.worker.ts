/**
 * Lays a call graph out beside the page, so that the page stays quick.
 *
 * Upstream: `call_graph` sends a graph.
 * Downstream: its picture, sent back with the same number.
 * Guarantee: each question gets one answer, a picture or a sentence.
 */
import type { CallGraphData } from "./graph_layout";
import { placeGraph } from "./graph_place";

declare const self: DedicatedWorkerGlobalScope;

self.onmessage = (event: MessageEvent<{ number: number; graph: CallGraphData }>) => {
  const { number, graph } = event.data;
  try {
    self.postMessage({ number, picture: placeGraph(graph) });
  } catch (error) {
    self.postMessage({ number, failed: error instanceof Error ? error.message : String(error) });
  }
};
