/**
 * Which agents are told to stand still, as far as the words that were told say it.
 *
 * Upstream: GET /v1/verdicts; verdicts that are streamed.
 * Downstream: the overview.
 * Guarantee: pure. A word about an id replaces the one before; a release ends what was said before it; nothing holds
 * beyond its end.
 */
import type { VerdictItem } from "../api/queries";

export type Word = Pick<VerdictItem, "verdict_id" | "agent_id" | "scope" | "action" | "issued_at" | "expires_at">;

export function haltedAgents(told: readonly Word[], nowMs: number): ReadonlySet<string> {
  const newest = new Map<string, Word>();
  for (const word of told) {
    if (word.scope !== "agent" && word.scope !== "tenant") continue;
    const id = `${word.agent_id} ${word.verdict_id}`;
    const known = newest.get(id);
    if (known === undefined || known.issued_at <= word.issued_at) newest.set(id, word);
  }
  const releasedAt = new Map<string, string>();
  for (const { action, agent_id, issued_at } of newest.values()) {
    if (action === "release" && issued_at > (releasedAt.get(agent_id) ?? "")) releasedAt.set(agent_id, issued_at);
  }
  const halted = [...newest.values()].filter(
    ({ action, agent_id, issued_at, expires_at }) => action === "abort" && Date.parse(expires_at) > nowMs && issued_at > (releasedAt.get(agent_id) ?? ""),
  );
  return new Set(halted.map((word) => word.agent_id));
}
