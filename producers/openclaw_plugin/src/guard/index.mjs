/**
 * The guard as the plugin sees it: hook objects in, hook results out.
 *
 * Upstream: the plugin's hook handlers and the capture.
 * Downstream: the engine; the state file.
 * Guarantee: nothing here throws, waits for the network or touches the disk inside a hook: a throw or a slow answer in
 * a gate hook would block every agent.
 */

import { Engine } from "./engine.mjs";
import { restore, snapshot } from "./memory.mjs";
import { formatUsd } from "./money.mjs";
import { Store } from "./store.mjs";

export { connectGuard } from "./connect.mjs";

/**
 * @param {object} options
 * @param {{warn?: Function}} [options.log]
 * @param {() => number} [options.now] milliseconds, as Date.now
 * @param {(event: object, ctx: object) => void} [options.emitDecision]
 * @param {(sessionId: string) => unknown} [options.abortRun]
 * @param {(sessionKey: string, text: string) => unknown} [options.enqueueNote] puts a note before the next turn
 * @param {string} [options.stateFile]
 * @param {string} [options.posture] last, open or closed, until the server has said which
 */
export function createGuard({ log, now = Date.now, emitDecision, abortRun, enqueueNote, stateFile, posture } = {}) {
  let numErrors = 0;
  let lastError = "";
  let connection = { phase: "connecting", text: "" };
  const failed = (error) => {
    numErrors += 1;
    lastError = String(error?.message ?? error);
    try {
      log?.warn?.(`clawtrace guard: ${lastError}`);
    } catch {
      // The log is somebody else's; there is nowhere left to say it.
    }
  };
  /** Run it whatever happens; a promise that fails later fails here. */
  const contained = (work) => {
    try {
      const result = work();
      if (typeof result?.then === "function") result.then(undefined, failed);
      return result;
    } catch (error) {
      failed(error);
      return undefined;
    }
  };

  let store;
  const engine = new Engine({
    now,
    posture,
    emit: (event, ctx) => void contained(() => emitDecision?.(event, ctx)),
    abort: (sessionId) => void contained(() => abortRun?.(sessionId)),
    note: (sessionKey, text) => void contained(() => sessionKey && enqueueNote?.(sessionKey, text)),
    changed: () => store?.changed(),
  });
  store = new Store(stateFile, () => snapshot(engine), failed);
  contained(() => restore(engine, store.load()));

  return {
    applyState: (state) => contained(() => engine.applyState(state)) ?? false,
    applyVerdict: (verdict) => contained(() => engine.applyVerdict(verdict)) ?? false,
    setServerAway: (away) => void contained(() => engine.setServerAway(away)),
    /** What the connection is like, for people: connecting, connected, away, refused or no_guard, and a sentence. */
    setConnection: (phase, text) => void (connection = { phase, text }),
    onModelCallStarted: (event, ctx) =>
      void contained(() =>
        engine.modelCallStarted(idsOf(event, ctx), {
          spanId: ctx?.trace?.spanId,
          provider: event?.provider,
          model: event?.model,
        }),
      ),
    onModelCallEnded: (event, ctx) => void contained(() => engine.modelCallEnded(ctx?.trace?.spanId)),
    onUsage: (told) => void contained(() => engine.usage(idsOf(told, told), told ?? {})),
    beforeToolCall: (event, ctx) =>
      contained(() => {
        const result = engine.beforeToolCall(idsOf(event, ctx), event ?? {});
        // OpenClaw calls it long after this hook has returned.
        const resolve = result?.requireApproval?.onResolution;
        if (resolve) result.requireApproval.onResolution = (decision) => void contained(() => resolve(decision));
        return result;
      }),
    onToolResult: (event, ctx) => void contained(() => engine.toolResult(idsOf(event, ctx), event ?? {})),
    beforeAgentRun: (event, ctx) => contained(() => engine.beforeAgentRun(idsOf(event, ctx))),
    beforeAgentReply: (event, ctx) => contained(() => engine.beforeAgentReply(idsOf(event, ctx), ctx?.trigger)),
    onReplyPayloadSending: (event, ctx) =>
      contained(() => engine.replyPayloadSending(event?.runId ?? ctx?.runId, event?.payload, event?.kind)),
    onSubagentSpawned: (event, ctx) =>
      void contained(() =>
        engine.subagentSpawned({
          runId: event?.runId ?? ctx?.runId,
          childSessionKey: event?.childSessionKey ?? ctx?.childSessionKey,
          requesterSessionKey: ctx?.requesterSessionKey ?? event?.requesterSessionKey,
        }),
      ),
    onLifecycle: (event) =>
      void contained(() => {
        if (["end", "error"].includes(event?.data?.phase ?? event?.phase)) engine.runEnded(event.runId);
      }),
    status: () => contained(() => ({ ...statusOf(engine), connection, numErrors, lastError })) ?? { numErrors, lastError },
    /** Write the state file now; for the end of the process. */
    flush: () => contained(() => store.flush()) ?? Promise.resolve(),
  };
}

function idsOf(event, ctx) {
  const trace = ctx?.trace ?? event?.trace;
  return {
    runId: event?.runId ?? ctx?.runId,
    sessionKey: ctx?.sessionKey ?? event?.sessionKey,
    sessionId: ctx?.sessionId ?? event?.sessionId,
    agentId: ctx?.agentId ?? event?.agentId,
    toolCallId: event?.toolCallId ?? ctx?.toolCallId,
    traceId: trace?.traceId ?? event?.traceId,
    trace,
  };
}

function statusOf(engine) {
  const { policy } = engine.orders;
  const usd = (pico) => (pico === undefined ? null : formatUsd(pico));
  return {
    rev: engine.orders.rev,
    hasState: engine.orders.raw !== undefined,
    serverAway: engine.away,
    policy: {
      posture: policy.posture,
      action: policy.action,
      run_limit_usd: usd(policy.run),
      session_limit_usd: usd(policy.session),
      agent_day_limit_usd: usd(policy.day),
    },
    spentTodayUsd: usd(engine.meter.today(engine.now()).spent),
    numCalls: engine.meter.numCalls,
    numUnpriced: engine.meter.numUnpriced,
    numDecisions: engine.decisions.num,
    holds: [...engine.holds.byKey.values()].map(({ scope, scopeId, reason, expiresAtUs }) => ({
      scope,
      scopeId,
      reason,
      expiresAtUs,
    })),
    allowances: [...engine.allowances.byId.values()].map((item) => ({
      allowanceId: item.id,
      scope: item.scope,
      scopeId: item.scopeId,
      grantedUsd: usd(item.granted),
      drawnUsd: usd(item.drawn),
      expiresAtUs: item.expiresAtUs,
    })),
  };
}
