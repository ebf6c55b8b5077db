/**
 * A person's own word to an agent or to one of its runs: halt, go on.
 *
 * Upstream: the guard of an agent, the guard of a run.
 * Downstream: POST …/halt and …/release.
 * Guarantee: it is sent with a reason; the dialog closes when the broker has it.
 */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, read } from "../api/client";
import { Dialog } from "../kit/dialog";
import { ChoiceField, errorOf, Form, FormEnd, TextField } from "../kit/form";

const HOURS = [
  ["1", "1 hour"],
  ["8", "8 hours"],
  ["24", "1 day"],
  ["168", "1 week"],
] as const;

export type Order = "halt" | "release";

interface OrderProps {
  readonly agentId: string;
  /** Of one run; without it, of the whole agent. */
  readonly runId?: string;
  readonly order: Order | undefined;
  readonly onClose: () => void;
}

export function OrderDialog({ order, onClose, ...about }: OrderProps) {
  const name = about.runId === undefined ? about.agentId : "this run";
  return (
    <Dialog title={order === "halt" ? `Halt ${name}?` : `Let ${name} go on?`} isOpen={order !== undefined} onClose={onClose}>
      {order !== undefined && <OrderForm {...about} order={order} onClose={onClose} />}
    </Dialog>
  );
}

const OUTCOMES = {
  agent: {
    halt: "Every run of it is stopped at once, and it stays closed until somebody lets it go on.",
    release: "Whatever stopped it, it may run again; a used-up budget lets it alone until its window has room.",
  },
  run: {
    halt: "This run is stopped at once, with its sub-agents; the agent's other runs go on.",
    release: "What stopped this run is taken back.",
  },
} as const;

/** Ask again for all that an order changes. */
export function useGuardRenewal(agentId: string): () => Promise<unknown> {
  const client = useQueryClient();
  return () => Promise.all([["guard", agentId], ["verdicts"], ["audit"]].map((queryKey) => client.invalidateQueries({ queryKey })));
}

function OrderForm({ agentId, runId, order, onClose }: OrderProps & { readonly order: Order }) {
  const renew = useGuardRenewal(agentId);
  const [reason, setReason] = useState(order === "halt" ? "" : "I looked at it.");
  const [hours, setHours] = useState<(typeof HOURS)[number][0]>("24");
  const send = useMutation({
    mutationFn: () => {
      const said = { reason: reason.trim() };
      const halt = { ...said, hours: Number(hours) };
      if (runId === undefined) {
        const params = { path: { agent_id: agentId } };
        return order === "halt"
          ? read(api.POST("/v1/agents/{agent_id}/halt", { params, body: halt }))
          : read(api.POST("/v1/agents/{agent_id}/release", { params, body: said }));
      }
      const params = { path: { agent_id: agentId, run_id: runId } };
      return order === "halt"
        ? read(api.POST("/v1/agents/{agent_id}/runs/{run_id}/halt", { params, body: halt }))
        : read(api.POST("/v1/agents/{agent_id}/runs/{run_id}/release", { params, body: said }));
    },
    onSuccess: () => {
      onClose();
      return renew();
    },
  });
  return (
    <Form onSend={() => send.mutate()}>
      <p className="form-whole">{OUTCOMES[runId === undefined ? "agent" : "run"][order]}</p>
      <TextField label="Why" hint="Its user may be shown this." required maxLength={500} value={reason} error={errorOf(send.error, "reason")} onText={setReason} />
      {order === "halt" && <ChoiceField label="At most for" value={hours} choices={HOURS} error={errorOf(send.error, "hours")} onChoice={setHours} />}
      <FormEnd error={send.error} fields={["reason", "hours"]} isPending={send.isPending} send={order === "halt" ? "Halt it" : "Let it go on"} isDangerous={order === "halt"} />
    </Form>
  );
}
