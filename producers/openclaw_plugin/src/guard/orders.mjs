/**
 * The server's word: policy, prices, allowances and verdicts, and what the verdicts order for a run.
 *
 * Upstream: the guard's state as the gateway sends it.
 * Downstream: the guard.
 * Guarantee: a state that is none changes nothing; a verdict counts until its end and each release once.
 */

import { Policy } from "./limits.mjs";
import { PriceTable } from "./money.mjs";

const MAX_REMEMBERED = 500;

export class Orders {
  constructor(posture) {
    this.fallbackPosture = posture;
    this.raw = undefined;
    this.policy = new Policy({}, posture);
    this.prices = new PriceTable();
    /** @type {Array<any>} */
    this.verdicts = [];
    /** Releases and approvals that were carried out, by verdict id. */
    this.done = new Set();
  }

  get rev() {
    return Number.isSafeInteger(this.raw?.rev) ? this.raw.rev : 0;
  }

  /** Take a state; false when it is none. */
  take(state) {
    if (!state || typeof state !== "object" || Array.isArray(state) || !("policy" in state)) return false;
    this.raw = state;
    this.policy = new Policy(state.policy ?? {}, this.fallbackPosture);
    this.prices = new PriceTable(state.prices);
    this.verdicts = (Array.isArray(state.verdicts) ? state.verdicts : []).filter(
      (it) => it && typeof it.verdict_id === "string" && typeof it.scope === "string" && typeof it.action === "string",
    );
    return true;
  }

  /** Releases not carried out yet; each is told once. */
  newReleases(nowUs) {
    const fresh = this.verdicts.filter(
      (it) => it.action === "release" && it.expires_at_us > nowUs && !this.done.has(it.verdict_id),
    );
    for (const it of fresh) this.settle(it.verdict_id);
    return fresh;
  }

  /** Verdicts of an action in force: not lapsed, not settled, not released by a later one. */
  inForce(action, nowUs) {
    return this.verdicts.filter(
      (it, index) =>
        it.action === action &&
        it.expires_at_us > nowUs &&
        !this.done.has(it.verdict_id) &&
        !this.verdicts.some((other, at) => at > index && other.action === "release" && releases(other, it)),
    );
  }

  /** A verdict needs nothing more: released, or approved by a person. */
  settle(verdictId) {
    this.done.add(verdictId);
    if (this.done.size > MAX_REMEMBERED) this.done.delete(this.done.values().next().value);
  }
}

function releases(release, verdict) {
  if (release.scope === "agent" || release.scope === "tenant") return true;
  return release.scope === verdict.scope && release.scope_id === verdict.scope_id;
}

/** A verdict as the cause of a decision. */
export function causeOf(verdict) {
  return {
    key: `verdict:${verdict.verdict_id}`,
    cause: "verdict",
    verdictId: verdict.verdict_id,
    action: verdict.action,
    scope: verdict.scope,
    scopeId: verdict.scope_id,
    reason: String(verdict.reason ?? "the server said so"),
    expiresAtUs: Number(verdict.expires_at_us),
  };
}

/** A verdict as a thing that covers runs. */
export function spanOf({ scope, scope_id: scopeId }) {
  const ids = new Set([scopeId]);
  return { scope, familyIds: scope === "run" ? ids : new Set(), sessionKeys: scope === "session" ? ids : new Set() };
}
