/**
 * What happens inside a hook: stamp, shape, hand over, ask the guard.
 *
 * Upstream: OpenClaw calls the handlers that `index.mjs` registered, in either instance of the plugin.
 * Downstream: `recorder.mjs`; the guard; `labels/labeller.mjs`.
 * Guarantee: never throws and never waits: a throw or a slow answer in a gate hook would block every agent. What a
 * handler returns is the guard's decision or nothing.
 */

import { Ballast } from "./ballast.mjs";
import { Durations } from "./durations.mjs";

const MAX_SESSIONS = 2_000;

export class Capture {
  /**
   * @param {object} options
   * @param {() => import("./recorder.mjs").Recorder | null} options.recorder opened at the first event
   * @param {object} options.guard
   * @param {Pick<import("./labels/labeller.mjs").Labeller, "onRun" | "onToolCall">} options.labeller
   * @param {(problem: string) => void} options.onProblem
   */
  constructor({ recorder, guard, labeller, onProblem }) {
    this._recorder = recorder;
    this._guard = guard;
    this._labeller = labeller;
    this._onProblem = onProblem;
    this._ballast = new Ballast();
    this._clock = microsecondClock();
    /** Newest model call of each session: the message that follows carries its usage but not its ids. */
    this._calls = new Map();
    this._lastAgentEvent = new Map();
    this.num_events = 0;
    this.num_failures = 0;
    /** What the hooks cost the agents. */
    this.durations = new Durations();
  }

  /**
   * @param {string} hook
   * @param {any} event
   * @param {any} ctx
   * @returns {unknown} the guard's decision, for gate hooks
   */
  handle(hook, event, ctx) {
    const startedMs = performance.now();
    const decision = this._handle(hook, event, ctx);
    this.durations.add((performance.now() - startedMs) * 1000);
    return decision;
  }

  _handle(hook, event, ctx) {
    this.record(hook, event, ctx);
    if (hook === "llm_input") this._tell(() => this._labeller.onRun(event, ctx), "labels");
    else if (hook === "before_tool_call") this._tell(() => this._labeller.onToolCall(event), "labels");
    const ask = GUARDED[hook];
    if (ask === undefined) return undefined;
    try {
      return ask(this._guard, event ?? {}, ctx ?? {}, this._calls) ?? undefined;
    } catch (error) {
      this._fail(`guard in ${hook}`, error);
      return undefined;
    }
  }

  /** Put an event into the spool; also for our own: gap, guard_decision. */
  record(hook, event, ctx) {
    const at_us = this._clock();
    try {
      this.num_events += 1;
      this._recorder()?.record(hook, this._ballast.event(hook, event), this._ballast.ctx(ctx), at_us);
    } catch (error) {
      this._fail(hook, error);
    }
  }

  /** An event of OpenClaw's agent event stream; both instances of the plugin may get it. */
  onAgentEvent(event) {
    const { runId, seq, stream } = event ?? {};
    if (stream !== "lifecycle") return;
    const key = `${runId}|${stream}`;
    if (typeof seq === "number") {
      if ((this._lastAgentEvent.get(key) ?? -1) >= seq) return;
      remember(this._lastAgentEvent, key, seq);
    }
    this.record("agent_event", event, {});
    this._tell(() => this._guard.onLifecycle(event));
  }

  onDiagnostic(event) {
    this.record("diagnostic", event, {});
    if (event?.type !== "model.call.completed" || !event.usage) return;
    const { runId, sessionKey, sessionId, provider, model, usage, trace } = event;
    this._tell(() => this._guard.onUsage({ runId, sessionKey, sessionId, provider, model, usage, spanId: trace?.spanId }));
  }

  _tell(tell, where = "guard") {
    try {
      tell();
    } catch (error) {
      this._fail(where, error);
    }
  }

  _fail(where, error) {
    this.num_failures += 1;
    try {
      this._onProblem(`${where}: ${error?.message ?? error}`);
    } catch {
      // A log that fails must not reach the agent either.
    }
  }
}

/** @type {Record<string, (guard: any, event: any, ctx: any, calls: Map<string, any>) => unknown>} */
const GUARDED = {
  model_call_started: (guard, event, ctx) => void guard.onModelCallStarted(event, ctx),
  model_call_ended: (guard, event, ctx, calls) => {
    const { runId, sessionKey, sessionId, provider, model } = event;
    const key = sessionKey ?? ctx.sessionKey;
    if (key) remember(calls, key, { runId, sessionId, provider, model, spanId: ctx.trace?.spanId });
    guard.onModelCallEnded?.(event, ctx);
  },
  before_message_write: (guard, event, ctx, calls) => {
    const { message } = event;
    const sessionKey = event.sessionKey ?? ctx.sessionKey;
    if (message?.role === "assistant" && message.usage) {
      const call = calls.get(sessionKey) ?? {};
      guard.onUsage({
        runId: call.runId,
        sessionKey,
        sessionId: call.sessionId,
        provider: message.provider ?? call.provider,
        model: message.model ?? call.model,
        usage: message.usage,
        spanId: call.spanId,
      });
      // A second message without a call of its own must not be taken for the same call again.
      calls.delete(sessionKey);
    }
  },
  before_tool_call: (guard, event, ctx) => guard.beforeToolCall(event, ctx),
  after_tool_call: (guard, event, ctx) => void guard.onToolResult(event, ctx),
  before_agent_run: (guard, event, ctx) => guard.beforeAgentRun(event, ctx),
  before_agent_reply: (guard, event, ctx) => guard.beforeAgentReply(event, ctx),
  reply_payload_sending: (guard, event, ctx) => guard.onReplyPayloadSending(event, ctx),
  subagent_spawned: (guard, event, ctx) => void guard.onSubagentSpawned(event, ctx),
};

function remember(map, key, value) {
  map.delete(key);
  map.set(key, value);
  if (map.size > MAX_SESSIONS) map.delete(map.keys().next().value);
}

/** Microseconds since 1970 that rise: the wall clock has milliseconds only, the monotonic one drifts from it. */
function microsecondClock() {
  let offsetMs = Date.now() - performance.now();
  let setAtMs = performance.now();
  let last = 0;
  return () => {
    const nowMs = performance.now();
    if (nowMs - setAtMs > 10_000) {
      offsetMs = Date.now() - nowMs;
      setAtMs = nowMs;
    }
    last = Math.max(last, Math.round((offsetMs + nowMs) * 1000));
    // A clock that was set back by more than a second is followed, smaller steps are not.
    const now_us = Math.round((offsetMs + nowMs) * 1000);
    if (last - now_us > 1_000_000) last = now_us;
    return last;
  };
}
