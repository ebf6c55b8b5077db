/**
 * What the guard of one agent is told, and a person's own word to halt or go on.
 *
 * Upstream: GET /v1/agents/{agent_id}/guard, /v1/verdicts, the stream of verdicts.
 * Downstream: `policy`, `order`, `words`.
 * Guarantee: who said it, why, and until when stands beside each word; an order is shown when the broker has it.
 */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";

import { Problem } from "../api/client";
import { useLive } from "../api/live";
import { guardQuery, type VerdictItem, verdictsQuery } from "../api/queries";
import { useMay } from "../api/who";
import { Failed, Loading } from "../kit/states";
import { BudgetMeter } from "./budget_meter";
import { type Order, OrderDialog, useGuardRenewal } from "./order";
import { Policy } from "./policy";
import { Words } from "./words";
import "./budgets.css";

const RENEW_MS = 30_000;
const NUM_WORDS = 10;
const STATES = { free: "may run", note: "is told a note", block: "tool calls refused", ask: "asks before tool calls", abort: "halted" } as const;

export function Guard({ agentId }: { readonly agentId: string }) {
  const mayOrder = useMay("operator");
  const guard = useQuery({ ...guardQuery(agentId), refetchInterval: RENEW_MS });
  const words = useQuery({ ...verdictsQuery(agentId), refetchInterval: RENEW_MS });
  const [order, setOrder] = useState<Order>();
  const renew = useGuardRenewal(agentId);
  useLive({ kinds: ["verdict"] }, true, (events) => {
    if (events.some(({ data }) => (JSON.parse(data) as VerdictItem).agent_id === agentId)) void renew();
  });
  if (guard.isPending) return <Loading what="the guard" />;
  if (guard.error instanceof Problem && guard.error.status === 404) return null;
  if (guard.isLoadingError) return <Failed error={guard.error} onRetry={() => void guard.refetch()} />;
  const { state, policy, budgets } = guard.data;
  return (
    <div className="columns">
      <section className="card" aria-labelledby="guard">
        <div className="card-head">
          <h2 id="guard">Guard</h2>
          <span className={`badge ${state === "abort" ? "badge-error" : state === "free" ? "" : "badge-warn"}`} role="status">
            {STATES[state]}
          </span>
        </div>
        <div className="card-body guard-body">
          <Policy agentId={agentId} policy={policy} />
          {mayOrder ? (
            <div className="row-actions">
              <button type="button" className="button button-danger" onClick={() => setOrder("halt")}>
                Halt
              </button>
              <button type="button" className="button" disabled={state === "free"} onClick={() => setOrder("release")}>
                Let it go on
              </button>
            </div>
          ) : (
            <p className="soft">To halt an agent you need the role operator.</p>
          )}
          <Words verdicts={words.data?.items.slice(0, NUM_WORDS) ?? []} inForce={guard.data.verdicts} />
        </div>
      </section>
      <section className="card" aria-labelledby="agent-budgets">
        <div className="card-head">
          <h2 id="agent-budgets">Budgets</h2>
          <Link to="/alerts?tab=budgets">All</Link>
        </div>
        <div className="card-body guard-body">
          {budgets.length === 0 && <p className="soft">No budget counts its spending.</p>}
          {budgets.map((budget) => (
            <BudgetMeter key={budget.budget_id} budget={budget} />
          ))}
        </div>
      </section>
      <OrderDialog agentId={agentId} order={order} onClose={() => setOrder(undefined)} />
    </div>
  );
}
