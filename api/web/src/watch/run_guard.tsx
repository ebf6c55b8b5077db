/**
 * What one run is told while it goes on, and a person's own word to halt it or let it go on.
 *
 * Upstream: the root span of a running trace, which names the run; the guard of its agent; the stream of verdicts.
 * Downstream: `order`, `words`.
 * Guarantee: shown as long as the run goes on; a halt of the whole agent is said as such.
 */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";

import { useLive } from "../api/live";
import { guardQuery, spanQuery, type TraceSummary, type VerdictItem } from "../api/queries";
import { useMay } from "../api/who";
import { type Order, OrderDialog, useGuardRenewal } from "./order";
import { Words } from "./words";
import "./budgets.css";

const RENEW_MS = 30_000;
const STORED_WITHIN_MS = 2_000;

export function RunGuard({ trace }: { readonly trace: TraceSummary }) {
  const { agent_id: agentId, trace_id: traceId, root_span_id: rootId } = trace;
  const mayOrder = useMay("operator");
  const [order, setOrder] = useState<Order>();
  const root = useQuery({
    ...spanQuery(traceId, rootId ?? ""),
    enabled: rootId !== null,
    // The stream tells of a run before the tables hold it.
    refetchInterval: (query) => (query.state.data === undefined ? STORED_WITHIN_MS : false),
  });
  const guard = useQuery({ ...guardQuery(agentId), refetchInterval: RENEW_MS });
  const renew = useGuardRenewal(agentId);
  useLive({ kinds: ["verdict"] }, true, (events) => {
    if (events.some(({ data }) => (JSON.parse(data) as VerdictItem).agent_id === agentId)) void renew();
  });
  const runId = root.data?.run_id;
  if (runId === undefined || runId === null || guard.data === undefined) return null;
  const words = guard.data.verdicts.filter((verdict) => verdict.scope === "run" && verdict.scope_id === runId);
  const isHalted = words.some(({ action }) => action === "abort");
  const isAgentHalted = guard.data.state === "abort";
  return (
    <section className="card card-body run-guard" aria-label="Guard of this run">
      <strong>Guard</strong>
      <span className={`badge ${isHalted || isAgentHalted ? "badge-error" : ""}`} role="status">
        {isHalted ? "run halted" : isAgentHalted ? "agent halted" : "may run"}
      </span>
      {words.length > 0 && <Words verdicts={[]} inForce={words} />}
      {isAgentHalted && <Link to={`/agents/${encodeURIComponent(agentId)}`}>Who halted the agent</Link>}
      {mayOrder && (
        <span className="row-actions">
          {!isHalted && (
            <button type="button" className="button button-small button-danger" onClick={() => setOrder("halt")}>
              Halt this run
            </button>
          )}
          {isHalted && (
            <button type="button" className="button button-small" onClick={() => setOrder("release")}>
              Let it go on
            </button>
          )}
        </span>
      )}
      <OrderDialog agentId={agentId} runId={runId} order={order} onClose={() => setOrder(undefined)} />
    </section>
  );
}
