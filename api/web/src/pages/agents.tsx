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
import { Empty, Listed } from "../kit/states";
import { numbers, Table } from "../kit/table";
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
      <Listed
        asked={agents}
        what="agents"
        empty={
          <Empty title="No agent ran in this time.">
            Widen the time, or <Link to="/start">connect an agent</Link>.
          </Empty>
        }
      >
        {(items) => (
          <Table label="Agents" columns={["Agent", "State", ...numbers("Runs", "Failed", "Cost", "Tokens", "Typical duration", "Seen")]}>
            {items.map(({ agent_id, figures, last_seen_at }) => (
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
          </Table>
        )}
      </Listed>
    </Page>
  );
}
