/**
 * A guard in a small stand-in for an OpenClaw process: runs, model calls and tool calls by their hooks, in the order
 * that captures show.
 *
 * Upstream: tests of the guard.
 * Downstream: the guard.
 * Guarantee: calls the guard only as the plugin does.
 */

import { createGuard } from "../src/guard/index.mjs";

export const PRICES = [
  {
    provider: "fake",
    model: "sim-1",
    input_usd_per_mtok: "3",
    output_usd_per_mtok: "15",
    cache_read_usd_per_mtok: "0.30",
    cache_write_usd_per_mtok: "3.75",
  },
];
/** What CALL costs by those prices. */
export const CALL_USD = 0.006675;
export const CALL = { input: 2000, output: 45, cacheRead: 0, cacheWrite: 0 };

export function stateOf(policy = {}, rest = {}) {
  const limits = { run_limit_usd: null, session_limit_usd: null, agent_day_limit_usd: null };
  const base = { posture: "last", action: "abort", ...limits };
  return { rev: 7, policy: { ...base, ...policy }, prices: PRICES, allowances: [], verdicts: [], ...rest };
}

export class StandIn {
  constructor(options = {}) {
    this.nowMs = 1_795_000_000_000;
    this.decisions = [];
    this.aborted = [];
    this.notes = [];
    this.numSpans = 0;
    this.numTools = 0;
    this.guard = createGuard({
      now: () => this.nowMs,
      emitDecision: (event, ctx) => this.decisions.push({ event, ctx }),
      abortRun: (sessionId) => this.aborted.push(sessionId),
      enqueueNote: (sessionKey, text) => this.notes.push({ sessionKey, text }),
      ...options,
    });
  }

  run(name, { sessionKey = `agent:main:${name}`, traceId = `trace-${name}`, trigger = "user" } = {}) {
    return new Run(this, { runId: `run-${name}`, sessionKey, sessionId: `sid-${sessionKey}`, traceId, trigger });
  }

  actions() {
    return this.decisions.map(({ event }) => event.action);
  }
}

export class Run {
  constructor(process, { runId, sessionKey, sessionId, traceId, trigger }) {
    this.process = process;
    this.guard = process.guard;
    this.ids = { runId, sessionKey, sessionId };
    this.traceId = traceId;
    this.ctx = { ...this.ids, agentId: "main", trigger, trace: { traceId, spanId: `harness-${runId}` } };
  }

  get isAborted() {
    return this.process.aborted.includes(this.ids.sessionId);
  }

  begin() {
    const { trace: _, ...untraced } = this.ctx;
    return this.guard.beforeAgentReply({ cleanedBody: "hi" }, untraced) ?? this.guard.beforeAgentRun({ prompt: "hi" }, this.ctx);
  }

  startCall(model = "sim-1") {
    const spanId = `span-${this.process.numSpans++}`;
    const event = { ...this.ids, callId: "1", provider: "fake", model };
    const ctx = { ...this.ids, trace: { traceId: this.traceId, spanId } };
    this.guard.onModelCallStarted(event, ctx);
    return { spanId, event, ctx };
  }

  /** The call ends; its usage is told by the message and by the diagnostic event, as in the real process. */
  endCall({ spanId, event, ctx }, usage = CALL, { told = ["message", "diagnostic"] } = {}) {
    this.guard.onModelCallEnded({ ...event, outcome: "completed" }, ctx);
    const { sessionKey } = this.ids;
    const { provider, model } = event;
    for (const by of told) {
      if (by === "message") this.guard.onUsage({ sessionKey, provider, model, usage });
      else this.guard.onUsage({ ...this.ids, provider, model, usage, spanId, traceId: this.traceId });
    }
  }

  call(usage = CALL, model = "sim-1") {
    this.endCall(this.startCall(model), usage);
  }

  tool(params = { command: "echo poll" }, { result = "poll", error } = {}) {
    const event = { toolName: "exec", params, runId: this.ids.runId, toolCallId: `call-${this.process.numTools++}` };
    const answer = this.guard.beforeToolCall(event, { ...this.ctx, toolCallId: event.toolCallId });
    const { trace: _, ...untraced } = this.ctx;
    const failed = answer?.block ? answer.blockReason : error;
    this.guard.onToolResult(
      { ...event, result: { content: [{ type: "text", text: result }] }, ...(failed && { error: failed }) },
      untraced,
    );
    return answer;
  }

  spawn(name) {
    const sessionKey = `agent:main:subagent:${name}`;
    this.guard.onSubagentSpawned(
      { runId: `run-${name}`, childSessionKey: sessionKey, agentId: "main" },
      { runId: `run-${name}`, childSessionKey: sessionKey, requesterSessionKey: this.ids.sessionKey },
    );
    return this.process.run(name, { sessionKey, traceId: this.traceId });
  }

  end() {
    this.guard.onLifecycle({ runId: this.ids.runId, stream: "lifecycle", data: { phase: "end" } });
  }
}
