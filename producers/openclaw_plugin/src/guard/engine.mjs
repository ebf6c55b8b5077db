/**
 * The guard's decisions: counts what a run spends, and notes, blocks, asks or stops when it is too much.
 *
 * Upstream: hooks and usage from the capture; states from the server.
 * Downstream: OpenClaw (what hooks return, abortRun), events of decisions, the state file.
 * Guarantee: decides from memory; each decision is told once, in a plain sentence. Callers go through index.mjs, which
 * lets no error out.
 */

import { Allowances } from "./allowances.mjs";
import { Decisions } from "./decisions.mjs";
import { Holds, covers } from "./holds.mjs";
import { breaches } from "./limits.mjs";
import { Meter } from "./meter.mjs";
import { Orders, causeOf, spanOf } from "./orders.mjs";
import { Questions } from "./questions.mjs";
import { Repeats } from "./repeats.mjs";
import { AWAY, sayBlocked, sayBreach, sayNote, sayStandstill, sayStopped, sayUnpriced } from "./sentences.mjs";
import { StoppedRuns } from "./stopped_runs.mjs";

const HEARTBEAT_QUIET = "HEARTBEAT_OK";

export class Engine {
  /**
   * @param {{now: () => number, emit: (event: object, ctx: object) => void, abort: (sessionId: string) => void,
   *   note: (sessionKey: string, text: string) => void, changed: () => void, posture?: string}} doors
   */
  constructor({ now, emit, abort, note, changed, posture }) {
    Object.assign(this, { now, abort, note, changed });
    this.decisions = new Decisions(emit);
    this.orders = new Orders(posture);
    this.meter = new Meter();
    this.allowances = new Allowances();
    // The end of an allowance forgives nothing: what was spent stays spent, and the next allowance says what is left.
    this.holds = new Holds((hold) => hold.cause === "allowance" || this.#forgive(hold.scope, hold.scopeId));
    this.repeats = new Repeats();
    this.away = false;
    this.awaySinceMs = 0;
    this.stoppedRuns = new StoppedRuns();
    this.questions = new Questions({ allowed: (it) => this.#allowed(it), denied: (it) => this.#denied(it) });
  }

  get nowUs() {
    return this.now() * 1000;
  }

  get #posture() {
    return this.away ? this.orders.policy.posture : undefined;
  }

  // ---- what the server says

  applyState(state) {
    if (!this.orders.take(state)) return false;
    const nowUs = this.nowUs;
    this.allowances.replace(state.allowances);
    for (const { scope, scope_id: scopeId, verdict_id: verdictId, reason } of this.orders.newReleases(nowUs)) {
      this.holds.release(scope, scopeId, this.#familyOf(scopeId));
      this.#forgive(scope, scopeId);
      this.#decide({ action: "release", scope, scopeId, reason, verdictId }, {}, `verdict:${verdictId}`);
    }
    const aborts = this.orders.inForce("abort", nowUs);
    const inForce = new Set(aborts.map((it) => it.verdict_id));
    const empty = this.allowances.emptyKeys(nowUs, this.#keepLast);
    this.holds.keepOnly((hold) => {
      if (hold.cause === "verdict") return inForce.has(hold.verdictId) || hold.denied;
      if (hold.cause === "allowance") return empty.has(hold.key.replace(/^denied:/, ""));
      return hold.cause !== "limit" || this.orders.policy.stillPassed(hold);
    });
    for (const it of aborts) this.#stopByVerdict(it);
    for (const it of this.orders.inForce("note", nowUs)) this.#noteByVerdict(it);
    this.changed();
    return true;
  }

  /** Take one verdict before the state that holds it. */
  applyVerdict(verdict) {
    const others = this.orders.verdicts.filter((it) => it.verdict_id !== verdict?.verdict_id);
    return this.applyState({ policy: null, ...this.orders.raw, verdicts: [...others, verdict] });
  }

  setServerAway(away) {
    if (away && !this.away) this.awaySinceMs = this.now();
    this.away = Boolean(away);
  }

  // ---- what happens in the process

  modelCallStarted(ids, call) {
    const family = this.meter.callStarted(ids, call);
    const hold = this.#gate(family, ids);
    if (hold) this.#stopRun(hold, ids);
  }

  modelCallEnded(spanId) {
    this.meter.callEnded(spanId);
  }

  usage(ids, { spanId, provider, model, usage }) {
    const taken = this.meter.take({ ...ids, spanId, provider, model, usage });
    if (!taken) return;
    const { family } = taken;
    // A message tells of no run; its call does.
    const whose = taken.ids.runId ? taken.ids : ids;
    const cost = this.orders.prices.cost(taken.provider, taken.model, usage);
    this.meter.book(family, cost, this.now());
    if (cost === undefined) this.#unpriced(family, whose, taken);
    else this.allowances.draw(family, cost, this.nowUs, this.#keepLast);
    this.#assess(family, whose);
    this.changed();
  }

  beforeToolCall(ids, { toolName, params }) {
    const family = this.meter.families.join(ids);
    const hold = this.#gate(family, ids);
    if (hold) {
      this.#stopRun(hold, ids);
      return { block: true, blockReason: this.#sentence(hold) };
    }
    if (this.#posture === "open") return undefined;
    const causes = [...this.#soft("ask", family, ids), ...this.#soft("block", family, ids)];
    for (const cause of causes) {
      if (cause.action === "ask") return this.#ask(cause, family, ids, toolName);
      const earlier = this.repeats.find(family, toolName, params);
      if (earlier === undefined) continue;
      this.#decide(cause, ids, `block:${ids.runId}:${ids.toolCallId}`);
      return { block: true, blockReason: sayBlocked(cause.reason, toolName, earlier) };
    }
    return undefined;
  }

  toolResult(ids, { toolName, params, result, error }) {
    const family = this.meter.families.find(ids) ?? this.meter.families.join(ids);
    const question = this.questions.take(ids);
    // No surface to ask on, or nobody answered: OpenClaw fails the tool call and the model would go on and on.
    if (question && error) this.#denied(question);
    if (!error) this.repeats.remember(family, toolName, params, result);
  }

  beforeAgentRun(ids) {
    const hold = this.#gate(this.meter.families.join(ids), ids);
    if (!hold) return undefined;
    this.#decide({ ...hold, action: "block" }, ids, `gate:${hold.key}:${ids.runId}`);
    return { outcome: "block", reason: hold.reason, message: this.#sentence(hold) };
  }

  beforeAgentReply(ids, trigger) {
    const hold = this.#gate(this.meter.families.find(ids), ids);
    if (!hold) return undefined;
    this.#decide({ ...hold, action: "block" }, ids, `gate:${hold.key}:${ids.runId}`);
    // A heartbeat that says something would be sent to the user every half hour.
    const text = trigger === "heartbeat" ? HEARTBEAT_QUIET : this.#sentence(hold);
    return { handled: true, reply: { text } };
  }

  replyPayloadSending(runId, payload, kind) {
    return this.stoppedRuns.replace(runId, payload, kind);
  }

  subagentSpawned(link) {
    this.meter.families.spawned(link);
  }

  runEnded(runId) {
    this.meter.families.ended(runId);
  }

  // ---- decisions

  get #keepLast() {
    return this.#posture === "last";
  }

  /** The hold that stands in the way, after a look at the limits. */
  #gate(family, ids) {
    if (this.#posture === "closed") return this.#awayHold();
    if (family) this.#assess(family, ids);
    return this.holds.find(family, ids.sessionKey, this.nowUs);
  }

  /** Look at every limit and act on those that are passed. */
  #assess(family, ids) {
    if (this.#posture === "open") return;
    const { action } = this.orders.policy;
    if (action !== "abort" && action !== "note") return;
    for (const breach of this.#breaches(family)) {
      const reason = sayBreach(breach);
      if (action === "abort") this.#stop({ ...breach, reason }, family, ids);
      else if (this.#decide({ ...breach, action, reason }, ids, `note:${breach.key}:${breach.limit}`)) {
        this.note(family.rootSessionKey, sayNote(reason));
      }
    }
  }

  #breaches(family) {
    const { policy } = this.orders;
    const { meter, allowances } = this;
    return breaches({ policy, meter, allowances, family, nowMs: this.now(), keepLast: this.#keepLast });
  }

  #unpriced(family, ids, { provider, model }) {
    const { policy } = this.orders;
    if (!policy.limitsAnything || policy.posture === "open") return;
    const key = `unpriced:${family.id}:${provider}/${model}`;
    const cause = { key, cause: "unpriced", scope: "run", scopeId: family.id, reason: sayUnpriced(provider, model) };
    if (policy.posture === "closed" && policy.action === "abort") {
      this.#stop({ ...cause, expiresAtUs: this.nowUs + 3_600_000_000 }, family, ids);
    } else {
      this.#decide({ ...cause, action: "note" }, ids, key);
    }
  }

  /** What calls for a block or a question, short of a stop. */
  *#soft(action, family, ids) {
    if (this.orders.policy.action === action) {
      for (const breach of this.#breaches(family)) yield { ...breach, action, reason: sayBreach(breach) };
    }
    for (const it of this.orders.inForce(action, this.nowUs)) {
      if (covers(spanOf(it), family, ids.sessionKey)) yield causeOf(it);
    }
  }

  #ask(cause, family, ids, toolName) {
    this.#decide(cause, ids, `ask:${ids.runId}:${ids.toolCallId}`);
    return this.questions.put({ cause, family, ids }, toolName);
  }

  #allowed({ cause, family }) {
    if (cause.verdictId) this.orders.settle(cause.verdictId);
    else this.#forgive(cause.scope, cause.scope === "run" ? family.id : cause.scopeId);
    this.changed();
  }

  #denied({ cause, family, ids }) {
    const expiresAtUs = cause.expiresAtUs;
    this.#stop({ ...cause, key: `denied:${cause.key}`, denied: true, expiresAtUs }, family, ids);
  }

  #stopByVerdict(verdict) {
    this.#stop(causeOf(verdict), verdict.scope === "run" ? this.#familyOf(verdict.scope_id) : undefined, {});
  }

  #familyOf(id) {
    return this.meter.families.find({ runId: id, traceId: id });
  }

  #noteByVerdict(verdict) {
    const cause = causeOf(verdict);
    if (!this.#decide(cause, {}, `verdict:${verdict.verdict_id}`)) return;
    for (const family of this.meter.families.all) {
      if (family.active.size && covers(spanOf(verdict), family, undefined)) this.note(family.rootSessionKey, sayNote(cause.reason));
    }
  }

  /** Close what a cause covers and stop every run in it, at once. */
  #stop(cause, family, ids) {
    const hold = this.holds.open(cause, family, this.nowUs);
    if (!hold) return;
    this.#decide({ ...hold, action: "abort" }, ids, `abort:${hold.key}:${hold.expiresAtUs}`);
    for (const other of this.meter.families.all) {
      for (const [runId, sessionId] of other.active) {
        const sessionKey = [...other.sessions].find(([, id]) => id === sessionId)?.[0];
        if (covers(hold, other, sessionKey)) this.#abort(hold, runId, sessionId);
      }
    }
    this.changed();
  }

  /** A run goes on although it is closed, or begins within what is. */
  #stopRun(hold, ids) {
    this.#decide({ ...hold, action: "abort" }, ids, `abort:${hold.key}:${hold.expiresAtUs}`);
    this.#abort(hold, ids.runId, ids.sessionId);
  }

  #abort(hold, runId, sessionId) {
    if (runId) this.stoppedRuns.add(runId, this.#sentence(hold));
    if (sessionId) this.abort(sessionId);
  }

  #awayHold() {
    const key = `away:${this.awaySinceMs}`;
    return { key, cause: "away", scope: "agent", scopeId: "this agent", reason: AWAY, expiresAtUs: 0 };
  }

  #sentence(hold) {
    return hold.cause === "away" ? sayStandstill() : sayStopped(hold.reason, hold.expiresAtUs, this.nowUs);
  }

  #forgive(scope, scopeId) {
    this.meter.forgive(scope, scopeId, this.now());
    this.allowances.forgive(scope, scopeId);
  }

  #decide(decision, ids, key) {
    return this.decisions.tell(decision, ids, this.orders.rev, key);
  }
}
