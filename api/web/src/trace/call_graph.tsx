/**
 * The call graph: every agent, model and tool of a run, and who called what, how often and for how much.
 *
 * Upstream: GET /v1/traces/{trace_id}/graph.
 * Downstream: a node shows its calls, dearest first; a call opens the step detail.
 * Guarantee: aggregated, so 10,000 calls are as readable as ten; nodes are buttons for keys and screen readers.
 */
import { select } from "d3-selection";
import { zoom, zoomIdentity, type ZoomBehavior } from "d3-zoom";
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";

import type { TraceGraph, TraceSkeleton } from "../api/queries";
import { formatCount, formatDuration, formatUsd } from "../kit/format";
import { Empty, Failed, Loading } from "../kit/states";
import { type CallGraphData, type GraphPicture, NODE_HEIGHT, NODE_WIDTH, type PlacedEdge, type PlacedNode, reduceGraph } from "./graph_layout";
import type { TraceModel } from "./model";
import { calledBy } from "./skeleton";
import "./call_graph.css";

const FIRST_NODES = 40;
const MAX_LISTED = 50;
const LEAST_SCALE = 0.55;

interface CallGraphProps {
  readonly graph: TraceGraph;
  readonly model: TraceModel;
  readonly skeleton: TraceSkeleton;
  readonly selectedId: string | undefined;
  readonly onSelect: (spanId: string) => void;
}

export function CallGraph({ graph, model, skeleton, selectedId, onSelect }: CallGraphProps) {
  const [most, setMost] = useState(FIRST_NODES);
  const [chosen, setChosen] = useState<string>();
  const data = useMemo(() => reduceGraph(graph, most), [graph, most]);
  const { picture, failed } = usePicture(data);
  if (graph.nodes.length === 0) return <Empty title="Nothing was called yet." />;
  if (failed !== undefined) return <Failed error={failed} />;
  if (picture === undefined) return <Loading what="the picture" />;
  const selected = selectedId === undefined ? -1 : model.indexOf(selectedId);
  const marked = selected < 0 ? undefined : calledBy(skeleton, selected);
  const node = picture.nodes.find((other) => other.id === chosen);
  return (
    <div className="call-graph">
      <Picture picture={picture} chosen={chosen} marked={marked} onChoose={setChosen}>
        {graph.nodes.length > data.nodes.length && (
          <button type="button" className="button button-small" onClick={() => setMost(Infinity)}>
            Show all {formatCount(graph.nodes.length)} nodes
          </button>
        )}
      </Picture>
      {node !== undefined && <NodeCalls node={node} model={model} skeleton={skeleton} onSelect={onSelect} />}
    </div>
  );
}

/** Laid out by a worker; the picture before stays until the next one is there. */
function usePicture(data: CallGraphData): { picture: GraphPicture | undefined; failed: Error | undefined } {
  const [picture, setPicture] = useState<GraphPicture>();
  const [failed, setFailed] = useState<Error>();
  const number = useRef(0);
  useEffect(() => {
    const worker = new Worker(new URL("./graph_layout.worker.ts", import.meta.url), { type: "module" });
    const asked = (number.current += 1);
    worker.onmessage = (event: MessageEvent<{ number: number; picture?: GraphPicture; failed?: string }>) => {
      if (event.data.number !== asked) return;
      if (event.data.picture !== undefined) setPicture(event.data.picture);
      else setFailed(new Error(event.data.failed ?? "The picture could not be laid out."));
    };
    worker.onerror = () => setFailed(new Error("The picture could not be laid out."));
    worker.postMessage({ number: asked, graph: data });
    return () => worker.terminate();
  }, [data]);
  return { picture, failed };
}

interface PictureProps {
  readonly picture: GraphPicture;
  readonly chosen: string | undefined;
  readonly marked: string | undefined;
  readonly onChoose: (id: string) => void;
  readonly children: React.ReactNode;
}

function Picture({ picture, chosen, marked, onChoose, children }: PictureProps) {
  const svg = useRef<SVGSVGElement>(null);
  const inner = useRef<SVGGElement>(null);
  const zooming = useRef<ZoomBehavior<SVGSVGElement, unknown>>(undefined);

  const fit = () => {
    const box = svg.current;
    if (box === null || zooming.current === undefined || picture.width === 0) return;
    const { clientWidth, clientHeight } = box;
    // What would be too small to read is begun at its left end instead.
    const scale = Math.min(1.2, Math.max(LEAST_SCALE, Math.min(clientWidth / picture.width, clientHeight / picture.height)));
    const place = zoomIdentity
      .translate(Math.max(0, (clientWidth - picture.width * scale) / 2), (clientHeight - picture.height * scale) / 2)
      .scale(scale);
    zooming.current.transform(select(box), place);
  };
  useEffect(() => {
    const box = svg.current;
    if (box === null) return;
    const behavior = zoom<SVGSVGElement, unknown>()
      .scaleExtent([0.1, 4])
      .on("zoom", (event: { transform: { toString(): string } }) => {
        inner.current?.setAttribute("transform", event.transform.toString());
      });
    zooming.current = behavior;
    select(box).call(behavior).on("dblclick.zoom", null);
    return () => void select(box).on(".zoom", null);
  }, []);
  useEffect(fit, [picture]);

  const scaleBy = (factor: number) => {
    if (svg.current !== null && zooming.current !== undefined) zooming.current.scaleBy(select(svg.current), factor);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const actions: Record<string, () => void> = {
      "+": () => scaleBy(1.4),
      "=": () => scaleBy(1.4),
      "-": () => scaleBy(1 / 1.4),
      "0": fit,
    };
    const action = actions[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  };
  const dearest = Math.max(...picture.edges.map((edge) => edge.costUsd ?? 0), 1e-12);
  return (
    <div className="graph-box" onKeyDown={onKeyDown}>
      <div className="graph-tools">
        <button type="button" className="button button-small" onClick={() => scaleBy(1.4)}>
          Closer
        </button>
        <button type="button" className="button button-small" onClick={() => scaleBy(1 / 1.4)}>
          Farther
        </button>
        <button type="button" className="button button-small" onClick={fit}>
          All
        </button>
        {children}
      </div>
      <svg ref={svg} className="graph-svg" role="group" aria-label="Call graph">
        <defs>
          <marker id="graph-arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="10" markerHeight="10" markerUnits="userSpaceOnUse" orient="auto">
            <path d="M0 0 L8 4 L0 8 z" className="graph-arrow" />
          </marker>
        </defs>
        <g ref={inner}>
          {picture.edges.map((edge) => (
            <Edge key={`${edge.source}\n${edge.target}`} edge={edge} dearest={dearest} />
          ))}
          {picture.nodes.map((node) => (
            <Node
              key={node.id}
              node={node}
              isChosen={node.id === chosen || withoutLevel(node.id) === marked}
              onChoose={() => onChoose(node.id)}
            />
          ))}
        </g>
      </svg>
    </div>
  );
}

function Edge({ edge, dearest }: { readonly edge: PlacedEdge; readonly dearest: number }) {
  const { points } = edge;
  const middle = middleOf(points);
  const widthPx = 1.2 + (3.5 * (edge.costUsd ?? 0)) / dearest;
  return (
    <g className="graph-edge" data-bad={edge.numErrors > 0 || undefined}>
      <path d={curve(points)} strokeWidth={widthPx} markerEnd="url(#graph-arrow)" />
      <text x={middle.x} y={middle.y - 8 - widthPx} textAnchor="middle">
        {formatCount(edge.numCalls)}×{edge.costUsd === null || edge.costUsd === 0 ? "" : ` ${formatUsd(edge.costUsd)}`}
      </text>
    </g>
  );
}

interface NodeProps {
  readonly node: PlacedNode;
  readonly isChosen: boolean;
  readonly onChoose: () => void;
}

function Node({ node, isChosen, onChoose }: NodeProps) {
  const noun = node.kind === "agent" ? "run" : "call";
  const told = `${formatCount(node.numCalls)} ${node.numCalls === 1 ? noun : `${noun}s`}`;
  const failed = node.numErrors > 0 ? `${formatCount(node.numErrors)} failed` : "";
  const cost = node.kind === "tool" ? "" : formatUsd(node.costUsd);
  return (
    <g
      className="graph-node"
      data-kind={node.kind}
      data-chosen={isChosen || undefined}
      transform={`translate(${node.x - NODE_WIDTH / 2} ${node.y - NODE_HEIGHT / 2})`}
      role="button"
      tabIndex={0}
      aria-pressed={isChosen}
      onClick={onChoose}
      onKeyDown={(event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          onChoose();
        }
      }}
    >
      <rect width={NODE_WIDTH} height={NODE_HEIGHT} rx={node.kind === "agent" ? 14 : 6} />
      <rect className="graph-kind" width={5} height={NODE_HEIGHT - 16} x={8} y={8} rx={2} />
      <text x={22} y={22} className="graph-name">
        {node.name.length > 23 ? `${node.name.slice(0, 22)}…` : node.name}
      </text>
      <text x={22} y={41} className="graph-told">
        {[node.kind, told, cost].filter(Boolean).join(" · ")}
        {failed !== "" && <tspan className="graph-bad"> · {failed}</tspan>}
      </text>
    </g>
  );
}

interface NodeCallsProps {
  readonly node: PlacedNode;
  readonly model: TraceModel;
  readonly skeleton: TraceSkeleton;
  readonly onSelect: (spanId: string) => void;
}

function NodeCalls({ node, model, skeleton, onSelect }: NodeCallsProps) {
  const calls = useMemo(() => {
    const name = withoutLevel(node.id);
    const found: number[] = [];
    for (let index = 0; index < model.size; index += 1) if (calledBy(skeleton, index) === name) found.push(index);
    return found.sort((left, right) => model.totalUsd[right]! - model.totalUsd[left]! || left - right);
  }, [node.id, model, skeleton]);
  return (
    <section className="graph-calls" aria-label={`Calls of ${node.name}`}>
      <h3>
        {node.name} <span className="soft">{calls.length === 0 ? "choose “Show all” to see its calls" : "dearest first"}</span>
      </h3>
      <ul>
        {calls.slice(0, MAX_LISTED).map((index) => (
          <li key={index}>
            <button type="button" className="button-link" onClick={() => onSelect(model.columns.spanIds[index]!)}>
              {model.columns.names[index]} at {formatDuration(model.columns.startsMs[index])}
            </button>{" "}
            <span className="soft">
              {formatDuration(model.columns.durationsMs[index])} · {formatUsd(model.totalUsd[index])}
              {model.columns.statuses[index] === "ok" ? "" : ` · ${model.columns.statuses[index]}`}
            </span>
          </li>
        ))}
      </ul>
      {calls.length > MAX_LISTED && <p className="soft">and {formatCount(calls.length - MAX_LISTED)} more</p>}
    </section>
  );
}

/** "agent:1:main" is told by its spans as "agent:main": the level is the graph's own. */
function withoutLevel(id: string): string {
  return id.replace(/^agent:\d+:/, "agent:");
}

const isShort = (points: PlacedEdge["points"]) => points.length <= 3;

/** Where the label stands: on the curve, which for a short edge does not touch its bend. */
function middleOf(points: PlacedEdge["points"]): PlacedEdge["points"][number] {
  const [first, last] = [points[0]!, points.at(-1)!];
  return isShort(points) ? { x: (first.x + last.x) / 2, y: (first.y + last.y) / 2 } : points[Math.floor(points.length / 2)]!;
}

function curve(points: PlacedEdge["points"]): string {
  const [first, ...rest] = points;
  if (first === undefined) return "";
  const last = rest.at(-1) ?? first;
  if (isShort(points)) {
    const bend = (last.x - first.x) / 2;
    return `M${first.x} ${first.y} C${first.x + bend} ${first.y} ${last.x - bend} ${last.y} ${last.x} ${last.y}`;
  }
  // Round at each bend: from the middle of one stretch to the middle of the next.
  const bends = rest.slice(0, -1).map((point, at) => {
    const next = rest[at + 1]!;
    const isLast = at === rest.length - 2;
    return `Q${point.x} ${point.y} ${isLast ? next.x : (point.x + next.x) / 2} ${isLast ? next.y : (point.y + next.y) / 2}`;
  });
  return `M${first.x} ${first.y} ${bends.join(" ")}`;
}
