/** Whatever breaks inside, nothing gets out; and no hook is slow. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { createGuard } from "../src/guard/index.mjs";
import { PRICES, StandIn, stateOf } from "./guard_process.mjs";

const ROOT = join(import.meta.dirname, "../../..");
const CAPTURES = [join(ROOT, "producers/replay/captures"), join(ROOT, "tests/data/openclaw-hooks")];
const P99_GOAL_MS = 5;
const HOOKS = [
  "applyState", "applyVerdict", "setServerAway", "onModelCallStarted", "onModelCallEnded", "onUsage", "beforeToolCall",
  "onToolResult", "beforeAgentRun", "beforeAgentReply", "onReplyPayloadSending", "onSubagentSpawned", "onLifecycle", "status",
];

const boom = () => {
  throw new Error("injected");
};

/** An object that throws whatever is read of it. */
const hostile = () => new Proxy({}, { get: boom, has: boom, ownKeys: boom });

test("doors that throw hurt nobody, and the limit still holds", () => {
  const process = new StandIn({ log: { warn: boom }, emitDecision: boom, enqueueNote: boom });
  process.guard.applyState(stateOf({ run_limit_usd: "0.01" }));
  const run = process.run("a");
  run.call();
  run.call();
  assert.ok(run.isAborted);
  assert.equal(run.tool().block, true);
  assert.ok(process.guard.status().numErrors > 0);
});

test("an abortRun that throws, or fails later, leaves the run closed at the gates", async () => {
  for (const abortRun of [boom, async () => boom()]) {
    const process = new StandIn({ abortRun });
    process.guard.applyState(stateOf({ run_limit_usd: "0.01" }));
    const run = process.run("a");
    run.call();
    run.call();
    assert.equal(run.tool().block, true);
    assert.equal(process.guard.beforeAgentRun({}, run.ctx).outcome, "block");
  }
  // An unhandled rejection would end this process with an error.
  await new Promise((resolve) => setImmediate(resolve));
});

test("no hook throws, whatever it is given", () => {
  const cyclic = { toolName: "exec", runId: "r", toolCallId: "t" };
  cyclic.params = cyclic;
  const odd = [undefined, null, 5, "x", [], {}, cyclic, hostile(), { params: 10n }, { usage: hostile() }, { trace: hostile() }];
  for (const options of [{}, { now: boom }, { now: () => NaN }]) {
    const guard = createGuard({ log: {}, ...options });
    guard.applyState(stateOf({ run_limit_usd: "0", action: "block" }));
    for (const hook of HOOKS) for (const event of odd) for (const ctx of odd) guard[hook](event, ctx);
  }
});

test("a throw in any inner part stays inside", () => {
  const process = new StandIn();
  process.guard.applyState(stateOf({ run_limit_usd: "0.01" }));
  const run = process.run("a");
  const mapGet = Map.prototype.get;
  // Every part looks something up in a map: each hook now fails in its midst.
  Map.prototype.get = boom;
  try {
    assert.equal(run.begin(), undefined);
    run.call();
    assert.equal(run.tool(), undefined);
    run.end();
  } finally {
    Map.prototype.get = mapGet;
  }
  assert.ok(process.guard.status().numErrors > 0);
});

/** Hand a captured process to the guard as the capture does; returns what the messages say was spent. */
function replay(guard, lines, time) {
  let numTold = 0;
  for (const { hook, event, ctx } of lines) {
    const message = event.message;
    if (hook === "model_call_started") time(() => guard.onModelCallStarted(event, ctx));
    else if (hook === "model_call_ended") time(() => guard.onModelCallEnded(event, ctx));
    else if (hook === "before_tool_call") time(() => guard.beforeToolCall(event, ctx));
    else if (hook === "after_tool_call") time(() => guard.onToolResult(event, ctx));
    else if (hook === "before_agent_run") time(() => guard.beforeAgentRun(event, ctx));
    else if (hook === "before_agent_reply") time(() => guard.beforeAgentReply(event, ctx));
    else if (hook === "subagent_spawned") time(() => guard.onSubagentSpawned(event, ctx));
    else if (hook === "reply_payload_sending") time(() => guard.onReplyPayloadSending(event, ctx));
    else if (hook === "before_message_write" && message?.role === "assistant") {
      const { provider, model, usage } = message;
      if (usage?.input || usage?.output || usage?.cacheRead || usage?.cacheWrite) numTold += 1;
      time(() => guard.onUsage({ sessionKey: ctx.sessionKey, provider, model, usage }));
    }
  }
  return numTold;
}

const captures = CAPTURES.flatMap((folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".jsonl"))
    .map((name) => [name, readFileSync(join(folder, name), "utf8").trim().split("\n").map((line) => JSON.parse(line))]),
);

test("over every capture, each model call is counted once and one run's spend is that of its whole family", () => {
  let numCalls = 0;
  for (const [name, lines] of captures) {
    const decisions = [];
    const guard = createGuard({ emitDecision: (event) => decisions.push(event) });
    guard.applyState(stateOf({}));
    const numTold = replay(guard, lines, (work) => work());
    assert.equal(guard.status().numCalls, numTold, name);
    assert.equal(guard.status().numErrors, 0, name);
    assert.deepEqual(decisions, [], name);
    numCalls += numTold;
  }
  assert.ok(numCalls > 200);
});

test("a capture with a grandchild is one run: its limit is passed by the sum", () => {
  const [, lines] = captures.find(([name]) => name === "nested-subagent.jsonl");
  const decisions = [];
  const guard = createGuard({ emitDecision: (event) => decisions.push(event) });
  guard.applyState(stateOf({}));
  replay(guard, lines, (work) => work());
  const total = guard.status().spentTodayUsd;
  const limited = createGuard({ emitDecision: (event) => decisions.push(event) });
  limited.applyState(stateOf({ run_limit_usd: total, action: "note" }));
  replay(limited, lines, (work) => work());
  assert.equal(decisions.length, 1);
  assert.equal(decisions[0].spent_usd, total);
});

test("hooks answer within 5 ms at the 99th percentile", () => {
  const guard = createGuard({});
  const allowances = Array.from({ length: 50 }, (_, number) => ({
    allowance_id: `a${number}`, scope: "agent", scope_id: "x", granted_usd: "1000", window: "1h", expires_at_us: 9e15,
  }));
  const verdicts = Array.from({ length: 200 }, (_, number) => ({
    verdict_id: `v${number}`, scope: "session", scope_id: `s${number}`, action: number % 2 ? "abort" : "block", reason: "r", expires_at_us: 9e15,
  }));
  const prices = Array.from({ length: 500 }, (_, number) => ({ ...PRICES[0], model: `m${number}` }));
  guard.applyState(stateOf({ run_limit_usd: "900", agent_day_limit_usd: "9000", action: "block" }, { allowances, verdicts, prices }));
  const times = [];
  const time = (work) => {
    const startedMs = performance.now();
    work();
    times.push(performance.now() - startedMs);
  };
  for (let round = 0; round < 20; round += 1) for (const [, lines] of captures) replay(guard, lines, time);
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.floor(times.length * share)].toFixed(3);
  console.log(`guard hooks: ${times.length} calls, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, p99.9 ${at(0.999)} ms`);
  assert.ok(Number(at(0.99)) <= P99_GOAL_MS);
});
