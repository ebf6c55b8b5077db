/**
 * What one agent may spend by itself: the limits that its own guard holds, whatever becomes of the server.
 *
 * Upstream: the guard of an agent.
 * Downstream: PUT and DELETE of its policy.
 * Guarantee: what is empty is no limit; the guard of a running agent takes a change over by itself.
 */
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";

import { api, read } from "../api/client";
import type { GuardPolicy } from "../api/queries";
import { useMay } from "../api/who";
import { Dialog } from "../kit/dialog";
import { ChoiceField, errorOf, Form, FormProblem, TextField } from "../kit/form";
import { formatUsd } from "../kit/format";
import { useGuardRenewal } from "./order";

const LIMITS = [
  ["run_limit_usd", "A run, in $", "a run"],
  ["session_limit_usd", "A session, in $", "a session"],
  ["agent_day_limit_usd", "A day (UTC), in $", "a day"],
] as const;
const ACTIONS = [
  ["abort", "stop the run"],
  ["ask", "ask before each tool call"],
  ["block", "refuse tool calls"],
  ["note", "tell it, and let it go on"],
] as const;
const POSTURES = [
  ["last", "what it was told last goes on holding"],
  ["open", "everything is let through"],
  ["closed", "nothing is let through"],
] as const;
const FIELDS = [...LIMITS.map(([name]) => name), "action", "posture"];

interface PolicyProps {
  readonly agentId: string;
  readonly policy: GuardPolicy | null;
}

export function Policy({ agentId, policy }: PolicyProps) {
  const mayChange = useMay("admin");
  const [isOpen, setOpen] = useState(false);
  const limits = LIMITS.flatMap(([name, , what]) => (policy?.[name] == null ? [] : [`${formatUsd(policy[name])} ${what}`]));
  return (
    <div className="policy">
      <span>
        {limits.length === 0 ? <span className="soft">No limits of its own.</span> : `May spend ${limits.join(", ")}; then: ${ACTIONS.find(([action]) => action === policy?.action)?.[1]}.`}
      </span>
      {mayChange && (
        <button type="button" className="button button-small" onClick={() => setOpen(true)}>
          Set limits
        </button>
      )}
      <Dialog title={`What ${agentId} may spend`} isOpen={isOpen} onClose={() => setOpen(false)}>
        <PolicyForm agentId={agentId} policy={policy} onDone={() => setOpen(false)} />
      </Dialog>
    </div>
  );
}

function PolicyForm({ agentId, policy, onDone }: PolicyProps & { readonly onDone: () => void }) {
  const renew = useGuardRenewal(agentId);
  const [texts, setTexts] = useState<Readonly<Record<string, string>>>(() => Object.fromEntries(LIMITS.map(([name]) => [name, policy?.[name] ?? ""])));
  const [action, setAction] = useState<(typeof ACTIONS)[number][0]>(policy?.action ?? "abort");
  const [posture, setPosture] = useState<(typeof POSTURES)[number][0]>(policy?.posture ?? "last");
  const params = { path: { agent_id: agentId } };
  const done = () => {
    onDone();
    return renew();
  };
  const put = useMutation({
    mutationFn: () => {
      const limits = Object.fromEntries(LIMITS.map(([name]) => [name, texts[name]?.trim() || null]));
      return read(api.PUT("/v1/guard/policies/{agent_id}", { params, body: { ...limits, action, posture } }));
    },
    onSuccess: done,
  });
  const remove = useMutation({ mutationFn: () => read(api.DELETE("/v1/guard/policies/{agent_id}", { params })), onSuccess: done });
  return (
    <Form onSend={() => put.mutate()}>
      {LIMITS.map(([name, label]) => (
        <TextField key={name} label={label} hint="empty: no limit" inputMode="decimal" value={texts[name] ?? ""} error={errorOf(put.error, name)} onText={(text) => setTexts({ ...texts, [name]: text })} />
      ))}
      <ChoiceField label="At a limit" value={action} choices={ACTIONS} error={errorOf(put.error, "action")} onChoice={setAction} />
      <ChoiceField label="While the server is away" value={posture} choices={POSTURES} error={errorOf(put.error, "posture")} onChoice={setPosture} />
      <div className="form-whole">
        <FormProblem error={put.error ?? remove.error} fields={FIELDS} />
        <p className="dialog-actions">
          <button type="submit" className="button button-main" disabled={put.isPending}>
            Save
          </button>
          {policy !== null && (
            <button type="button" className="button" disabled={remove.isPending} onClick={() => remove.mutate()}>
              Take all limits away
            </button>
          )}
        </p>
      </div>
    </Form>
  );
}
