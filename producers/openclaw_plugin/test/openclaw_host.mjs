/**
 * Stands where OpenClaw stands: installs the plugin's packed files into a folder and calls its hooks.
 *
 * Upstream: tests.
 * Downstream: the plugin, as users get it; nothing of it is replaced.
 * Guarantee: the parts of OpenClaw used here behave as measured: two evaluations per process, hooks split over both.
 */

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";

export const PLUGIN = path.join(import.meta.dirname, "..");

const SDK = {
  "plugin-entry": "export const definePluginEntry = (entry) => entry;",
  "diagnostic-runtime":
    "export const onInternalDiagnosticEvent = (listener) => { globalThis.diagnosticListeners ??= []; globalThis.diagnosticListeners.push(listener); return () => {}; };",
  "agent-harness": "export const abortAgentHarnessRun = (id) => { (globalThis.aborted ??= []).push(id); };",
  "config-mutation": "export const mutateConfigFile = async ({ mutate }) => mutate(globalThis.openclawConfig);",
};

export function temporaryFolder(test) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "clawtrace-test-"));
  test.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Copy what `npm pack` would ship, beside an `openclaw` package that has what the plugin imports. */
export function install(folder) {
  const { files } = JSON.parse(fs.readFileSync(path.join(PLUGIN, "package.json"), "utf8"));
  const root = path.join(folder, "plugin");
  for (const name of [...files, "package.json"]) {
    fs.cpSync(path.join(PLUGIN, name), path.join(root, name), { recursive: true });
  }
  const host = path.join(folder, "node_modules/openclaw");
  fs.mkdirSync(host, { recursive: true });
  fs.writeFileSync(
    path.join(host, "package.json"),
    JSON.stringify({ name: "openclaw", type: "module", exports: { "./plugin-sdk/*": "./*.mjs" } }),
  );
  for (const [name, code] of Object.entries(SDK)) fs.writeFileSync(path.join(host, `${name}.mjs`), code);
  return path.join(root, "index.mjs");
}

let numEvaluations = 0;

export class Host {
  constructor({ entry, stateDir, pluginConfig = {}, config = {}, version = "2026.9.6" }) {
    this.entry = entry;
    /** OpenClaw's own config. */
    this.config = config;
    this.stateDir = stateDir;
    this.pluginConfig = pluginConfig;
    this.version = version;
    this.lines = [];
    this.services = [];
    this.disposers = [];
    this.subscriptions = [];
    this.notes = [];
    this.handlers = {};
  }

  /** Evaluate the plugin anew, as OpenClaw does for each instance. */
  async load(registrationMode) {
    numEvaluations += 1;
    const { default: plugin } = await import(`${pathToFileURL(this.entry)}?evaluation=${numEvaluations}`);
    const handlers = {};
    const log = (text) => void this.lines.push(String(text));
    plugin.register({
      registrationMode,
      pluginConfig: this.pluginConfig,
      logger: { info: log, warn: log, error: log },
      runtime: { version: this.version, state: { resolveStateDir: () => this.stateDir }, config: { current: () => this.config } },
      on: (hook, handler) => void (handlers[hook] = handler),
      registerCli: () => {},
      registerService: (service) => void this.services.push(service),
      agent: { events: { registerAgentEventSubscription: (subscription) => void this.subscriptions.push(subscription) } },
      session: {
        workflow: {
          // As measured: every instance has it, only the gateway's does anything.
          enqueueNextTurnInjection: async (injection) => {
            const enqueued = registrationMode === "full";
            if (enqueued) this.notes.push(injection);
            return { enqueued, id: "", sessionKey: injection.sessionKey };
          },
        },
      },
      lifecycle: { onDispose: (dispose) => void this.disposers.push(dispose) },
    });
    // Later registrations serve the hooks of agents, as measured.
    Object.assign(this.handlers, handlers);
    return handlers;
  }

  call(hook, event, ctx) {
    return this.handlers[hook]?.(event, ctx);
  }
}

/** Lines of a captured scenario. */
export function captured(scenario) {
  for (const folder of ["producers/replay/captures", "tests/data/openclaw-hooks"]) {
    const file = path.join(PLUGIN, "../..", folder, `${scenario}.jsonl`);
    if (fs.existsSync(file)) return fs.readFileSync(file, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }
  throw new Error(`no capture ${scenario}`);
}

export function scenarios() {
  return ["producers/replay/captures", "tests/data/openclaw-hooks"].flatMap((folder) =>
    fs
      .readdirSync(path.join(PLUGIN, "../..", folder))
      .filter((name) => name.endsWith(".jsonl"))
      .map((name) => name.slice(0, -".jsonl".length)),
  );
}

/** Wait until something holds, with a deadline. */
export async function until(holds, what, withinMs = 10_000) {
  const deadlineMs = Date.now() + withinMs;
  for (;;) {
    const value = await holds();
    if (value) return value;
    if (Date.now() > deadlineMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
