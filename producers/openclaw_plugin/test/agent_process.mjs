/**
 * A process of its own that runs the plugin on captured hooks; tests kill it.
 *
 * Upstream: `process.test.mjs` forks it with {entry, stateDir, pluginConfig, scenario, mode}.
 * Downstream: the plugin.
 * Guarantee: says after each call how many events were recorded, then what it was told to do at the end.
 */

import { Host, captured } from "./openclaw_host.mjs";

async function main(argument) {
  const { entry, stateDir, pluginConfig, scenario, mode, rounds = 1 } = JSON.parse(argument);
  const host = new Host({ entry, stateDir, pluginConfig });
  await host.load("full");
  await host.load("discovery");
  const state = globalThis[Symbol.for("clawtrace.v1")];
  if (mode !== "local") host.services[0].start();
  for (let round = 0; round < rounds; round += 1) {
    for (const { hook, event, ctx } of captured(scenario)) {
      const result = host.call(hook, event, ctx);
      if (mode === "local") await result;
      process.send?.({ num: state.capture.num_events });
      if (mode === "slow") await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
  if (mode === "local") for (const dispose of host.disposers) await dispose();
  if (mode === "stay" || mode === "slow") {
    process.send?.({ done: true });
    setInterval(() => {}, 1_000);
  } else {
    process.disconnect?.();
  }
}

// The test runner opens every file of this folder.
if (process.argv[2]) await main(process.argv[2]);
