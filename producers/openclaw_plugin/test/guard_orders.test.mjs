/** What the server orders, what holds while it is away, and what outlives the process. */

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { CALL, CALL_USD, StandIn, stateOf } from "./guard_process.mjs";

const HOUR_US = 3_600_000_000;
let numVerdicts = 0;

function verdict(process, action, scope, scopeId, { forUs = HOUR_US } = {}) {
  const id = `v${numVerdicts++}`;
  const reason = "the same command was run 40 times";
  return { verdict_id: id, scope, scope_id: scopeId, action, reason, expires_at_us: process.nowMs * 1000 + forUs };
}

function allowance(process, id, usd, { scope = "agent", scopeId = "agent1", forUs = HOUR_US } = {}) {
  const expires_at_us = process.nowMs * 1000 + forUs;
  return { allowance_id: id, scope, scope_id: scopeId, granted_usd: usd, window: "1h", expires_at_us };
}

test("abort by verdict, for each scope; a release opens it again", () => {
  const scopes = { run: "run-parent", session: "agent:main:parent", agent: "agent1", tenant: "tenant1" };
  for (const [scope, scopeId] of Object.entries(scopes)) {
    const process = new StandIn();
    const parent = process.run("parent");
    parent.begin();
    parent.startCall();
    const child = parent.spawn("child");
    child.startCall();
    const abort = verdict(process, "abort", scope, scopeId);
    process.guard.applyState(stateOf({}, { verdicts: [abort] }));
    assert.ok(parent.isAborted && child.isAborted, scope);
    assert.match(parent.begin().reply.text, /the same command was run 40 times\. It stays closed/);
    process.guard.applyState(stateOf({}, { verdicts: [abort] }));
    assert.deepEqual(process.actions(), ["abort", "block"], "a verdict that is sent again is no new decision");
    assert.equal(process.decisions[0].event.verdict_id, abort.verdict_id);

    const release = verdict(process, "release", scope, scopeId);
    process.guard.applyState(stateOf({}, { verdicts: [abort, release] }));
    assert.equal(parent.begin(), undefined, scope);
    assert.deepEqual(process.actions(), ["abort", "block", "release"]);
    const secondAbort = verdict(process, "abort", scope, scopeId);
    process.guard.applyState(stateOf({}, { verdicts: [abort, release, secondAbort] }));
    assert.ok(parent.begin(), "a verdict after the release counts");
  }
});

test("a verdict alone counts before the state that holds it", () => {
  const process = new StandIn();
  const run = process.run("a");
  run.startCall();
  process.guard.applyVerdict(verdict(process, "abort", "run", "run-a"));
  assert.ok(run.isAborted);
});

test("a verdict lapses by itself, and when the server no longer lists it", () => {
  const process = new StandIn();
  const run = process.run("a");
  run.startCall();
  const abort = verdict(process, "abort", "session", run.ids.sessionKey);
  process.guard.applyState(stateOf({}, { verdicts: [abort] }));
  assert.ok(run.begin());
  process.nowMs += 3_600_001;
  assert.equal(run.begin(), undefined);

  const other = verdict(process, "abort", "session", run.ids.sessionKey);
  process.guard.applyState(stateOf({}, { verdicts: [other] }));
  assert.ok(run.begin());
  process.guard.applyState(stateOf({}));
  assert.equal(run.begin(), undefined);
});

test("a release after a limit lets it spend the limit once more", () => {
  const process = new StandIn();
  process.guard.applyState(stateOf({ run_limit_usd: "0.02" }));
  const run = process.run("a");
  while (!run.isAborted) run.call();
  const release = verdict(process, "release", "run", "run-a");
  process.guard.applyState(stateOf({ run_limit_usd: "0.02" }, { verdicts: [release] }));
  process.aborted.length = 0;
  let numCalls = 0;
  for (; !run.isAborted; numCalls += 1) run.call();
  assert.equal(numCalls, 3);
  process.guard.applyState(stateOf({ run_limit_usd: "0.02" }, { verdicts: [release] }));
  assert.ok(run.begin(), "a release counts once");
});

test("block, ask and note by verdict", () => {
  const process = new StandIn();
  const run = process.run("a");
  run.begin();
  run.startCall();
  run.tool();
  const block = verdict(process, "block", "run", "run-a");
  process.guard.applyState(stateOf({}, { verdicts: [block] }));
  assert.match(run.tool().blockReason, /40 times\. The same call of exec/);
  assert.equal(run.tool({ other: 1 }), undefined);
  const ask = verdict(process, "ask", "run", "run-a");
  process.guard.applyState(stateOf({}, { verdicts: [ask] }));
  const event = { toolName: "exec", params: {}, runId: "run-a", toolCallId: "q" };
  process.guard.beforeToolCall(event, run.ctx).requireApproval.onResolution("allow-once");
  assert.equal(process.guard.beforeToolCall(event, run.ctx), undefined);
  const note = verdict(process, "note", "agent", "agent1");
  process.guard.applyState(stateOf({}, { verdicts: [note] }));
  assert.equal(process.notes.length, 1);
  assert.deepEqual(process.actions(), ["block", "ask", "note"]);
});

test("allowances are drawn from, one after the other, and a renewal opens again", () => {
  const process = new StandIn();
  const first = allowance(process, "a1", "0.02");
  process.guard.applyState(stateOf({}, { allowances: [first] }));
  const run = process.run("a");
  while (!run.isAborted) run.call();
  assert.equal(process.guard.status().spentTodayUsd, "0.020025");
  assert.equal(process.decisions[0].event.scope, "agent");
  assert.ok(process.run("b").begin());

  process.guard.applyState(stateOf({}, { allowances: [first, allowance(process, "a2", "0.02", { forUs: 2 * HOUR_US })] }));
  process.aborted.length = 0;
  const next = process.run("c");
  assert.equal(next.begin(), undefined);
  while (!next.isAborted) next.call();
  assert.ok(Number(process.guard.status().spentTodayUsd) <= 0.04 + CALL_USD);
});

test("with the server away the posture decides", () => {
  const outcomes = {};
  for (const posture of ["last", "open", "closed"]) {
    const process = new StandIn();
    process.guard.applyState(stateOf({ posture }, { allowances: [allowance(process, "a1", "0.02")] }));
    process.guard.setServerAway(true);
    // The allowance has lapsed: with "last", what is left of it still is all there is.
    process.nowMs += 2 * 3_600_000;
    const run = process.run("a");
    const begun = run.begin() === undefined;
    for (let i = 0; i < 10 && !run.isAborted; i += 1) run.call();
    outcomes[posture] = [begun, run.isAborted, process.guard.status().numCalls];
    process.guard.setServerAway(false);
    if (posture === "closed") assert.equal(process.run("b").begin(), undefined);
  }
  assert.deepEqual(outcomes, { last: [true, true, 3], open: [true, false, 10], closed: [false, true, 1] });
});

test("a hold, what was spent and the state outlive the process, also with the server away", async () => {
  const folder = mkdtempSync(join(tmpdir(), "clawtrace-guard-"));
  const stateFile = join(folder, "deep/guard.json");
  const before = new StandIn({ stateFile });
  before.guard.applyState(
    stateOf({ run_limit_usd: "0.02", agent_day_limit_usd: "0.06" }, { allowances: [allowance(before, "a1", "9")] }),
  );
  const run = before.run("a");
  while (!run.isAborted) run.call();
  const half = before.run("half");
  half.call();
  await before.guard.flush();
  assert.deepEqual(readdirSync(join(folder, "deep")), ["guard.json"]);

  const after = new StandIn({ stateFile });
  after.guard.setServerAway(true);
  const status = after.guard.status();
  assert.equal(status.spentTodayUsd, before.guard.status().spentTodayUsd);
  assert.equal(status.rev, 7);
  assert.deepEqual(status.allowances, before.guard.status().allowances);
  assert.ok(after.run("b", { sessionKey: run.ids.sessionKey }).begin());
  const resumed = after.run("half");
  assert.equal(resumed.begin(), undefined);
  let numCalls = 0;
  for (; !resumed.isAborted; numCalls += 1) resumed.call();
  assert.equal(numCalls, 2, "the run goes on from what it had spent");
  assert.equal(after.actions()[0], "block");
  rmSync(folder, { recursive: true });
});

test("a broken state file counts as none", () => {
  const folder = mkdtempSync(join(tmpdir(), "clawtrace-guard-"));
  const stateFile = join(folder, "guard.json");
  for (const text of ["", "{", "null", "[]", '{"version":1,"state":5,"holds":[{}],"runs":[null],"sessions":[1]}', '{"version":99}']) {
    writeFileSync(stateFile, text);
    const process = new StandIn({ stateFile });
    assert.equal(process.run("a").begin(), undefined, text);
    process.guard.applyState(stateOf({ run_limit_usd: "0.01" }));
    const run = process.run("b");
    while (!run.isAborted) run.call();
  }
  rmSync(folder, { recursive: true });
});

test("nothing is written inside a hook", async () => {
  const folder = mkdtempSync(join(tmpdir(), "clawtrace-guard-"));
  const stateFile = join(folder, "guard.json");
  const process = new StandIn({ stateFile });
  process.guard.applyState(stateOf({ run_limit_usd: "0.01" }));
  process.run("a").call();
  assert.equal(existsSync(stateFile), false);
  await process.guard.flush();
  assert.ok(JSON.parse(readFileSync(stateFile, "utf8")).state);
  rmSync(folder, { recursive: true });
});

test("garbage for a state changes nothing", () => {
  const process = new StandIn();
  process.guard.applyState(stateOf({ run_limit_usd: "0.01" }));
  for (const state of [undefined, null, 5, "x", [], {}, { rev: 1 }]) assert.equal(process.guard.applyState(state), false);
  const odd = { policy: 5, prices: {}, allowances: "x", verdicts: [null, 5, {}, { verdict_id: "v", scope: "run", action: "zap" }] };
  process.guard.applyState(odd);
  const run = process.run("a");
  run.call();
  assert.equal(run.begin(), undefined);
  process.guard.applyState({ ...stateOf({ run_limit_usd: "0.000001" }), rev: "seven" });
  run.call(CALL);
  assert.ok(run.isAborted);
  assert.equal(process.guard.status().numErrors, 0);
});
