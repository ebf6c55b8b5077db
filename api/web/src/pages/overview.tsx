/**
 * What runs now, what today costs, what is wrong.
 *
 * Upstream: agents, alerts, newest traces; the hours by one query.
 * Downstream: agent pages, alerts, traces.
 * Guarantee: renewed by itself, without a reload and without moving what somebody reads.
 */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";

import { useLive } from "../api/live";
import { agentsQuery, alertsQuery, askSql, type TraceSummary, tracesQuery } from "../api/queries";
import { Bars } from "../kit/bars";
import { formatAgo, formatCount, formatShare, formatTokens, formatUsd } from "../kit/format";
import { Page } from "../kit/page";
import { Empty, Failed, Loading } from "../kit/states";
import { Tile } from "../kit/tile";
import { today, windowOf } from "../kit/time_range";
import { microsOf, totalTokens } from "../kit/tokens";
import { TraceTable } from "../trace/trace_table";
import { AlertLines } from "./alert_lines";
import { hourPlaces } from "./hours";

const RENEW_MS = 5_000;
const NUM_NEWEST = 8;
const MAX_LIVE = 50;
const RENEW_HOURS_MS = 30_000;
const RUNS_PER_HOUR = `SELECT date_trunc('hour', started_at) AS hour, count(*) AS runs
FROM traces WHERE started_at >= current_timestamp - INTERVAL '24' HOUR GROUP BY 1 ORDER BY 1`;

export default function Overview() {
  const agents = useQuery({ ...agentsQuery(windowOf("30d")), refetchInterval: RENEW_MS });
  const todays = useQuery({ ...agentsQuery(today()), refetchInterval: RENEW_MS });
  const alerts = useQuery({ ...alertsQuery({ open: true, limit: 5 }), refetchInterval: RENEW_MS });
  const newest = useQuery({ ...tracesQuery({ limit: NUM_NEWEST, sort: "-started_at" }), refetchInterval: RENEW_MS });
  const client = useQueryClient();
  const [live, setLive] = useState<ReadonlyMap<string, TraceSummary>>(new Map());
  useLive({ kinds: ["trace", "alert"] }, true, (events) => {
    const traces = events.filter(({ event }) => event === "trace").map(({ data }) => JSON.parse(data) as TraceSummary);
    setLive((before) => new Map([...before, ...traces.map((trace) => [trace.trace_id, trace] as const)].slice(-MAX_LIVE)));
    if (events.some(({ event }) => event === "alert")) void client.invalidateQueries({ queryKey: ["alerts"] });
  });
  if (agents.isPending) {
    return (
      <Page title="Overview">
        <Loading what="the overview" />
      </Page>
    );
  }
  if (agents.isError) {
    return (
      <Page title="Overview">
        <Failed error={agents.error} onRetry={() => void agents.refetch()} />
      </Page>
    );
  }
  if (agents.data.items.length === 0) {
    return (
      <Page title="Overview">
        <Empty title="No agent has sent anything yet.">
          <Link to="/start">Connect your OpenClaw</Link> in three lines; its next run shows here.
        </Empty>
      </Page>
    );
  }
  const sums = (todays.data?.items ?? []).map((agent) => agent.figures);
  const sum = (value: (figures: (typeof sums)[number]) => number) => sums.reduce((before, figures) => before + value(figures), 0);
  const numRunning = sum((figures) => figures.num_open);
  const numEnded = sum((figures) => figures.num_traces) - numRunning;
  return (
    <Page title="Overview" lead={<p className="soft">Renewed every few seconds.</p>}>
      <div className="tiles">
        <Tile name="Spent today" value={formatUsd(sum((figures) => Number(figures.cost_usd ?? 0)))} note={unpriced(sum((figures) => figures.num_unpriced_calls))} />
        <Tile name="Runs today" value={formatCount(sum((figures) => figures.num_traces))} note={`${formatCount(numRunning)} running now`} />
        <Tile name="Tokens today" value={formatTokens(sum((figures) => totalTokens(figures.tokens) ?? 0))} />
        <Tile
          name="Failed today"
          value={formatCount(sum((figures) => figures.num_failed))}
          note={numEnded > 0 ? `${formatShare(sum((figures) => figures.num_failed) / numEnded)} of the ended runs` : undefined}
        />
      </div>
      <div className="columns">
        <section className="card" aria-labelledby="agents-now">
          <div className="card-head">
            <h2 id="agents-now">Agents</h2>
            <Link to="/agents">All</Link>
          </div>
          <div className="card-body">
            <ul className="plain-list">
              {agents.data.items.slice(0, 8).map((agent) => (
                <li key={agent.agent_id}>
                  <Link to={`/agents/${encodeURIComponent(agent.agent_id)}`}>{agent.agent_id}</Link>
                  <AgentState numOpen={agent.figures.num_open} />
                  <span className="soft">seen {formatAgo(microsOf(agent.last_seen_at))}</span>
                </li>
              ))}
            </ul>
          </div>
        </section>
        <section className="card" aria-labelledby="alerts-now">
          <div className="card-head">
            <h2 id="alerts-now">Alerts now</h2>
            <Link to="/alerts">All</Link>
          </div>
          <div className="card-body">
            {alerts.isError && <Failed error={alerts.error} />}
            {alerts.data?.items.length === 0 && <p className="soft">Nothing needs you.</p>}
            {alerts.data !== undefined && <AlertLines alerts={alerts.data.items} />}
          </div>
        </section>
      </div>
      <section className="card" aria-labelledby="runs-hours">
        <div className="card-head">
          <h2 id="runs-hours">Runs per hour, last 24 hours</h2>
        </div>
        <div className="card-body">
          <RunsPerHour />
        </div>
      </section>
      <div>
        <h2 className="section-title">
          Newest runs
        </h2>
        {newest.data !== undefined && <TraceTable traces={newestOf(newest.data.items, live)} label="Newest runs" />}
      </div>
    </Page>
  );
}

/** The newest runs, each as it was told last: a stream is seconds before the tables, but the tables have the last word. */
function newestOf(read: readonly TraceSummary[], live: ReadonlyMap<string, TraceSummary>): TraceSummary[] {
  const byId = new Map(live);
  for (const trace of read) if (!trace.is_open || !byId.has(trace.trace_id)) byId.set(trace.trace_id, trace);
  return [...byId.values()].sort((left, right) => right.started_at.localeCompare(left.started_at)).slice(0, NUM_NEWEST);
}

function unpriced(numCalls: number): string | undefined {
  return numCalls > 0 ? `and ${formatCount(numCalls)} calls without a price` : undefined;
}

export function AgentState({ numOpen }: { readonly numOpen: number }) {
  return numOpen > 0 ? (
    <span className="badge badge-running">● {formatCount(numOpen)} running</span>
  ) : (
    <span className="badge">idle</span>
  );
}

function RunsPerHour() {
  const hours = useQuery({
    queryKey: ["runs-per-hour"],
    queryFn: ({ signal }) => askSql(RUNS_PER_HOUR, signal),
    refetchInterval: RENEW_HOURS_MS,
  });
  if (hours.isPending) return <Loading what="the hours" />;
  if (hours.isError) return <Failed error={hours.error} onRetry={() => void hours.refetch()} />;
  return <Bars label="Runs per hour, last 24 hours" format={formatCount} {...hourPlaces(hours.data.rows, Date.now())} />;
}
