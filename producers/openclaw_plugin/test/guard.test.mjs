/** The guard's limits and actions, run by run. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { formatUsd, parseUsd, sayUsd } from "../src/guard/money.mjs";
import { CALL, CALL_USD, StandIn, stateOf } from "./guard_process.mjs";

const CAP_USD = 0.05;

function limited(policy, options) {
  const process = new StandIn(options);
  process.guard.applyState(stateOf(policy));
  return process;
}

const today = (process) => Number(process.guard.status().spentTodayUsd);

test("money is exact", () => {
  assert.equal(formatUsd(parseUsd("0.1") + parseUsd("0.2")), "0.3");
  assert.equal(formatUsd(parseUsd("123456789.000000000001")), "123456789.000000000001");
  for (const bad of ["", "-1", "1e", "1e999", "0x1", "NaN", null, undefined, {}]) assert.equal(parseUsd(bad), undefined);
  assert.equal(formatUsd(parseUsd("5E-7")), "0.0000005");
  assert.equal(formatUsd(parseUsd("1.5e+3")), "1500");
  assert.equal(formatUsd(parseUsd("0.1234567890129")), "0.123456789012");
  assert.equal(sayUsd(parseUsd("0.05")), "$0.05");
  assert.equal(sayUsd(parseUsd("0.0534")), "$0.053");
  assert.equal(sayUsd(parseUsd("12.3456")), "$12.34");
});

test("a runaway is aborted at its cap, one call over at most, and stays closed", () => {
  const process = limited({ run_limit_usd: "0.05" });
  const run = process.run("a");
  assert.equal(run.begin(), undefined);
  while (!run.isAborted) {
    run.call();
    run.tool();
  }
  assert.ok(today(process) >= CAP_USD && today(process) <= CAP_USD + CALL_USD);
  assert.deepEqual(process.actions(), ["abort"]);
  const { event, ctx } = process.decisions[0];
  assert.equal(event.scope, "run");
  assert.equal(event.scope_id, "trace-a");
  assert.equal(event.limit_usd, "0.05");
  assert.equal(event.spent_usd, "0.0534");
  assert.equal(event.policy_rev, 7);
  assert.match(event.reason, /this run with its helpers has spent \$0\.053, and \$0\.05 is what it may spend/);
  assert.equal(ctx.runId, "run-a");

  const vague = { payload: { text: "⚠️ OpenClaw couldn't produce or deliver a reply." }, kind: "final", runId: "run-a" };
  assert.match(process.guard.onReplyPayloadSending(vague, {}).payload.text, /^Stopped by the ClawTrace cost guard/);

  // The next message of the same conversation gets the sentence, without a model call.
  const next = process.run("b", { sessionKey: run.ids.sessionKey });
  assert.equal(next.begin().handled, true);
  assert.match(next.begin().reply.text, /It stays closed until \d\d:\d\d UTC, or until somebody releases it/);
  assert.equal(process.guard.beforeAgentRun({}, next.ctx).outcome, "block");
  assert.deepEqual(process.actions(), ["abort", "block"]);
  assert.equal(process.run("elsewhere").begin(), undefined);
});

test("every call is counted once, whichever way it is told first", () => {
  for (const told of [["message", "diagnostic"], ["diagnostic", "message"], ["message"], ["diagnostic"], ["message", "message"]]) {
    const process = limited({});
    const run = process.run("a");
    for (let i = 0; i < 5; i += 1) run.endCall(run.startCall(), CALL, { told });
    assert.equal(process.guard.status().numCalls, 5, told.join());
  }
});

test("a diagnostic event that comes after the next call still counts once", () => {
  const process = limited({});
  const run = process.run("a");
  const first = run.startCall();
  run.endCall(first, CALL, { told: ["message"] });
  const second = run.startCall();
  run.endCall(first, CALL, { told: ["diagnostic"] });
  run.endCall(second, CALL, { told: ["message", "diagnostic"] });
  assert.equal(process.guard.status().numCalls, 2);
});

test("a failed call without tokens does not swallow the usage of its retry", () => {
  const process = limited({});
  const run = process.run("a");
  run.endCall(run.startCall(), { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 }, { told: ["message"] });
  run.endCall(run.startCall(), CALL, { told: ["message"] });
  assert.equal(process.guard.status().numCalls, 1);
});

test("twenty sub-agents at once: the cap holds for all together, one call each over at most", () => {
  const process = limited({ run_limit_usd: "0.05" });
  const parent = process.run("parent");
  parent.begin();
  const children = Array.from({ length: 20 }, (_, number) => parent.spawn(`child${number}`));
  const flying = new Map();
  for (let round = 0; round < 50; round += 1) {
    for (const child of children) {
      if (flying.has(child)) child.endCall(flying.get(child));
      flying.delete(child);
      if (!child.isAborted) flying.set(child, child.startCall());
    }
  }
  assert.equal(flying.size, 0);
  assert.ok(today(process) <= CAP_USD + 20 * CALL_USD, `spent ${today(process)}`);
  assert.ok(children.every((child) => child.isAborted));
  assert.equal(process.actions().filter((action) => action === "abort").length, 1);
  // A child spawned late is within the closed family.
  assert.match(parent.spawn("late").tool().blockReason, /^Stopped by the ClawTrace cost guard/);
});

test("children without a trace of their own are joined by their session key", () => {
  const process = limited({ run_limit_usd: "0.05" });
  const parent = process.run("parent", { traceId: undefined });
  parent.begin();
  parent.call();
  const child = parent.spawn("child");
  while (!child.isAborted) child.call();
  assert.ok(today(process) <= CAP_USD + CALL_USD);
  assert.ok(parent.isAborted);
});

test("the limit of a session counts over its runs, that of a day over all sessions", () => {
  for (const policy of [{ session_limit_usd: "0.05" }, { agent_day_limit_usd: "0.05" }]) {
    const process = limited(policy);
    const scope = Object.keys(policy)[0].split("_")[0];
    let number = 0;
    let run;
    do {
      const options = scope === "session" ? { sessionKey: "agent:main:main" } : {};
      run = process.run(`n${number++}`, options);
      assert.equal(run.begin(), undefined);
      run.call();
      run.end();
    } while (process.decisions.length === 0);
    assert.equal(number, 8);
    assert.equal(process.decisions[0].event.scope, scope);
    const other = process.run("other").begin();
    assert.equal(Boolean(other), scope === "agent");
    // The next day begins with nothing.
    process.nowMs += 86_400_000;
    assert.equal(process.run("tomorrow", { sessionKey: "agent:main:main" }).begin(), undefined);
  }
});

test("note: told once, and put before the next turn", () => {
  const process = limited({ run_limit_usd: "0.01", action: "note" });
  const run = process.run("a");
  for (let i = 0; i < 10; i += 1) {
    run.call();
    assert.equal(run.tool(), undefined);
  }
  assert.deepEqual(process.actions(), ["note"]);
  assert.equal(process.notes.length, 1);
  assert.equal(process.notes[0].sessionKey, run.ids.sessionKey);
  assert.deepEqual(process.aborted, []);
});

test("block: a repeated call gets the earlier result as its reason, a new one runs", () => {
  const process = limited({ run_limit_usd: "0.01", action: "block" });
  const run = process.run("a");
  run.tool({ b: 1, a: 2 }, { result: "42 lines" });
  assert.equal(run.tool({ a: 2, b: 1 }), undefined);
  run.call();
  run.call();
  const blocked = run.tool({ a: 2, b: 1 });
  assert.equal(blocked.block, true);
  assert.match(blocked.blockReason, /same call of exec was made already in this run; its result was: (poll|42 lines)/);
  assert.equal(run.tool({ a: 3 }), undefined);
  assert.deepEqual(process.actions(), ["block"]);
  assert.ok(process.decisions[0].ctx.toolCallId);
});

test("ask: yes lets it spend the limit once more, no stops it", async () => {
  const process = limited({ run_limit_usd: "0.01", action: "ask" });
  const run = process.run("a");
  run.call();
  run.call();
  const event = { toolName: "exec", params: {}, runId: "run-a", toolCallId: "t1" };
  const { requireApproval } = process.guard.beforeToolCall(event, run.ctx);
  assert.match(requireApproval.description, /May it go on with exec\?/);
  requireApproval.onResolution("allow-once");
  process.guard.onToolResult({ ...event, result: {} }, run.ctx);
  assert.equal(run.tool(), undefined);
  run.call();
  run.call();
  const again = process.guard.beforeToolCall({ ...event, toolCallId: "t2" }, run.ctx);
  again.requireApproval.onResolution("deny");
  assert.ok(run.isAborted);
  assert.deepEqual(process.actions(), ["ask", "ask", "abort"]);
});

test("ask: where nobody can be asked, OpenClaw fails the tool call and the run is stopped", () => {
  const process = limited({ run_limit_usd: "0.01", action: "ask" });
  const run = process.run("a");
  run.call();
  run.call();
  run.tool({}, { error: "Plugin approval unavailable: non-interactive CLI runs have no approval-capable surface." });
  assert.ok(run.isAborted);
});

test("a model without a price: OpenClaw's own estimate counts, else by posture", () => {
  const estimated = limited({ run_limit_usd: "0.05" });
  const run = estimated.run("a");
  while (!run.isAborted) run.call({ ...CALL, cost: { total: 0.01 } }, "unheard-of");
  assert.equal(estimated.guard.status().spentTodayUsd, "0.05");

  const unknown = { ...CALL, cost: { total: 0 } };
  for (const [posture, actions] of [["open", []], ["last", ["note"]], ["closed", ["abort"]]]) {
    const process = limited({ run_limit_usd: "0.05", posture });
    const other = process.run("a");
    other.call(unknown, "unheard-of");
    other.call(unknown, "unheard-of");
    assert.deepEqual(process.actions(), actions, posture);
    assert.equal(process.guard.status().numUnpriced, 2);
    assert.equal(process.guard.status().spentTodayUsd, "0");
  }
});

test("without a policy nothing is limited", () => {
  const process = new StandIn();
  const run = process.run("a");
  for (let i = 0; i < 100; i += 1) run.call({ ...CALL, cost: { total: 100 } });
  process.guard.applyState(stateOf({}));
  run.call();
  assert.equal(run.tool(), undefined);
  assert.deepEqual(process.decisions, []);
});

test("a raised limit opens what the old one closed", () => {
  const process = limited({ run_limit_usd: "0.01" });
  const run = process.run("a");
  run.call();
  run.call();
  assert.ok(run.begin());
  process.guard.applyState(stateOf({ run_limit_usd: "1" }));
  assert.equal(run.begin(), undefined);
});

test("a heartbeat of a closed session says nothing to the user", () => {
  const process = limited({ session_limit_usd: "0.001" });
  const run = process.run("a");
  run.call();
  const beat = process.run("beat", { sessionKey: run.ids.sessionKey, trigger: "heartbeat" });
  assert.equal(beat.begin().reply.text, "HEARTBEAT_OK");
});

test("ten thousand runs later the memory is bounded and the latest still counts", () => {
  const process = limited({ run_limit_usd: "0.05" });
  for (let number = 0; number < 10_000; number += 1) {
    const run = process.run(`n${number}`);
    run.begin();
    run.call();
    run.tool({ number });
    run.end();
  }
  const run = process.run("last");
  while (!run.isAborted) run.call();
  assert.equal(process.guard.status().numCalls, 10_008);
  assert.equal(process.guard.status().numErrors, 0);
});
