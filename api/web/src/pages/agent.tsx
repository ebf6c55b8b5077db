/**
 * One agent: four figures, its guard and budgets, four trends, its runs.
 *
 * Upstream: metrics, trends and traces of the API, for the range in the address; renewed when a run tells of itself.
 * Downstream: trace pages.
 * Guarantee: every figure is compared with the same length of time before.
 */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useParams } from "react-router";

import { agentMetricsQuery, agentTrendsQuery, alertsQuery, type Figures, guardQuery, tracePagesQuery, type TrendPoint } from "../api/queries";
import { Chart, overPlaces, type Series } from "../kit/chart";
import { formatCount, formatShare, formatTokens, formatUsd } from "../kit/format";
import { More } from "../kit/more";
import { Page } from "../kit/page";
import { Empty, Failed, Loading } from "../kit/states";
import { changeSince, Tile } from "../kit/tile";
import { bucketOf, rangeOf, windowOf } from "../kit/time_range";
import { TOKEN_BUCKETS, totalTokens } from "../kit/tokens";
import { useUrlState } from "../kit/url_state";
import { RangeField, TraceFilters, traceQueryOf } from "../trace/trace_filters";
import { TraceTable } from "../trace/trace_table";
import { useTracySubject } from "../tracy/open";
import { Guard } from "../watch/guard";
import { AgentState } from "./overview";
import { AlertLines } from "./alert_lines";
import { useLiveNow } from "./live_now";

const RENEWED = [["agent-metrics"], ["agent-trends"], ["traces"], ["alerts"]] as const;

export default function Agent() {
  const { agentId = "" } = useParams();
  const url = useUrlState();
  const range = rangeOf(url.get("range"));
  const window = windowOf(range);
  const metrics = useQuery(agentMetricsQuery(agentId, window));
  const trends = useQuery(agentTrendsQuery(agentId, window, bucketOf(range)));
  const query = traceQueryOf(url.get, range, agentId);
  const traces = useInfiniteQuery(tracePagesQuery(query));
  const runs = traces.data?.pages.flatMap((page) => page.items);
  const guard = useQuery(guardQuery(agentId));
  useLiveNow(RENEWED);
  const alerts = useQuery(alertsQuery({ agent_id: agentId, open: true, limit: 5 }));
  useTracySubject({ agent_id: agentId });
  return (
    <Page
      title={agentId}
      lead={metrics.data !== undefined && <AgentState numOpen={metrics.data.figures.num_open} isHalted={guard.data?.state === "abort"} />}
      actions={<RangeField url={url} />}
    >
      {metrics.isPending && <Loading what="the agent" />}
      {metrics.isLoadingError && <Failed error={metrics.error} onRetry={() => void metrics.refetch()} />}
      {metrics.data !== undefined && <Metrics now={metrics.data.figures} before={metrics.data.before} />}
      {alerts.data !== undefined && alerts.data.items.length > 0 && <AlertLines alerts={alerts.data.items} />}
      <Guard agentId={agentId} />
      {trends.isLoadingError && <Failed error={trends.error} onRetry={() => void trends.refetch()} />}
      {trends.data !== undefined && <Trends points={trends.data.points} bucket={trends.data.bucket} />}
      <section className="page-section" aria-labelledby="runs">
        <h2 id="runs">Runs</h2>
        <TraceFilters url={url} hasRange={false} />
        {traces.isPending && <Loading what="runs" />}
        {traces.isLoadingError && <Failed error={traces.error} onRetry={() => void traces.refetch()} />}
        {runs?.length === 0 && <Empty title="No runs here.">Widen the time or clear the filters.</Empty>}
        {runs !== undefined && runs.length > 0 && (
          <TraceTable
            traces={runs}
            label={`Runs of ${agentId}`}
            sort={query.sort ?? "-started_at"}
            onSort={(sort) => url.set({ sort })}
            showAgent={false}
          />
        )}
        <More asked={traces} />
      </section>
    </Page>
  );
}

function Metrics({ now, before }: { readonly now: Figures; readonly before: Figures }) {
  const costs = [now, before].map((figures) => (figures.cost_usd === null ? null : Number(figures.cost_usd)));
  return (
    <div className="tiles">
      <Tile name="Runs" value={formatCount(now.num_traces)} note={changeSince(now.num_traces, before.num_traces)} />
      <Tile
        name="Cost"
        value={formatUsd(now.cost_usd)}
        note={now.num_unpriced_calls > 0 ? `and ${formatCount(now.num_unpriced_calls)} calls without a price` : changeSince(costs[0]!, costs[1]!)}
      />
      <Tile name="Tokens" value={formatTokens(totalTokens(now.tokens))} note={changeSince(totalTokens(now.tokens), totalTokens(before.tokens))} />
      <Tile
        name="Error rate"
        value={formatShare(now.error_rate)}
        note={before.error_rate === null ? "nothing before" : `${formatShare(before.error_rate)} before`}
      />
    </div>
  );
}

/** Where nothing was called, nothing was spent; unknown is only what was called without a price. */
function costOf({ cost_usd, num_model_calls }: Figures): number | null {
  if (cost_usd !== null) return Number(cost_usd);
  return num_model_calls === 0 ? 0 : null;
}

const dayName = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const hourName = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

function Trends({ points, bucket }: { readonly points: readonly TrendPoint[]; readonly bucket: "hour" | "day" }) {
  const charts = useMemo(() => {
    const names = points.map((point) => (bucket === "day" ? dayName : hourName).format(Date.parse(point.at)));
    const of = (value: (figures: Figures) => number | null) => points.map((point) => value(point.figures));
    const make = (title: string, series: Series[], format: (value: number) => string, axis = {}) => ({
      title,
      option: overPlaces(names, series, format, axis),
    });
    return [
      make("Runs", [{ name: "Runs", values: of((figures) => figures.num_traces), kind: "bar" }], formatCount, { minInterval: 1 }),
      make("Cost", [{ name: "Cost", values: of(costOf), kind: "bar" }], formatUsd),
      make(
        "Tokens",
        TOKEN_BUCKETS.map(([key, name]) => ({ name, values: of((figures) => figures.tokens[key]), kind: "bar" as const, stack: "tokens" })),
        formatTokens,
      ),
      make("Error rate", [{ name: "Error rate", values: of((figures) => figures.error_rate) }], formatShare, { max: 1, interval: 0.25 }),
    ];
  }, [points, bucket]);
  return (
    <div className="columns">
      {charts.map(({ title, option }) => (
        <section key={title} className="card" aria-label={`${title} by ${bucket}`}>
          <div className="card-head">
            <h2>{title}</h2>
            <span className="soft">by {bucket}</span>
          </div>
          <div className="card-body">
            <Chart option={option} label={`${title} by ${bucket}, ${points.length} points`} heightPx={180} />
          </div>
        </section>
      ))}
    </div>
  );
}
