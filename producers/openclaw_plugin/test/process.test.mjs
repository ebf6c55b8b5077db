/** The plugin over the life of processes: killed, restarted, several at once, with and without a gateway. */

import assert from "node:assert/strict";
import { fork } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { takeLock } from "../src/spool_lock.mjs";
import { GatewayServer, KEY } from "./gateway_server.mjs";
import { captured, install, temporaryFolder, until } from "./openclaw_host.mjs";
import { CAPTURED_HOOKS } from "../src/hooks.mjs";

const AGENT = path.join(import.meta.dirname, "agent_process.mjs");

async function place(t) {
  const folder = temporaryFolder(t);
  const gateway = await GatewayServer.start(t);
  const entry = install(folder);
  const stateDir = path.join(folder, "state");
  const run = (options) => {
    const pluginConfig = { endpoint: gateway.url, observeKey: KEY };
    const child = fork(AGENT, [JSON.stringify({ entry, stateDir, pluginConfig, ...options })], { silent: true });
    child.num = 0;
    child.on("message", ({ num, done }) => {
      child.num = num ?? child.num;
      child.isDone = child.isDone || done === true;
    });
    child.hasEnded = new Promise((resolve) => child.on("exit", (code, signal) => resolve({ code, signal })));
    t.after(() => child.kill("SIGKILL"));
    return child;
  };
  return { folder, gateway, stateDir, run };
}

const numCaptured = (scenario) => captured(scenario).filter(({ hook }) => CAPTURED_HOOKS.includes(hook)).length;

test("--local: the process ends by itself, with everything at the gateway", async (t) => {
  const { gateway, run } = await place(t);
  const child = run({ scenario: "local-cli", mode: "local" });
  assert.deepEqual(await child.hasEnded, { code: 0, signal: null });
  assert.equal(gateway.hookEvents.length, numCaptured("local-cli"));
  assert.deepEqual(gateway.problems, []);
});

test("--local without a gateway: the process still ends, and the next run brings everything", async (t) => {
  const { gateway, run } = await place(t);
  const { port } = gateway;
  await gateway.stop();
  const startedMs = Date.now();
  assert.equal((await run({ scenario: "simple", mode: "local" }).hasEnded).code, 0);
  assert.ok(Date.now() - startedMs < 6_000, "three seconds of waiting in all");
  await gateway.listen(port);
  assert.equal((await run({ scenario: "simple", mode: "local" }).hasEnded).code, 0);
  assert.equal(gateway.hookEvents.length, 2 * numCaptured("simple"));
  assert.equal(gateway.spools.size, 1);
  assert.deepEqual(gateway.problems, []);
});

test("killed with -9 in the middle of a run: every event that a hook was called for arrives, once", async (t) => {
  const { gateway, run } = await place(t);
  const { port } = gateway;
  await gateway.stop();
  const child = run({ scenario: "multi-tool", mode: "slow", rounds: 50 });
  await until(() => child.num > 60, "sixty hooks");
  child.kill("SIGKILL");
  await child.hasEnded;
  const numAtLeast = child.num;
  await gateway.listen(port);
  const second = run({ scenario: "simple", mode: "stay" });
  await until(() => second.isDone, "the second process");
  const numSecond = numCaptured("simple");
  await until(() => gateway.events.length >= numAtLeast + numSecond, "all events of both");
  assert.deepEqual(gateway.problems, []);
  assert.equal(gateway.spools.size, 1);
  const seqs = gateway.events.map(({ seq }) => seq);
  assert.deepEqual(seqs, Array.from(seqs, (_, index) => index + 1));
});

test("two processes of one install at a time use two spools, and lose nothing", async (t) => {
  const { gateway, run } = await place(t);
  const first = run({ scenario: "subagent", mode: "stay" });
  await until(() => first.isDone, "the first process");
  const second = run({ scenario: "multi-tool", mode: "stay" });
  await until(() => second.isDone, "the second process");
  await until(() => gateway.hookEvents.length === numCaptured("subagent") + numCaptured("multi-tool"), "all events");
  assert.equal(gateway.spools.size, 2);
  assert.deepEqual(gateway.problems, []);
});

test("what a second spool still holds is sent after the next start", async (t) => {
  const { gateway, run } = await place(t);
  const { port } = gateway;
  await gateway.stop();
  const children = [run({ scenario: "simple", mode: "stay" })];
  await until(() => children[0].isDone, "the first process");
  children.push(run({ scenario: "simple", mode: "stay" }));
  await until(() => children[1].isDone, "the second process");
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(children.map((child) => child.hasEnded));
  await gateway.listen(port);
  run({ scenario: "simple", mode: "stay" });
  await until(() => gateway.hookEvents.length === 3 * numCaptured("simple"), "the events of all three");
  assert.equal(gateway.spools.size, 2);
});

test("the spool is readable by its owner only", async (t) => {
  const { stateDir, run } = await place(t);
  await run({ scenario: "simple", mode: "local" }).hasEnded;
  const spool = path.join(stateDir, "clawtrace/spool");
  assert.equal(fs.statSync(spool).mode & 0o077, 0);
  for (const name of fs.readdirSync(spool)) assert.equal(fs.statSync(path.join(spool, name)).mode & 0o077, 0, name);
});

test("a lock is held by one, freed by release, and taken over from the dead", async (t) => {
  const folder = temporaryFolder(t);
  const lock = takeLock(folder);
  assert.ok(lock);
  assert.equal(takeLock(folder), null);
  lock.release();
  const child = fork(AGENT, ["{}"], { silent: true });
  await new Promise((resolve) => child.on("exit", resolve));
  // A dead process; and one whose id lives again in another process.
  for (const dead of [
    { pid: child.pid, started: "" },
    { pid: process.pid, started: "another boot:1" },
    { pid: 1, started: "another boot:1" },
  ]) {
    fs.writeFileSync(path.join(folder, "lock"), JSON.stringify(dead));
    const taken = takeLock(folder);
    assert.ok(taken, JSON.stringify(dead));
    taken.release();
  }
  fs.writeFileSync(path.join(folder, "lock"), "");
  assert.ok(takeLock(folder));
});
