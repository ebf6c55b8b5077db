/**
 * Allowances: what the server says may still be spent, and what was drawn from it here.
 *
 * Upstream: the guard's state; the meter.
 * Downstream: the limits.
 * Guarantee: what was drawn is kept while an allowance lives, over new states and restarts; while the server is away
 * the last allowance goes on holding when the posture says so.
 */

import { parseUsd } from "./money.mjs";

export class Allowances {
  constructor() {
    /** @type {Map<string, {id: string, scope: string, scopeId: string, window: string, granted: bigint, drawn: bigint, expiresAtUs: number}>} */
    this.byId = new Map();
  }

  /** Take the list of a new state; ids that are gone are forgotten. */
  replace(rows) {
    const next = new Map();
    for (const row of Array.isArray(rows) ? rows : []) {
      const granted = parseUsd(row?.granted_usd);
      if (granted === undefined || typeof row.allowance_id !== "string") continue;
      next.set(row.allowance_id, {
        id: row.allowance_id,
        scope: row.scope,
        scopeId: row.scope_id,
        window: row.window,
        granted,
        drawn: this.byId.get(row.allowance_id)?.drawn ?? 0n,
        expiresAtUs: Number(row.expires_at_us),
      });
    }
    this.byId = next;
  }

  /** Draw the cost of a call from every group that covers the family. */
  draw(family, cost, nowUs, keepLast) {
    for (const group of this.#groups(family, nowUs, keepLast)) {
      let left = cost;
      for (const item of group) {
        const room = item.granted - item.drawn;
        const part = item === group.at(-1) || left <= room ? left : room > 0n ? room : 0n;
        item.drawn += part;
        left -= part;
      }
    }
  }

  /** Groups with nothing left that cover a family, as breaches. */
  *exhausted(family, nowUs, keepLast) {
    for (const group of this.#groups(family, nowUs, keepLast)) {
      const limit = group.reduce((sum, item) => sum + item.granted, 0n);
      const spent = group.reduce((sum, item) => sum + item.drawn, 0n);
      if (spent < limit) continue;
      const { scope, scopeId, window } = group[0];
      const expiresAtUs = Math.max(...group.map((item) => item.expiresAtUs));
      const key = `allowance:${scope}:${scopeId}:${window}`;
      yield { key, cause: "allowance", scope, scopeId, window, spent, limit, expiresAtUs };
    }
  }

  /** Keys of all groups with nothing left. */
  emptyKeys(nowUs, keepLast) {
    return new Set([...this.exhausted(undefined, nowUs, keepLast)].map((it) => it.key));
  }

  /** Somebody released a scope: what was drawn there is forgiven. */
  forgive(scope, scopeId) {
    const wide = scope === "agent" || scope === "tenant";
    for (const item of this.byId.values()) {
      if (wide || (item.scope === scope && item.scopeId === scopeId)) item.drawn = 0n;
    }
  }

  /** Groups by scope and window that cover a family (all without one): the living, or all of them when the last must go on holding. */
  #groups(family, nowUs, keepLast) {
    const groups = new Map();
    for (const item of this.byId.values()) {
      if (family && !covers(item, family)) continue;
      const key = `${item.scope}\n${item.scopeId}\n${item.window}`;
      groups.set(key, [...(groups.get(key) ?? []), item]);
    }
    return [...groups.values()]
      .map((items) => {
        const living = items.filter((item) => item.expiresAtUs > nowUs);
        return (living.length || !keepLast ? living : items).sort((a, b) => a.expiresAtUs - b.expiresAtUs);
      })
      .filter((items) => items.length);
  }
}

function covers({ scope, scopeId }, family) {
  if (scope === "run") return family.answersTo(scopeId);
  if (scope === "session") return family.rootSessionKey === scopeId || family.sessions.has(scopeId);
  return scope === "agent" || scope === "tenant";
}
