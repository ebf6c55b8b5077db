/**
 * What runs now, what today costs, what is wrong.
 *
 * Upstream: agents, alerts, newest traces; the hours by one query; what is streamed.
 * Downstream: agent pages, alerts, traces.
 * Guarantee: renewed by itself, without a reload and without moving what somebody reads.
 */
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import { agentsQuery, alertsQuery, askSql, type BudgetItem, budgetsQuery, tracesQuery, verdictsQuery } from "../api/queries";
import { Bars } from "../kit/bars";
import { formatAgo, formatCount, formatShare, formatTokens, formatUsd } from "../kit/format";
import { Page } from "../kit/page";
import { Empty, Failed, Loading } from "../kit/states";
import { Tile } from "../kit/tile";
import { today, windowOf } from "../kit/time_range";
import { microsOf, totalTokens } from "../kit/tokens";
import { TraceTable } from "../trace/trace_table";
import { BudgetMeter } from "../watch/budget_meter";
import { budgetOfToday, byUrgency } from "../watch/budget_text";
import "../watch/budgets.css";
import { AlertLines } from "./alert_lines";
import { hourPlaces } from "./hours";
import { agentsNow, newestRuns, openAlerts, useLiveNow } from "./live_now";

// What is streamed keeps all of it true in between.
const RENEW_MS = 30_000;
const SUMS = [["agents"], ["budgets"], ["runs-per-hour"]] as const;
const NUM_NEWEST = 8;
const NUM_AGENTS = 8;
const NUM_ALERTS = 5;
const NUM_BUDGETS = 4;
const MAX_RUNNING = 100;
const RUNS_PER_HOUR = `SELECT date_trunc('hour', started_at) AS hour, count(*) AS runs
FROM traces WHERE started_at >= current_timestamp - INTERVAL '24' HOUR GROUP BY 1 ORDER BY 1`;

export default function Overview() {
  const agents = useQuery({ ...agentsQuery(windowOf("30d")), refetchInterval: RENEW_MS });
  const todays = useQuery({ ...agentsQuery(today()), refetchInterval: RENEW_MS });
  const alerts = useQuery({ ...alertsQuery({ open: true, limit: NUM_ALERTS }), refetchInterval: RENEW_MS });
  const newest = useQuery({ ...tracesQuery({ limit: NUM_NEWEST, sort: "-started_at" }), refetchInterval: RENEW_MS });
  const running = useQuery({ ...tracesQuery({ status: "running", limit: MAX_RUNNING }), refetchInterval: RENEW_MS });
  const words = useQuery({ ...verdictsQuery(), refetchInterval: RENEW_MS });
  const budgets = useQuery({ ...budgetsQuery, refetchInterval: RENEW_MS });
  const live = useLiveNow(SUMS);
  if (agents.isPending) {
    return (
      <Page title="Overview">
        <Loading what="the overview" />
      </Page>
    );
  }
  if (agents.isLoadingError) {
    return (
      <Page title="Overview">
        <Failed error={agents.error} onRetry={() => void agents.refetch()} />
      </Page>
    );
  }
  // As late as the sums: they are asked for every few seconds.
  const nowMs = Math.max(agents.dataUpdatedAt, todays.dataUpdatedAt);
  const present = agentsNow({ agents: agents.data.items, running: running.data?.items ?? [], words: words.data?.items ?? [] }, live, nowMs);
  if (present.length === 0) {
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
  const numRunning = present.reduce((before, agent) => before + agent.numOpen, 0);
  const numEnded = sum((figures) => figures.num_traces - figures.num_open);
  const wrong = openAlerts(alerts.data?.items ?? [], alerts.dataUpdatedAt, live, NUM_ALERTS);
  const runs = newestRuns(newest.data?.items ?? [], live, NUM_NEWEST, nowMs);
  return (
    <Page title="Overview" lead={<p className="soft">As it happens; sums follow within seconds.</p>}>
      <div className="tiles">
        <Tile name="Spent today" value={formatUsd(sum((figures) => Number(figures.cost_usd ?? 0)))} note={spentNote(budgetOfToday(budgets.data?.items ?? []), sum((figures) => figures.num_unpriced_calls))} />
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
              {present.slice(0, NUM_AGENTS).map(({ agentId, numOpen, seenAt, isHalted }) => (
                <li key={agentId}>
                  <Link to={`/agents/${encodeURIComponent(agentId)}`}>{agentId}</Link>
                  <AgentState numOpen={numOpen} isHalted={isHalted} />
                  <span className="soft">seen {formatAgo(microsOf(seenAt))}</span>
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
            {alerts.isLoadingError && <Failed error={alerts.error} />}
            {alerts.data !== undefined && wrong.length === 0 && <p className="soft">Nothing needs you.</p>}
            {wrong.length > 0 && <AlertLines alerts={wrong} />}
          </div>
        </section>
      </div>
      {budgets.data !== undefined && budgets.data.items.length > 0 && (
        <section className="card" aria-labelledby="budgets-now">
          <div className="card-head">
            <h2 id="budgets-now">Spent against budgets</h2>
            <Link to="/alerts?tab=budgets">All</Link>
          </div>
          <div className="card-body budgets-now">
            {byUrgency(budgets.data.items)
              .slice(0, NUM_BUDGETS)
              .map((budget) => (
                <BudgetMeter key={budget.budget_id} budget={budget} />
              ))}
          </div>
        </section>
      )}
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
        {runs.length > 0 && <TraceTable traces={runs} label="Newest runs" />}
      </div>
    </Page>
  );
}

function spentNote(budget: BudgetItem | undefined, numUnpriced: number): string | undefined {
  const notes = [
    ...(budget === undefined ? [] : [`of ${formatUsd(budget.limit)} a day`]),
    ...(numUnpriced > 0 ? [`and ${formatCount(numUnpriced)} calls without a price`] : []),
  ];
  return notes.length > 0 ? notes.join(" ") : undefined;
}

export function AgentState({ numOpen, isHalted = false }: { readonly numOpen: number; readonly isHalted?: boolean }) {
  if (isHalted) return <span className="badge badge-error">⊘ halted</span>;
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
    refetchInterval: RENEW_MS,
  });
  if (hours.isPending) return <Loading what="the hours" />;
  if (hours.isLoadingError) return <Failed error={hours.error} onRetry={() => void hours.refetch()} />;
  return <Bars label="Runs per hour, last 24 hours" format={formatCount} {...hourPlaces(hours.data.rows, hours.dataUpdatedAt)} />;
}
