/**
 * Which limits are passed: by the policy, and by allowances.
 *
 * Upstream: the policy of the guard's state; the meter; allowances.
 * Downstream: the guard, which acts.
 * Guarantee: pure over what it is given; the widest scope comes first.
 */

import { parseUsd } from "./money.mjs";

const ACTIONS = ["note", "block", "ask", "abort"];
const POSTURES = ["last", "open", "closed"];
const DAY_MS = 86_400_000;
const RUN_HOLD_MS = 3_600_000;

/** The policy in whole numbers. */
export class Policy {
  /**
   * @param {any} [row] the `policy` of the guard's state
   * @param {string} [posture] what holds until the server has said something
   */
  constructor(row = {}, posture = "last") {
    this.action = ACTIONS.includes(row?.action) ? row.action : "abort";
    this.posture = [row?.posture, posture].find((it) => POSTURES.includes(it)) ?? "last";
    this.run = parseUsd(row?.run_limit_usd);
    this.session = parseUsd(row?.session_limit_usd);
    this.day = parseUsd(row?.agent_day_limit_usd);
  }

  get limitsAnything() {
    return this.run !== undefined || this.session !== undefined || this.day !== undefined;
  }

  /** True when a hold that a limit opened is still called for. */
  stillPassed({ window, spent, denied }) {
    const limit = { run: this.run, session: this.session, day: this.day }[window];
    return limit !== undefined && spent >= limit && (denied || this.action === "abort");
  }
}

/**
 * @typedef {{key: string, cause: string, scope: string, scopeId: string, window: string, spent: bigint,
 *   limit: bigint, expiresAtUs: number}} Breach
 *
 * @param {{policy: Policy, meter: import("./meter.mjs").Meter, allowances: import("./allowances.mjs").Allowances,
 *   family: import("./families.mjs").Family, nowMs: number, keepLast: boolean}} about
 * @returns {Breach[]}
 */
export function breaches({ policy, meter, allowances, family, nowMs, keepLast }) {
  const found = [];
  const day = meter.today(nowMs);
  const midnightMs = (day.number + 1) * DAY_MS;
  const check = (limit, purse, scope, scopeId, window, untilMs) => {
    // What was spent when somebody released it is forgiven: the limit counts again from there.
    const spent = purse.spent - purse.forgiven;
    if (limit === undefined || spent < limit) return;
    const key = `limit:${window}:${scope === "agent" ? day.number : scopeId}`;
    found.push({ key, cause: "limit", scope, scopeId, window, spent, limit, expiresAtUs: untilMs * 1000 });
  };
  check(policy.day, day, "agent", "this agent", "day", midnightMs);
  const rootKey = family.rootSessionKey;
  check(policy.session, meter.session(rootKey), "session", rootKey ?? "", "session", nowMs + DAY_MS);
  found.push(...allowances.exhausted(family, nowMs * 1000, keepLast));
  check(policy.run, family, "run", family.id, "run", nowMs + RUN_HOLD_MS);
  return found;
}
