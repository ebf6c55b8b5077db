/**
 * `openclaw clawtrace setup`: from an endpoint and a key to an event that has arrived.
 *
 * Upstream: `cli.mjs`; flags, environment, or questions at a terminal.
 * Downstream: OpenClaw's config file; the gateway.
 * Guarantee: the config is written only with an address and a key; the last sentence says whether the test event
 * arrived, and if not, why and what to do.
 */

import { randomUUID } from "node:crypto";
import readline from "node:readline/promises";

import { VERSION } from "./settings.mjs";

const TEST_TIMEOUT_MS = 15_000;

/** @returns {Promise<boolean>} whether the test event arrived */
export async function runSetup(options, context) {
  const { settings, say } = context;
  const current = settings();
  const asked = await ask(
    {
      endpoint: options.endpoint ?? process.env.CLAWTRACE_ENDPOINT,
      key: options.key ?? process.env.CLAWTRACE_KEY,
    },
    current,
  );
  const apiOptions = {
    api: (options.api ?? process.env.CLAWTRACE_API ?? current.api).trim().replace(/\/+$/, ""),
    readKey: (options.readKey ?? process.env.CLAWTRACE_READ_KEY ?? "").trim(),
  };
  const problem = problemOf(asked) || apiProblemOf(apiOptions);
  if (problem) {
    say(problem);
    return false;
  }
  const endpoint = asked.endpoint.replace(/\/+$/, "");
  await writeConfig({ endpoint, observeKey: asked.key }, apiOptions, context);
  say("OpenClaw's config is set: endpoint, observe key, and access to conversations (needed to see runs whole).");
  if (apiOptions.readKey) say(`Agents get the tools of the MCP server ${apiOptions.api}/mcp.`);
  const { hasArrived, text } = await sendTestEvent(endpoint, asked.key);
  say(text);
  if (hasArrived) say("A running gateway takes the new settings over by itself. See: openclaw clawtrace status");
  return hasArrived;
}

async function ask({ endpoint, key }, current) {
  if (endpoint && key) return { endpoint: endpoint.trim(), key: key.trim() };
  if (!process.stdin.isTTY) return { endpoint: endpoint ?? current.endpoint, key: key ?? current.observeKey };
  const terminal = readline.createInterface({ input: process.stdin, output: process.stdout });
  try {
    const answers = { endpoint, key };
    const known = current.endpoint ? ` [${current.endpoint}]` : "";
    answers.endpoint ??= (await terminal.question(`Address of your ClawTrace gateway${known}: `)) || current.endpoint;
    const kept = current.observeKey ? " [keep the one that is set]" : "";
    answers.key ??= (await terminal.question(`Observe key${kept}: `)) || current.observeKey;
    return { endpoint: answers.endpoint.trim(), key: answers.key.trim() };
  } finally {
    terminal.close();
  }
}

function problemOf({ endpoint, key }) {
  if (!endpoint) return "No endpoint. Give --endpoint, or set CLAWTRACE_ENDPOINT.";
  if (!/^https?:\/\/[^/\s]+/.test(endpoint)) return `${endpoint} is no address; it begins with http:// or https://.`;
  if (!key) return "No observe key. Give --key, or set CLAWTRACE_KEY. Make one with: clawtrace keys create --agent <name>";
  if (/\s/.test(key)) return "The observe key has a space in it; copy it again.";
  return "";
}

function apiProblemOf({ api, readKey }) {
  if (api && !/^https?:\/\/[^/\s]+/.test(api)) return `${api} is no address; it begins with http:// or https://.`;
  if (readKey && !api) return "A read key is of use only with the API that it is for. Give --api, or set CLAWTRACE_API.";
  if (/\s/.test(readKey)) return "The read key has a space in it; copy it again.";
  return "";
}

async function writeConfig(given, { api, readKey }, context) {
  const write = await configWriter(context.api);
  await write({
    // The gateway sees the change in the file and reloads the plugin by itself.
    afterWrite: { mode: "auto" },
    mutate(draft) {
      draft.plugins ??= {};
      draft.plugins.entries ??= {};
      const entry = (draft.plugins.entries.clawtrace ??= {});
      entry.enabled = true;
      entry.hooks = { ...entry.hooks, allowConversationAccess: true };
      entry.config = { ...entry.config, ...given, ...(api && { api }) };
      if (!readKey) return;
      draft.mcp ??= {};
      draft.mcp.servers ??= {};
      const headers = { Authorization: `Bearer ${readKey}` };
      // Not in the manifest: what stands there is started for everybody, also where there is no API to talk to.
      draft.mcp.servers.clawtrace = { url: `${api}/mcp`, transport: "streamable-http", headers };
    },
  });
}

async function configWriter(api) {
  try {
    const { mutateConfigFile } = api.runtime.config;
    if (typeof mutateConfigFile === "function") return (change) => api.runtime.config.mutateConfigFile(change);
  } catch {
    // Commands may be registered without the runtime; the same function has a door of its own.
  }
  try {
    return (await import("openclaw/plugin-sdk/config-mutation")).mutateConfigFile;
  } catch {
    throw new Error(
      "this OpenClaw cannot be set up by a plugin; run these instead:\n" +
        "  openclaw config set plugins.entries.clawtrace.hooks.allowConversationAccess true\n" +
        `  openclaw config set plugins.entries.clawtrace.config '{"endpoint": "…", "observeKey": "…"}' --strict-json`,
    );
  }
}

/**
 * @param {string} endpoint
 * @param {string} key
 * @returns {Promise<{hasArrived: boolean, text: string}>}
 */
export async function sendTestEvent(endpoint, key) {
  const event = { event: { type: "clawtrace.setup", version: VERSION }, ctx: {} };
  const body = JSON.stringify({
    schema_version: 1,
    source: { name: "clawtrace-setup", version: VERSION },
    // A spool of its own: the number must not meet one of the real spool.
    spool_id: randomUUID(),
    events: [{ seq: 1, at_us: Date.now() * 1000, hook: "diagnostic", ...event }],
  });
  let response;
  try {
    response = await fetch(`${endpoint}/v1/events`, {
      method: "POST",
      body,
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      redirect: "manual",
      signal: AbortSignal.timeout(TEST_TIMEOUT_MS),
    });
  } catch (error) {
    const reason = error?.cause?.code ?? error?.name;
    return { hasArrived: false, text: `The test event did not arrive: nobody answers at ${endpoint} (${reason}).` };
  }
  return judge(response.status, await response.text().catch(() => ""), endpoint);
}

function judge(status, text, endpoint) {
  let answer = {};
  try {
    answer = JSON.parse(text);
  } catch {
    // Something else than our gateway may say anything.
  }
  if (status === 202 && answer.accepted === 1) return { hasArrived: true, text: "The test event arrived. ClawTrace is recording." };
  const why = answer.detail ?? answer.title ?? "";
  const said = `${status}${why ? `: ${why}` : ""}`;
  if (status === 401 || status === 403) {
    return { hasArrived: false, text: `The test event did not arrive: the observe key was refused (${said}).` };
  }
  if (status === 429 || status === 503) {
    return { hasArrived: false, text: `The test event did not arrive: the gateway is there but cannot take events now (${said}). Events will wait.` };
  }
  return { hasArrived: false, text: `The test event did not arrive: ${endpoint} answered ${said}. Is it the address of a ClawTrace gateway?` };
}
