/** The plugin as OpenClaw loads it: two instances, one spool, everything arrives once. */

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";

import { GatewayServer, KEY } from "./gateway_server.mjs";
import { Host, captured, install, temporaryFolder, until } from "./openclaw_host.mjs";

const SYMBOL = Symbol.for("clawtrace.v1");

async function start(t, pluginConfig = {}) {
  const folder = temporaryFolder(t);
  const gateway = await GatewayServer.start(t);
  const host = new Host({
    entry: install(folder),
    stateDir: path.join(folder, "state"),
    pluginConfig: { endpoint: gateway.url, observeKey: KEY, ...pluginConfig },
  });
  t.after(() => {
    globalThis[SYMBOL]?.close();
    delete globalThis[SYMBOL];
  });
  return { folder, gateway, host };
}

test("every captured hook call arrives once, in order, over two instances", async (t) => {
  const { gateway, host } = await start(t);
  const full = await host.load("full");
  const discovery = await host.load("discovery");
  for (const service of host.services.slice(0, 1)) service.start();
  const lines = captured("subagent");
  lines.forEach(({ hook, event, ctx }, index) => {
    const handler = (index % 2 ? full : discovery)[hook];
    const result = handler?.(event, ctx);
    assert.ok(result === undefined || typeof result?.then === "function", `${hook} returned ${result}`);
  });
  const known = lines.filter(({ hook }) => full[hook]);
  await globalThis[SYMBOL].flush(10_000);
  assert.deepEqual(gateway.problems, []);
  assert.deepEqual(
    gateway.hookEvents.map(({ hook }) => hook),
    known.map(({ hook }) => hook),
  );
  assert.equal(gateway.spools.size, 1);
  const seqs = gateway.events.map(({ seq }) => seq);
  assert.deepEqual(seqs, Array.from(seqs, (_, index) => index + 1));
});

test("an agent event that both instances get is recorded once", async (t) => {
  const { gateway, host } = await start(t);
  await host.load("full");
  await host.load("discovery");
  const event = { runId: "r", seq: 3, stream: "lifecycle", ts: 1, data: { phase: "end", executionSettled: true } };
  for (const { handle } of host.subscriptions) handle(event);
  for (const { handle } of host.subscriptions) handle({ ...event, seq: 2, data: { phase: "start" } });
  host.call("session_start", { sessionId: "s", sessionKey: "k" }, {});
  await until(() => gateway.events.length >= 2, "two events");
  assert.deepEqual(gateway.events.map(({ hook }) => hook), ["agent_event", "session_start"]);
  assert.deepEqual(gateway.events[0].event, event);
});

test("wanted diagnostic events are recorded, once for both instances", async (t) => {
  delete globalThis.diagnosticListeners;
  const { gateway, host } = await start(t);
  await host.load("full");
  await host.load("discovery");
  await until(() => globalThis.diagnosticListeners?.length, "the subscription");
  assert.equal(globalThis.diagnosticListeners.length, 1);
  const trace = { traceId: "t".repeat(32), spanId: "s".repeat(16) };
  for (const type of ["gateway.rpc", "model.call.completed"]) {
    globalThis.diagnosticListeners[0]({ type, runId: "r", trace, usage: { input: 1, output: 2 } }, { trusted: true });
  }
  await until(() => gateway.events.length === 1, "the event");
  assert.deepEqual([gateway.events[0].hook, gateway.events[0].event.trace], ["diagnostic", trace]);
});

test("a note is queued by the instance that may, and a refusal is said once", async (t) => {
  const { host } = await start(t);
  await host.load("full");
  await host.load("discovery");
  await globalThis[SYMBOL].host.enqueueNote("agent:main:main", "finish soon");
  assert.deepEqual(host.notes, [{ sessionKey: "agent:main:main", text: "finish soon", placement: "prepend_context" }]);
  globalThis[SYMBOL].close();
  delete globalThis[SYMBOL];
  await host.load("discovery");
  for (const text of ["one", "two"]) await globalThis[SYMBOL].host.enqueueNote("agent:main:main", text);
  assert.equal(host.notes.length, 1);
  assert.equal(host.lines.filter((line) => line.includes("did not take a note")).length, 1);
});

test("a throw inside of our code reaches nobody", async (t) => {
  const { host } = await start(t);
  await host.load("full");
  const state = globalThis[SYMBOL];
  const broken = () => {
    throw new Error("injected");
  };
  state.capture._recorder = broken;
  state.capture._guard = new Proxy({}, { get: () => broken });
  for (const { hook, event, ctx } of captured("multi-tool")) {
    const result = await host.call(hook, event, ctx);
    assert.equal(result, undefined, hook);
  }
  const hostile = new Proxy({}, { get: broken, ownKeys: broken });
  for (const hook of Object.keys(host.handlers)) assert.equal(await host.call(hook, hostile, hostile), undefined, hook);
  assert.ok(state.capture.num_failures > 50);
  assert.ok(host.lines.length < 60, "said once each");
});

test("a folder that cannot be used is said once, and the agent goes on", async (t) => {
  const { folder, host } = await start(t);
  const { writeFileSync } = await import("node:fs");
  writeFileSync(path.join(folder, "state"), "a file where a folder should be");
  await host.load("full");
  for (const { hook, event, ctx } of captured("simple")) assert.equal(await host.call(hook, event, ctx), undefined);
  assert.equal(host.lines.filter((line) => line.includes("nothing can be recorded")).length, 1);
});

test("big events keep their place among the small ones", async (t) => {
  const { gateway, host } = await start(t);
  await host.load("full");
  const big = { toolName: "exec", toolCallId: "c", runId: "r", params: {}, result: { content: [{ type: "text", text: "b".repeat(300_000) }], details: {} } };
  for (let index = 0; index < 5; index += 1) {
    host.call("session_start", { sessionId: String(index) }, {});
    host.call("after_tool_call", big, {});
  }
  await until(() => gateway.events.length === 10, "ten events");
  const hooks = gateway.events.map(({ hook }) => hook);
  assert.deepEqual(hooks, Array.from({ length: 10 }, (_, index) => (index % 2 ? "after_tool_call" : "session_start")));
  assert.equal(gateway.blobs.size, 1);
});

test("an object that OpenClaw changes after the hook is recorded as it was", async (t) => {
  const { gateway, host } = await start(t);
  await host.load("full");
  const params = { text: "c".repeat(50_000), mark: "before" };
  host.call("before_tool_call", { toolName: "x", runId: "r", toolCallId: "c", params }, {});
  params.mark = "after";
  await until(() => gateway.events.length === 1, "the event");
  assert.equal(gateway.events[0].event.params.mark, "before");
});

test("new settings are taken over while running: another address, less capture", async (t) => {
  const { gateway, host } = await start(t, { observeKey: "wrong" });
  await host.load("full");
  host.call("before_agent_reply", { cleanedBody: "one" }, { runId: "r" });
  const state = globalThis[SYMBOL];
  await until(() => state.status().sender.phase === "refused", "the refusal");
  host.pluginConfig = { endpoint: gateway.url, observeKey: KEY, capture: { prompts: "off" } };
  await host.load("full");
  host.call("before_agent_reply", { cleanedBody: "two" }, { runId: "r" });
  await until(() => gateway.events.length === 2, "both events");
  assert.deepEqual(gateway.events.map(({ event }) => event.cleanedBody), ["one", "[not captured]"]);
});

test("metadata only: nothing is registered, no state is made", async (t) => {
  const { host } = await start(t);
  const handlers = await host.load("cli-metadata");
  assert.deepEqual(handlers, {});
  assert.equal(globalThis[SYMBOL], undefined);
});

test("an older OpenClaw is told once what it lacks", async (t) => {
  const { host } = await start(t);
  host.version = "2026.8.1";
  await host.load("full");
  await host.load("discovery");
  assert.equal(host.lines.filter((line) => line.includes("needs 2026.9")).length, 1);
});
