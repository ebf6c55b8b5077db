/**
 * What was spent: per run with its sub-agents, per session, per day.
 *
 * Upstream: model_call_started/ended; usage told by messages and by diagnostic events.
 * Downstream: the limits.
 * Guarantee: each model call is counted once although it is told of twice; memory is bounded.
 */

import { Families } from "./families.mjs";
import { hasTokens } from "./money.mjs";

const MAX_CALLS = 5_000;
const MAX_CALLS_PER_SESSION = 16;
const MAX_SESSIONS = 1_000;
const DAY_MS = 86_400_000;

export class Meter {
  constructor() {
    this.families = new Families();
    /** Span id to call. */
    this.calls = new Map();
    /** Session key to its latest calls. */
    this.sessionCalls = new Map();
    /** Session key of the root to what was spent there. */
    this.sessions = new Map();
    this.day = { number: 0, spent: 0n, forgiven: 0n };
    this.numCalls = 0;
    this.numUnpriced = 0;
    this.spent = 0n;
  }

  /** A model call begins; returns its family. */
  callStarted(ids, { spanId, provider, model }) {
    const family = this.families.join(ids);
    this.#call(spanId ?? Symbol("call without span"), ids, family, provider, model);
    return family;
  }

  /** A model call ended: the next message of its session tells its usage. */
  callEnded(spanId) {
    const call = this.calls.get(spanId);
    if (call) call.ended = true;
  }

  /**
   * Find the call that a usage object is about and take it, once.
   * @returns {{family: import("./families.mjs").Family, ids: object, provider: string, model: string} | undefined}
   *   undefined when the call is counted already, or the usage tells of no token
   */
  take({ spanId, usage, provider, model, ...ids }) {
    if (!hasTokens(usage)) {
      if (!spanId) this.#messaged(ids.sessionKey);
      return undefined;
    }
    let call;
    if (spanId) {
      call = this.calls.get(spanId);
      call ??= this.#call(spanId, ids, this.families.join(ids), provider, model);
      call.ended = true;
    } else {
      call = this.#messaged(ids.sessionKey);
      if (!call) {
        // Calls of this session are known and all have their message: this is one of them again.
        if (this.sessionCalls.get(ids.sessionKey)?.length) return undefined;
        return { family: this.families.join(ids), ids, provider, model };
      }
    }
    if (call.counted) return undefined;
    call.counted = true;
    return {
      family: call.family.current,
      ids: call.ids,
      provider: provider ?? call.provider,
      model: model ?? call.model,
    };
  }

  /**
   * Book the cost of a call; undefined means that nobody knows its price.
   * @param {import("./families.mjs").Family} family
   * @param {bigint | undefined} cost
   * @param {number} nowMs
   */
  book(family, cost, nowMs) {
    family.numCalls += 1;
    this.numCalls += 1;
    if (cost === undefined) {
      family.numUnpriced += 1;
      this.numUnpriced += 1;
      return;
    }
    family.spent += cost;
    this.spent += cost;
    this.session(family.rootSessionKey).spent += cost;
    this.today(nowMs).spent += cost;
  }

  /** What was spent in a session. */
  session(sessionKey) {
    const key = sessionKey ?? "";
    const found = this.sessions.get(key) ?? { spent: 0n, forgiven: 0n };
    this.sessions.delete(key);
    this.sessions.set(key, found);
    if (this.sessions.size > MAX_SESSIONS) this.sessions.delete(this.sessions.keys().next().value);
    return found;
  }

  /** What was spent since midnight UTC. */
  today(nowMs) {
    const number = Math.floor(nowMs / DAY_MS);
    if (number !== this.day.number) this.day = { number, spent: 0n, forgiven: 0n };
    return this.day;
  }

  /** Somebody released a scope: its limits count again from here. */
  forgive(scope, scopeId, nowMs) {
    const wide = scope === "agent" || scope === "tenant";
    const forget = (purse) => (purse.forgiven = purse.spent);
    if (wide) forget(this.today(nowMs));
    for (const [key, purse] of this.sessions) if (wide || (scope === "session" && key === scopeId)) forget(purse);
    for (const family of this.families.all) {
      if (wide || (scope === "session" ? family.sessions.has(scopeId) : family.answersTo(scopeId))) forget(family);
    }
  }

  #call(spanId, ids, family, provider, model) {
    const call = { ended: false, messaged: false, counted: false, ids, provider, model, family };
    const { sessionKey } = ids;
    this.calls.set(spanId, call);
    if (this.calls.size > MAX_CALLS) this.calls.delete(this.calls.keys().next().value);
    if (sessionKey) {
      const latest = this.sessionCalls.get(sessionKey) ?? [];
      latest.push(call);
      if (latest.length > MAX_CALLS_PER_SESSION) latest.shift();
      this.sessionCalls.delete(sessionKey);
      this.sessionCalls.set(sessionKey, latest);
      if (this.sessionCalls.size > MAX_SESSIONS) this.sessionCalls.delete(this.sessionCalls.keys().next().value);
    }
    return call;
  }

  /** The call an assistant message belongs to: the session's last that ended and has none yet. */
  #messaged(sessionKey) {
    const latest = this.sessionCalls.get(sessionKey) ?? [];
    const call =
      latest.findLast((it) => it.ended && !it.messaged) ?? latest.findLast((it) => !it.ended && !it.messaged);
    if (!call) return undefined;
    for (const earlier of latest) {
      earlier.messaged = true;
      if (earlier === call) break;
    }
    return call;
  }
}
