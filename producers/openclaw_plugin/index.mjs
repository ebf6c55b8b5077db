/**
 * The plugin as OpenClaw loads it.
 *
 * Upstream: OpenClaw 2026.9 evaluates this file once per instance (gateway, and "discovery" for the agents).
 * Downstream: `src/process_state.mjs`, the same for all instances of a process.
 * Guarantee: registering touches no network and opens no file; no handler throws; what this OpenClaw lacks is said
 * once, and the rest works.
 */

import { definePluginEntry } from "openclaw/plugin-sdk/plugin-entry";

import { registerCommands } from "./src/cli.mjs";
import { CAPTURED_HOOKS, DIAGNOSTIC_TYPES } from "./src/hooks.mjs";
import { processState } from "./src/process_state.mjs";
import { homeFolder, readSettings } from "./src/settings.mjs";

const OLDEST_HOST = [2026, 9];
const LOCAL_FLUSH_MS = 3_000;
const STOP_FLUSH_MS = 10_000;
const LEFTOVERS_MS = 60_000;

export default definePluginEntry({
  id: "clawtrace",
  name: "ClawTrace",
  description: "Records every run of your agents for ClawTrace, and stops them when they spend more than they may.",
  register(api) {
    registerCommands(api);
    if (api.registrationMode === "cli-metadata" || api.registrationMode === "setup-only") return;
    const state = processState();
    const stateDir = attempt(() => api.runtime.state.resolveStateDir());
    const hostVersion = attempt(() => api.runtime.version) ?? "";
    state.configure({
      settings: readSettings(api.pluginConfig),
      home: homeFolder(stateDir),
      hostVersion: String(hostVersion).slice(0, 64),
      log: api.logger,
    });
    state.host.config = () => attempt(() => api.runtime.config.current()) ?? api.config;
    if (isTooOld(hostVersion)) {
      state.sayOnce(`clawtrace: this is OpenClaw ${hostVersion}; ClawTrace needs 2026.9 or newer and may miss events`);
    }
    registerHooks(api, state);
    subscribe(api, state);
    registerLife(api, state);
  },
});

function registerHooks(api, state) {
  const missing = [];
  for (const hook of CAPTURED_HOOKS) {
    try {
      api.on(hook, handlerOf(hook, state));
    } catch {
      missing.push(hook);
    }
  }
  if (missing.length > 0) state.sayOnce(`clawtrace: this OpenClaw has no hooks ${missing.join(", ")}; they are not recorded`);
}

function handlerOf(hook, state) {
  if (hook === "gateway_start") {
    return (event, ctx) => {
      state.isGateway = true;
      return state.capture.handle(hook, event, ctx);
    };
  }
  if (hook !== "agent_end") return (event, ctx) => state.capture.handle(hook, event, ctx);
  return (event, ctx) => {
    state.capture.handle(hook, event, ctx);
    // With --local the process ends soon after this, and waits for this promise.
    return flushLocal(state);
  };
}

function subscribe(api, state) {
  const subscription = {
    id: "clawtrace-lifecycle",
    description: "How each run ended",
    streams: ["lifecycle"],
    handle: (event) => state.capture.onAgentEvent(event),
  };
  try {
    if (api.agent?.events?.registerAgentEventSubscription) api.agent.events.registerAgentEventSubscription(subscription);
    else api.registerAgentEventSubscription(subscription);
  } catch (error) {
    state.sayOnce(`clawtrace: no agent events from this OpenClaw (${error.message}); runs end by their last hook`);
  }
  if (!state.subscriptions.wasTried) {
    state.subscriptions.wasTried = true;
    void subscribeDiagnostics(state);
    void findAbort(state);
  }
  attempt(() => openNoteDoor(api, state));
}

/** Only the instance of the gateway may queue a note; the others are refused without a word. */
function openNoteDoor(api, state) {
  const enqueue = api.session?.workflow?.enqueueNextTurnInjection ?? api.enqueueNextTurnInjection;
  const isFull = api.registrationMode === "full";
  if (!enqueue || (state.host.hasFullNoteDoor && !isFull)) return;
  state.host.hasFullNoteDoor = isFull;
  state.host.enqueueNote = async (sessionKey, text) => {
    const { enqueued } = await enqueue({ sessionKey, text, placement: "prepend_context" });
    if (!enqueued) state.sayOnce("clawtrace: OpenClaw did not take a note of the guard; agents are not told of it");
  };
}

/** Trusted events are meant for authorised consumers: best effort. The hooks alone are enough to count tokens. */
async function subscribeDiagnostics(state) {
  try {
    const { onInternalDiagnosticEvent } = await import("openclaw/plugin-sdk/diagnostic-runtime");
    const wanted = new Set(DIAGNOSTIC_TYPES);
    const listen = (event) => {
      if (wanted.has(event?.type)) state.capture.onDiagnostic(event);
    };
    state.subscriptions.diagnostics = onInternalDiagnosticEvent(listen, { include: DIAGNOSTIC_TYPES });
  } catch (error) {
    state.sayOnce(`clawtrace: no diagnostic events from this OpenClaw (${error.message}); compactions stay unpriced`);
  }
}

async function findAbort(state) {
  try {
    const { abortAgentHarnessRun } = await import("openclaw/plugin-sdk/agent-harness");
    state.host.abortRun = (sessionId) => abortAgentHarnessRun(sessionId);
  } catch (error) {
    state.sayOnce(`clawtrace: this OpenClaw cannot abort runs (${error.message}); the guard can only block`);
  }
}

function registerLife(api, state) {
  attempt(() =>
    api.registerService({
      id: "clawtrace",
      start() {
        state.isGateway = true;
        state.warmUp();
        void state.sendLeftovers(LEFTOVERS_MS).catch(nothing);
      },
      // Not the end of the parts: the same process goes on after a reload of the plugin.
      stop: () => state.flush(STOP_FLUSH_MS).then(nothing, nothing),
    }),
  );
  // An instance ends after each agent run; only in --local is that the end of the process too.
  attempt(() => api.lifecycle?.onDispose?.(() => flushLocal(state)));
}

/** All waits of a process without a gateway together take no longer than LOCAL_FLUSH_MS, unless what was sent arrived. */
async function flushLocal(state) {
  if (state.isGateway) return;
  const startedMs = Date.now();
  const leftMs = LOCAL_FLUSH_MS - (state.localWaitMs ?? 0);
  const hasArrived = await state.flush(Math.max(0, leftMs)).catch(nothing);
  state.localWaitMs = hasArrived ? 0 : (state.localWaitMs ?? 0) + Date.now() - startedMs;
}

function isTooOld(version) {
  const [year, month] = String(version).split(".").map(Number);
  if (!Number.isFinite(year) || !Number.isFinite(month)) return false;
  return year < OLDEST_HOST[0] || (year === OLDEST_HOST[0] && month < OLDEST_HOST[1]);
}

function attempt(work) {
  try {
    return work();
  } catch {
    return undefined;
  }
}

function nothing() {}
