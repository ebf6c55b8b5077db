/**
 * One trace in four views, with the detail of a step beside them.
 *
 * Upstream: the skeleton of the API, read once; lanes and graph when their view is shown.
 * Downstream: `path_tree`, `call_graph`, `timeline`, `cost_view`, `step_detail`.
 * Guarantee: view and step stand in the address; a running trace grows while it is watched and keeps what is selected.
 */
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useMemo, useState } from "react";
import { Link, useParams } from "react-router";

import { useLive } from "../api/live";
import { alertsQuery, graphQuery, skeletonQuery, timelineQuery, type TraceSkeleton, type TraceSummary } from "../api/queries";
import { useMay } from "../api/who";
import { formatCount, formatDuration, formatInstant, formatTokens, formatUsd } from "../kit/format";
import { DownloadMenu } from "../kit/menu";
import { Page } from "../kit/page";
import { Failed, Loading, StatusBadge } from "../kit/states";
import { Tabs } from "../kit/tabs";
import { microsOf, totalTokens } from "../kit/tokens";
import { useUrlState } from "../kit/url_state";
import { type LiveSpan, withLiveSpans } from "../trace/live_spans";
import { TraceModel } from "../trace/model";
import { PathTree } from "../trace/path_tree";
import { ScorePanel } from "../trace/scores";
import { columnsOf } from "../trace/skeleton";
import { StepDetail } from "../trace/step_detail";
import { askTracy, useTracySubject } from "../tracy/open";
import { RunGuard } from "../watch/run_guard";
import "./trace.css";

const CallGraph = lazy(async () => ({ default: (await import("../trace/call_graph")).CallGraph }));
const CostView = lazy(async () => ({ default: (await import("../trace/cost_view")).CostView }));
const Timeline = lazy(async () => ({ default: (await import("../trace/timeline")).Timeline }));

const VIEWS = [
  { id: "path", name: "Execution path" },
  { id: "graph", name: "Call graph" },
  { id: "timeline", name: "Timeline" },
  { id: "cost", name: "Cost" },
] as const;
const EXPORTS = [
  ["ndjson", "NDJSON", "a line for each step"],
  ["parquet", "Parquet", "for notebooks"],
  ["otlp", "OTLP", "for other tracing tools"],
] as const;
type View = (typeof VIEWS)[number]["id"];
const GROWS_EVERY_MS = 2_000;

export default function Trace() {
  const { traceId = "" } = useParams();
  const { get, set } = useUrlState();
  const spanId = get("span");
  const isAdmin = useMay("admin");
  const skeleton = useQuery(skeletonQuery(traceId, GROWS_EVERY_MS));
  const alerts = useQuery(alertsQuery({ trace_id: traceId, limit: 50 }));
  useTracySubject({ trace_id: traceId, ...(spanId === undefined ? {} : { span_id: spanId }) });
  // None is the same as not yet read: a model of 50,000 spans is not made twice for nothing.
  const found = alerts.data?.items.length === 0 ? undefined : alerts.data?.items;
  const shown = useGrowing(traceId, skeleton.data);
  const model = useMemo(() => (shown === undefined ? undefined : new TraceModel(columnsOf(shown, found))), [shown, found]);
  if (skeleton.isPending) {
    return (
      <Page title="Trace">
        <Loading what="the trace" />
      </Page>
    );
  }
  if (shown === undefined || model === undefined) {
    return (
      <Page title="Trace">
        <Failed error={skeleton.error} onRetry={() => void skeleton.refetch()} />
      </Page>
    );
  }
  const { trace } = shown;
  const view = VIEWS.find((wanted) => wanted.id === get("view"))?.id ?? "path";
  const select = (next: string | undefined) => set({ span: next });
  return (
    <Page
      className="trace-page"
      title={trace.name || trace.trace_id}
      lead={<TraceFacts trace={trace} />}
      actions={
        <>
          <button type="button" className="button" onClick={() => askTracy("Why did this run cost what it cost?")}>
            Ask Tracy
          </button>
          <DownloadMenu label="Export" files={EXPORTS.map(([format, name, note]) => ({ name, note, href: `/v1/traces/${encodeURIComponent(traceId)}/export?format=${format}` }))} />
          {isAdmin && !trace.is_open && (
            <Link className="button" to={`/settings?tab=retention&trace=${encodeURIComponent(traceId)}`}>
              Erase
            </Link>
          )}
        </>
      }
    >
      {shown.truncated && (
        <p className="badge badge-flag">Only the first {formatCount(model.size)} steps are shown; read the rest with SQL.</p>
      )}
      {trace.is_open && <RunGuard trace={trace} />}
      <ScorePanel trace={trace} />
      <div className="trace-split" data-step={spanId === undefined ? undefined : ""}>
        <Tabs label="Views of the trace" tabs={VIEWS} current={view} onChoose={(next) => set({ view: next === "path" ? undefined : next })}>
          <Suspense fallback={<Loading what="the view" />}>
            <TraceView view={view} traceId={traceId} model={model} skeleton={shown} spanId={spanId} onSelect={select} />
          </Suspense>
        </Tabs>
        {spanId !== undefined && (
          <StepDetail
            traceId={traceId}
            spanId={spanId}
            model={model}
            skeleton={shown}
            alerts={found ?? []}
            onSelect={select}
            onClose={() => {
              select(undefined);
              document.querySelector<HTMLElement>(".path-tree, .timeline-scroll")?.focus();
            }}
          />
        )}
      </div>
    </Page>
  );
}

interface Growth {
  readonly traceId: string;
  readonly spans: ReadonlyMap<string, LiveSpan>;
  readonly trace: TraceSummary | undefined;
}

const NOTHING_NEW: Omit<Growth, "traceId"> = { spans: new Map(), trace: undefined };

/** The skeleton with what was streamed since it was read; only while the trace runs. */
function useGrowing(traceId: string, read: TraceSkeleton | undefined): TraceSkeleton | undefined {
  const [growth, setGrowth] = useState<Growth>({ traceId, ...NOTHING_NEW });
  useLive({ traceId, kinds: ["span", "trace"] }, read?.trace.is_open === true, (events) =>
    setGrowth((before) => {
      const spans = new Map(before.traceId === traceId ? before.spans : []);
      let trace = before.traceId === traceId ? before.trace : undefined;
      for (const { event, data } of events) {
        const told = JSON.parse(data) as LiveSpan & TraceSummary;
        if (event === "span") spans.set(told.span_id, told);
        else if (event === "trace" && told.trace_id === traceId) trace = told;
      }
      return { traceId, spans, trace };
    }),
  );
  return useMemo(() => {
    // What is read after the end is whole: what was streamed adds nothing to it.
    if (read === undefined || growth.traceId !== traceId || !read.trace.is_open) return read;
    return withLiveSpans(read, growth.spans, growth.trace);
  }, [read, growth, traceId]);
}

interface TraceViewProps {
  readonly view: View;
  readonly traceId: string;
  readonly model: TraceModel;
  readonly skeleton: TraceSkeleton;
  readonly spanId: string | undefined;
  readonly onSelect: (spanId: string) => void;
}

function TraceView({ view, traceId, model, skeleton, spanId, onSelect }: TraceViewProps) {
  if (view === "graph") return <GraphView {...{ traceId, model, skeleton, spanId, onSelect }} />;
  if (view === "cost") return <CostView traceId={traceId} isOpen={skeleton.trace.is_open} onSelect={onSelect} />;
  if (view === "timeline") return <TimelineView {...{ traceId, model, spanId, onSelect }} />;
  return <PathTree model={model} selectedId={spanId} onSelect={onSelect} />;
}

function GraphView({ traceId, model, skeleton, spanId, onSelect }: Omit<TraceViewProps, "view">) {
  const graph = useQuery(graphQuery(traceId, model.size));
  if (graph.isPending) return <Loading what="the call graph" />;
  if (graph.isLoadingError) return <Failed error={graph.error} onRetry={() => void graph.refetch()} />;
  return <CallGraph graph={graph.data} model={model} skeleton={skeleton} selectedId={spanId} onSelect={onSelect} />;
}

function TimelineView({ traceId, model, spanId, onSelect }: Omit<TraceViewProps, "view" | "skeleton">) {
  const timeline = useQuery(timelineQuery(traceId, model.size));
  if (timeline.isPending) return <Loading what="the timeline" />;
  if (timeline.isLoadingError) return <Failed error={timeline.error} onRetry={() => void timeline.refetch()} />;
  return <Timeline model={model} timeline={timeline.data} selectedId={spanId} onSelect={onSelect} />;
}

function TraceFacts({ trace }: { readonly trace: TraceSummary }) {
  return (
    <p className="trace-facts">
      <StatusBadge status={trace.status} />
      {trace.is_open && (
        <span className="badge badge-running" role="status">
          grows while you watch
        </span>
      )}
      <span>
        <strong>{formatUsd(trace.cost_usd)}</strong>
        {trace.num_unpriced_calls > 0 && <span className="soft"> + {formatCount(trace.num_unpriced_calls)} calls without a price</span>}
      </span>
      <span>{formatTokens(totalTokens(trace.tokens))} tokens</span>
      {!trace.is_open && <span>{formatDuration(trace.duration_ms)}</span>}
      <span>
        {counted(trace.num_runs, "run")}, {counted(trace.num_model_calls, "model call")}, {counted(trace.num_tool_calls, "tool call")}
      </span>
      <Link to={`/agents/${encodeURIComponent(trace.agent_id)}`}>{trace.agent_id}</Link>
      <span className="soft">{formatInstant(microsOf(trace.started_at))}</span>
    </p>
  );
}

const counted = (num: number, noun: string) => `${formatCount(num)} ${num === 1 ? noun : `${noun}s`}`;
