/**
 * What the guard of one agent is told, and a person's own word to halt or go on.
 *
 * Upstream: GET /v1/agents/{agent_id}/guard, /v1/verdicts, the stream of verdicts.
 * Downstream: POST …/halt and …/release.
 * Guarantee: who said it, why, and until when stands beside each word; an order is shown when the broker has it.
 */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";

import { api, Problem, read } from "../api/client";
import { useLive } from "../api/live";
import { auditQuery, guardQuery, type VerdictItem, verdictsQuery } from "../api/queries";
import { useMay } from "../api/who";
import { Dialog } from "../kit/dialog";
import { ChoiceField, errorOf, Form, FormEnd, TextField } from "../kit/form";
import { formatInstant, formatUsd, formatValue } from "../kit/format";
import { Failed, Loading } from "../kit/states";
import { microsOf } from "../kit/tokens";
import { BudgetMeter } from "./budget_meter";
import "./budgets.css";

const RENEW_MS = 30_000;
const NUM_WORDS = 10;
const STATES = { free: "may run", note: "is told a note", block: "tool calls refused", ask: "asks before tool calls", abort: "halted" } as const;
const HOURS = [
  ["1", "1 hour"],
  ["8", "8 hours"],
  ["24", "1 day"],
  ["168", "1 week"],
] as const;

export function Guard({ agentId }: { readonly agentId: string }) {
  const client = useQueryClient();
  const mayOrder = useMay("operator");
  const guard = useQuery({ ...guardQuery(agentId), refetchInterval: RENEW_MS });
  const words = useQuery({ ...verdictsQuery(agentId), refetchInterval: RENEW_MS });
  const [order, setOrder] = useState<"halt" | "release">();
  const renew = () => Promise.all([["guard", agentId], ["verdicts"], ["audit"]].map((queryKey) => client.invalidateQueries({ queryKey })));
  useLive({ kinds: ["verdict"] }, true, (events) => {
    if (events.some(({ data }) => (JSON.parse(data) as VerdictItem).agent_id === agentId)) void renew();
  });
  if (guard.isPending) return <Loading what="the guard" />;
  if (guard.error instanceof Problem && guard.error.status === 404) return null;
  if (guard.isError) return <Failed error={guard.error} onRetry={() => void guard.refetch()} />;
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
          {policy !== null && (
            <p className="soft">
              Limits of its own: {limitText("a run", policy.run_limit_usd)} {limitText("a session", policy.session_limit_usd)} {limitText("a day", policy.agent_day_limit_usd)}
              then {policy.action}.
            </p>
          )}
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
      <Dialog title={order === "halt" ? `Halt ${agentId}?` : `Let ${agentId} go on?`} isOpen={order !== undefined} onClose={() => setOrder(undefined)}>
        {order !== undefined && (
          <OrderForm
            agentId={agentId}
            order={order}
            onDone={() => {
              setOrder(undefined);
              void renew();
            }}
          />
        )}
      </Dialog>
    </div>
  );
}

function limitText(what: string, limit: string | null): string {
  return limit === null ? "" : `${formatUsd(limit)} ${what},`;
}

interface WordsProps {
  readonly verdicts: readonly VerdictItem[];
  readonly inForce: readonly VerdictItem[];
}

/** The newest words, those in force marked. */
function Words({ verdicts, inForce }: WordsProps) {
  const holding = new Set(inForce.map((verdict) => verdict.verdict_id));
  const isAdmin = useMay("admin");
  const audit = useQuery({ ...auditQuery, enabled: isAdmin });
  const listed = [...inForce, ...verdicts.filter((verdict) => !holding.has(verdict.verdict_id))];
  if (listed.length === 0) return <p className="soft">It was never told to slow down or stop.</p>;
  const names = new Map((audit.data?.items ?? []).map((entry) => [formatValue(entry.details["verdict_id"]), entry.actor]));
  return (
    <ul className="plain-list plain-list-marked" aria-label="What it was told">
      {listed.map((verdict) => (
        <li key={verdict.verdict_id}>
          <span className={`badge ${holding.has(verdict.verdict_id) && verdict.action === "abort" ? "badge-error" : ""}`}>{verdict.action}</span>
          <span>
            {verdict.reason}{" "}
            <span className="soft">
              {verdict.scope === "agent" || verdict.scope === "tenant" ? "" : `for a ${verdict.scope}, `}
              {whoSaid(verdict, names)}, {formatInstant(microsOf(verdict.issued_at))}
              {holding.has(verdict.verdict_id) ? `, until ${formatInstant(microsOf(verdict.expires_at))}` : ", over"}
            </span>
          </span>
          {verdict.alert_id !== null && <Link to={`/alerts/${encodeURIComponent(verdict.alert_id)}`}>The alert</Link>}
        </li>
      ))}
    </ul>
  );
}

function whoSaid(verdict: VerdictItem, names: ReadonlyMap<string, string>): string {
  if (verdict.said_by === "person") return `by ${names.get(verdict.verdict_id) ?? "a person"}`;
  return verdict.said_by === "budget" ? "by a budget" : "by a rule";
}

interface OrderFormProps {
  readonly agentId: string;
  readonly order: "halt" | "release";
  readonly onDone: () => void;
}

function OrderForm({ agentId, order, onDone }: OrderFormProps) {
  const [reason, setReason] = useState(order === "halt" ? "" : "I looked at it.");
  const [hours, setHours] = useState<(typeof HOURS)[number][0]>("24");
  const params = { path: { agent_id: agentId } };
  const send = useMutation({
    mutationFn: () =>
      order === "halt"
        ? read(api.POST("/v1/agents/{agent_id}/halt", { params, body: { reason: reason.trim(), hours: Number(hours) } }))
        : read(api.POST("/v1/agents/{agent_id}/release", { params, body: { reason: reason.trim() } })),
    onSuccess: onDone,
  });
  return (
    <Form onSend={() => send.mutate()}>
      <p className="form-whole">
        {order === "halt" ? "Every run of it is stopped at once, and it stays closed until somebody lets it go on." : "Whatever stopped it, it may run again; a used-up budget lets it alone until its window has room."}
      </p>
      <TextField label="Why" hint="Its user may be shown this." required maxLength={500} value={reason} error={errorOf(send.error, "reason")} onText={setReason} />
      {order === "halt" && <ChoiceField label="At most for" value={hours} choices={HOURS} error={errorOf(send.error, "hours")} onChoice={setHours} />}
      <FormEnd error={send.error} fields={["reason", "hours"]} isPending={send.isPending} send={order === "halt" ? "Halt it" : "Let it go on"} isDangerous={order === "halt"} />
    </Form>
  );
}
