/**
 * The budgets: how much is spent of each, and what happens at its limit.
 *
 * Upstream: GET /v1/budgets.
 * Downstream: PUT and DELETE of one; the keeper of budgets acts on a change within a second.
 * Guarantee: a change keeps what was spent; removing is asked for first, because whoever is stopped goes on.
 */
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { api, read } from "../api/client";
import { agentsQuery, type BudgetItem, type BudgetRequest, budgetsQuery } from "../api/queries";
import { ChoiceField, errorOf, Form, FormEnd, TextField } from "../kit/form";
import { Empty } from "../kit/states";
import { windowOf } from "../kit/time_range";
import { BudgetMeter } from "./budget_meter";
import { budgetName, WINDOWS } from "./budget_text";
import { KeptList } from "./kept_list";
import "./budgets.css";

const RENEW_MS = 5_000;
const ACTIONS = [
  ["abort", "stop its runs"],
  ["ask", "ask before each tool call"],
  ["block", "refuse tool calls"],
  ["note", "tell it, and let it go on"],
  ["none", "nothing; only alert"],
] as const;
const FIELDS = ["limit", "agent_id", "session_prefix", "warn_percents", "grace_percent", "action", "window", "unit"];

export function Budgets() {
  const budgets = useQuery({ ...budgetsQuery, refetchInterval: RENEW_MS });
  return (
    <KeptList
      asked={budgets}
      queryKey={budgetsQuery.queryKey}
      what="budget"
      make="Make a budget"
      empty={<Empty title="There are no budgets.">A budget says how much may be spent in an hour, a day or a month, and what happens then.</Empty>}
      nameOf={budgetName}
      remove={({ budget_id }) => read(api.DELETE("/v1/budgets/{budget_id}", { params: { path: { budget_id } } }))}
      outcome={(budget) => `${budgetName(budget)}: whoever it stopped goes on within a second.`}
      form={(before, onDone) => <BudgetForm before={before} onDone={onDone} />}
    >
      {(items, buttons) => (
        <ul className="budget-list" aria-label="Budgets">
          {items.map((budget) => (
            <li key={budget.budget_id} className="card card-body">
              <BudgetMeter budget={budget} />
              <p className="soft">
                At the limit{budget.grace_percent > 0 ? `, with ${budget.grace_percent} % of grace` : ""}: {ACTIONS.find(([action]) => action === budget.action)?.[1]}. Warns at{" "}
                {budget.warn_percents.map((percent) => `${percent} %`).join(", ") || "nothing before"}.
                {budget.released.length > 0 && ` Released by a person: ${budget.released.join(", ")}.`}
              </p>
              <div className="row-actions">{buttons(budget)}</div>
            </li>
          ))}
        </ul>
      )}
    </KeptList>
  );
}

function BudgetForm({ before, onDone }: { readonly before: BudgetItem | undefined; readonly onDone: () => Promise<void> }) {
  const agents = useQuery(agentsQuery(windowOf("30d")));
  const [agent, setAgent] = useState(before?.agent_id ?? "");
  const [prefix, setPrefix] = useState(before?.session_prefix ?? "");
  const [window, setWindow] = useState(before?.window ?? "day");
  const [unit, setUnit] = useState(before?.unit ?? "usd");
  const [limit, setLimit] = useState(before?.limit ?? "");
  const [warn, setWarn] = useState(before?.warn_percents.join(", ") ?? "50, 80");
  const [grace, setGrace] = useState(String(before?.grace_percent ?? 0));
  const [action, setAction] = useState<BudgetItem["action"]>(before?.action ?? "abort");
  const save = useMutation({
    mutationFn: () => {
      const body: BudgetRequest = {
        window,
        unit,
        limit: limit.trim(),
        action,
        grace_percent: Number(grace),
        warn_percents: warn
          .split(",")
          .filter((percent) => percent.trim() !== "")
          .map(Number),
      };
      if (agent !== "") body.agent_id = agent;
      if (prefix.trim() !== "") body.session_prefix = prefix.trim();
      if (before?.openclaw_agent_id) body.openclaw_agent_id = before.openclaw_agent_id;
      return read(api.PUT("/v1/budgets", { body }));
    },
    onSuccess: onDone,
  });
  const isFixed = before !== undefined;
  const names = [...new Set([...(agent === "" ? [] : [agent]), ...(agents.data?.items ?? []).map((item) => item.agent_id)])];
  return (
    <Form onSend={() => save.mutate()}>
      <ChoiceField label="For" value={agent} disabled={isFixed} choices={[["", "all agents together"], ...names.map((name) => [name, name] as const)]} error={errorOf(save.error, "agent_id")} onChoice={setAgent} />
      <TextField label="Only sessions that begin with" hint="empty: all of them" value={prefix} maxLength={256} disabled={isFixed} error={errorOf(save.error, "session_prefix")} onText={setPrefix} />
      <ChoiceField label="Per" value={window} disabled={isFixed} choices={WINDOWS} onChoice={setWindow} />
      <ChoiceField label="Counted in" value={unit} disabled={isFixed} choices={[["usd", "dollars"], ["tokens", "tokens"]] as const} onChoice={setUnit} />
      <TextField label="Limit" required inputMode="decimal" value={limit} error={errorOf(save.error, "limit")} onText={setLimit} />
      <ChoiceField label="At the limit" value={action} choices={ACTIONS} error={errorOf(save.error, "action")} onChoice={setAction} />
      <TextField label="Warn at, in percent" hint="rising, with commas between" value={warn} error={errorOf(save.error, "warn_percents")} onText={setWarn} />
      <TextField label="Grace, in percent" hint="what may be spent above the limit" inputMode="numeric" value={grace} error={errorOf(save.error, "grace_percent")} onText={setGrace} />
      <FormEnd error={save.error} fields={FIELDS} isPending={save.isPending} />
    </Form>
  );
}
