/**
 * All agents with what they did and cost.
 *
 * Upstream: GET /v1/agents; verdicts; the stream.
 * Downstream: the page of an agent.
 * Guarantee: sorted by who was seen last, as the API tells it.
 */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";

import { agentsQuery, verdictsQuery } from "../api/queries";
import { formatAgo, formatCount, formatDuration, formatShare, formatTokens, formatUsd } from "../kit/format";
import { Page } from "../kit/page";
import { Empty, Listed } from "../kit/states";
import { numbers, Table } from "../kit/table";
import { rangeOf, windowOf } from "../kit/time_range";
import { microsOf, totalTokens } from "../kit/tokens";
import { useUrlState } from "../kit/url_state";
import { RangeField } from "../trace/trace_filters";
import { haltedAgents } from "../watch/guard_words";
import { toldWords, useLiveNow } from "./live_now";
import { AgentState } from "./overview";

const RENEWED = [["agents"], ["verdicts"]] as const;
/** As many are found without searching. */
const FEW = 8;

export default function Agents() {
  const url = useUrlState();
  const agents = useQuery(agentsQuery(windowOf(rangeOf(url.get("range")))));
  const words = useQuery(verdictsQuery());
  const live = useLiveNow(RENEWED);
  const nowMs = Math.max(agents.dataUpdatedAt, words.dataUpdatedAt);
  const halted = haltedAgents([...(words.data?.items ?? []), ...toldWords(live, nowMs)], nowMs);
  const [wanted, setWanted] = useState("");
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
          <>
          {items.length > FEW && (
            <div className="filters" role="search" aria-label="Agents">
              <label className="field wide">
                <span>Name</span>
                <input className="input" type="search" data-search value={wanted} onChange={(event) => setWanted(event.target.value)} />
              </label>
            </div>
          )}
          <Table label="Agents" columns={["Agent", "State", ...numbers("Runs", "Failed", "Cost", "Tokens", "Typical duration", "Seen")]}>
            {items.filter(({ agent_id }) => agent_id.toLowerCase().includes(wanted.trim().toLowerCase())).map(({ agent_id, figures, last_seen_at }) => (
                <tr key={agent_id}>
                  <td className="name">
                    <Link to={`/agents/${encodeURIComponent(agent_id)}`}>{agent_id}</Link>
                  </td>
                  <td>
                    <AgentState numOpen={figures.num_open} isHalted={halted.has(agent_id)} />
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
          </>
        )}
      </Listed>
    </Page>
  );
}
