/**
 * All agents with what they did and cost.
 *
 * Upstream: GET /v1/agents.
 * Downstream: the page of an agent.
 * Guarantee: sorted by who was seen last, as the API tells it.
 */
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import { agentsQuery } from "../api/queries";
import { formatAgo, formatCount, formatDuration, formatShare, formatTokens, formatUsd } from "../kit/format";
import { Page } from "../kit/page";
import { Empty, Failed, Loading } from "../kit/states";
import { rangeOf, windowOf } from "../kit/time_range";
import { microsOf, totalTokens } from "../kit/tokens";
import { useUrlState } from "../kit/url_state";
import { RangeField } from "../trace/trace_filters";
import { AgentState } from "./overview";

export default function Agents() {
  const url = useUrlState();
  const agents = useQuery(agentsQuery(windowOf(rangeOf(url.get("range")))));
  return (
    <Page title="Agents" actions={<RangeField url={url} />}>
      {agents.isPending && <Loading what="agents" />}
      {agents.isError && <Failed error={agents.error} onRetry={() => void agents.refetch()} />}
      {agents.data?.items.length === 0 && (
        <Empty title="No agent ran in this time.">
          Widen the time, or <Link to="/start">connect an agent</Link>.
        </Empty>
      )}
      {agents.data !== undefined && agents.data.items.length > 0 && (
        <div className="table-box" tabIndex={0} role="region" aria-label="Agents">
          <table className="table">
            <caption className="visually-hidden">Agents</caption>
            <thead>
              <tr>
                <th scope="col">Agent</th>
                <th scope="col">State</th>
                {["Runs", "Failed", "Cost", "Tokens", "Typical duration", "Seen"].map((name) => (
                  <th key={name} scope="col" className="num">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {agents.data.items.map(({ agent_id, figures, last_seen_at }) => (
                <tr key={agent_id}>
                  <td className="name">
                    <Link to={`/agents/${encodeURIComponent(agent_id)}`}>{agent_id}</Link>
                  </td>
                  <td>
                    <AgentState numOpen={figures.num_open} />
                  </td>
                  <td className="num">{formatCount(figures.num_traces)}</td>
                  <td className="num">{formatShare(figures.error_rate)}</td>
                  <td className="num">{formatUsd(figures.cost_usd)}</td>
                  <td className="num">{formatTokens(totalTokens(figures.tokens))}</td>
                  <td className="num">{formatDuration(figures.p50_duration_ms)}</td>
                  <td className="num">{formatAgo(microsOf(last_seen_at))}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Page>
  );
}
