/**
 * The decisions of the guard, each told once.
 *
 * Upstream: the engine.
 * Downstream: the event `guard_decision`.
 * Guarantee: the same key never leads to a second event; memory is bounded.
 */

import { randomUUID } from "node:crypto";

import { formatUsd } from "./money.mjs";

const MAX_REMEMBERED = 5_000;

export class Decisions {
  /** @param {(event: object, ctx: object) => void} emit */
  constructor(emit) {
    this.emit = emit;
    this.told = new Set();
    this.num = 0;
  }

  /** Tell a decision; false when it was told before. */
  tell({ action, scope, scopeId, reason, spent, limit, verdictId }, ids, policyRev, key) {
    if (this.told.has(key)) return false;
    this.told.add(key);
    if (this.told.size > MAX_REMEMBERED) this.told.delete(this.told.values().next().value);
    this.num += 1;
    const { runId, sessionKey, sessionId, agentId, toolCallId, trace } = ids;
    this.emit(
      {
        decision_id: randomUUID(),
        action,
        scope,
        scope_id: scopeId,
        reason,
        spent_usd: spent === undefined ? null : formatUsd(spent),
        limit_usd: limit === undefined ? null : formatUsd(limit),
        policy_rev: policyRev,
        ...(verdictId && { verdict_id: verdictId }),
      },
      { runId, sessionKey, sessionId, agentId, ...(toolCallId && { toolCallId }), ...(trace && { trace }) },
    );
    return true;
  }
}
