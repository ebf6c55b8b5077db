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
  await until(() => gateway.events.length >= known.length, "all events at the gateway");
  assert.deepEqual(gateway.problems, []);
  assert.deepEqual(
    gateway.events.map(({ hook }) => hook),
    known.map(({ hook }) => hook),
  );
  assert.equal(gateway.spools.size, 1);
  const seqs = gateway.events.map(({ seq }) => seq);
  assert.deepEqual(seqs, Array.from(seqs, (_, index) => index + 1));
});
