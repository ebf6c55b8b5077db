/** What each answer of the gateway leads to, over a real local server. */

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";

import { Blobs } from "../src/blobs.mjs";
import { Sender } from "../src/sender.mjs";
import { Spool } from "../src/spool.mjs";
import { GatewayServer, KEY } from "./gateway_server.mjs";
import { temporaryFolder, until } from "./openclaw_host.mjs";

async function parts(t, { key = KEY, fetch, segmentBytes } = {}) {
  const folder = temporaryFolder(t);
  const gateway = await GatewayServer.start(t);
  const gaps = [];
  const lines = [];
  const spool = new Spool({ folder, segmentBytes, onGap: (gap) => gaps.push(gap) });
  const blobs = new Blobs({ folder: path.join(folder, "blobs") });
  const source = { name: "test", version: "1", host_version: "" };
  const log = { info: (line) => lines.push(line), warn: (line) => lines.push(line) };
  const onGap = (gap) => gaps.push(gap);
  const sender = new Sender({ spool, blobs, source, log, onGap, fetch, firstRetryMs: 20, gatherMs: 5 });
  sender.configure({ endpoint: gateway.url, observeKey: key });
  t.after(() => {
    sender.close();
    spool.close();
  });
  return { folder, gateway, spool, blobs, sender, gaps, lines };
}

function put(spool, num, text = "") {
  for (let count = 0; count < num; count += 1) {
    const seq = spool.takeSeq();
    spool.append(seq, Buffer.from(JSON.stringify({ seq, at_us: 1, hook: "session_start", event: { text }, ctx: {} })));
  }
}

function seeded(seed) {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

test("batches hold at most 500 events and 256 kB, and arrive in order", async (t) => {
  const { gateway, spool, sender } = await parts(t);
  put(spool, 1_300);
  put(spool, 100, "x".repeat(10_000));
  assert.equal(await sender.flush(10_000), true);
  assert.deepEqual(gateway.problems, []);
  assert.equal(gateway.events.length, 1_400);
  assert.ok(Math.max(...gateway.batches) === 500);
  assert.ok(gateway.batches.at(-1) <= 26);
  assert.ok(gateway.requests.every(({ headers }) => headers["content-encoding"] === "gzip"));
});

test("what is written goes out by itself", async (t) => {
  const { gateway, spool } = await parts(t);
  put(spool, 3);
  await until(() => gateway.events.length === 3, "three events");
  put(spool, 2);
  await until(() => gateway.events.length === 5, "two more");
  await until(() => spool.ackedSeq === 5, "the ack");
});

test("bursts at any moment of a batch's life go out without a further event to push them", async (t) => {
  const { gateway, spool } = await parts(t, { segmentBytes: 4_096 });
  const random = seeded(7);
  let num = 0;
  for (let burst = 0; burst < 150; burst += 1) {
    const size = 1 + Math.floor(random() * 5);
    put(spool, size, "x".repeat(Math.floor(random() * 900)));
    num += size;
    // Between two turns of the event loop, or as long as a sync and a request take.
    if (random() < 0.5) await new Promise(setImmediate);
    else await new Promise((resolve) => setTimeout(resolve, random() * 70));
    // Every tenth must arrive alone, before the next one comes.
    if (burst % 10 === 9) await until(() => spool.ackedSeq === num, `everything up to burst ${burst}`);
  }
  await until(() => gateway.events.length === num, "all events");
  assert.deepEqual(gateway.problems, []);
});

test("a new key while the old one is being refused is used at once", async (t) => {
  let answered;
  const held = new Promise((resolve) => (answered = resolve));
  let numAsked = 0;
  const fetch = async (...request) => {
    const response = await globalThis.fetch(...request);
    numAsked += 1;
    if (numAsked === 1) await held;
    return response;
  };
  const { gateway, spool, sender } = await parts(t, { key: "wrong", fetch });
  put(spool, 3);
  await until(() => numAsked === 1, "the refusal is on its way");
  sender.configure({ endpoint: gateway.url, observeKey: KEY });
  answered();
  await until(() => gateway.events.length === 3, "the events under the new key");
});

test("ten minutes away: it asks no more than every half minute, at least twice a minute, and then sends everything", async (t) => {
  const now = { ms: 0 };
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  let isAway = true;
  const askedAtMs = [];
  const taken = [];
  const fetch = async (_url, { body }) => {
    askedAtMs.push(now.ms);
    if (isAway) throw new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } });
    const { events } = JSON.parse(gunzipSync(body));
    taken.push(...events.map(({ seq }) => seq));
    return new Response(JSON.stringify({ accepted: events.length, rejected: [] }), { status: 202 });
  };
  const folder = temporaryFolder(t);
  const spool = new Spool({ folder });
  const blobs = new Blobs({ folder: path.join(folder, "blobs") });
  const log = { info() {}, warn() {} };
  const sender = new Sender({ spool, blobs, source: { name: "t", version: "1", host_version: "" }, log, onGap() {}, fetch });
  t.after(() => (sender.close(), spool.close()));
  sender.configure({ endpoint: "http://gateway.test", observeKey: KEY });
  const pass = async (ms) => {
    for (const untilMs = now.ms + ms; now.ms < untilMs; ) {
      now.ms += 100;
      t.mock.timers.tick(100);
      // Real work (disk, gzip, promises) is done before the clock goes on.
      if (sender._running) await sender._running;
      else await new Promise(setImmediate);
    }
  };
  for (let minute = 0; minute < 10; minute += 1) {
    put(spool, 70);
    spool.syncNow();
    sender.wake();
    await pass(60_000);
  }
  assert.equal(spool.ackedSeq, 0);
  const pausesMs = askedAtMs.slice(1).map((ms, index) => ms - askedAtMs[index]);
  assert.ok(Math.max(...pausesMs) <= 30_200, `longest pause ${Math.max(...pausesMs)} ms`);
  assert.ok(Math.min(...pausesMs.slice(8)) >= 14_900, `shortest pause ${Math.min(...pausesMs.slice(8))} ms`);
  t.diagnostic(`${askedAtMs.length} tries in ten minutes`);
  isAway = false;
  await pass(35_000);
  assert.deepEqual(taken, Array.from({ length: 700 }, (_, index) => index + 1));
});

test("503 and 429 are tried again, not before Retry-After", async (t) => {
  const { gateway, spool, sender } = await parts(t);
  gateway.answers.push({ status: 503 }, { status: 429, headers: { "retry-after": "0.2" } });
  put(spool, 5);
  const startedMs = Date.now();
  await until(() => gateway.events.length === 5, "five events");
  assert.ok(Date.now() - startedMs >= 200, "not before the gateway's wish");
  assert.equal(sender.counts.retries, 2);
});

test("413 halves the batch; an event too large for itself is dropped and told", async (t) => {
  const { gateway, spool, sender, gaps } = await parts(t);
  const refuse = (batch) => {
    if (batch.events.some(({ seq }) => seq === 7) || batch.events.length > 4) return { status: 413 };
    return undefined;
  };
  put(spool, 20);
  // The server asks its first answer for each request as long as it is a function.
  gateway.answers.push(refuse);
  assert.equal(await sender.flush(10_000), true);
  assert.deepEqual(
    gateway.events.map(({ seq }) => seq),
    Array.from({ length: 20 }, (_, index) => index + 1).filter((seq) => seq !== 7),
  );
  assert.deepEqual(gaps, [{ num_events: 1, num_bytes: gaps[0].num_bytes, first_seq: 7, last_seq: 7, reason: "refused" }]);
});

test("422 costs the one event that is unreadable, and no other", async (t) => {
  const { gateway, spool, sender, gaps, lines } = await parts(t);
  gateway.answers.push((batch) =>
    batch.events.some(({ seq }) => seq === 3) ? { status: 422, body: { detail: "not this one" } } : undefined,
  );
  put(spool, 6);
  assert.equal(await sender.flush(10_000), true);
  assert.equal(gateway.events.length, 5);
  assert.deepEqual(gaps.map(({ first_seq, reason }) => [first_seq, reason]), [[3, "refused"]]);
  assert.ok(lines.some((line) => line.includes("event 3 was dropped") && line.includes("not this one")));
});

test("a refused key stops the sending, says so once, and a new key goes on", async (t) => {
  const { gateway, spool, sender, lines } = await parts(t, { key: "wrong" });
  put(spool, 3);
  await until(() => sender.state.phase === "refused", "the refusal");
  assert.equal(await sender.flush(300), false);
  assert.equal(lines.filter((line) => line.includes("observe key was refused")).length, 1);
  assert.equal(spool.ackedSeq, 0);
  sender.configure({ endpoint: gateway.url, observeKey: KEY });
  await until(() => gateway.events.length === 3, "the events under the new key");
});

test("a gateway that is away and comes back gets everything once, over a restart of the spool", async (t) => {
  const { folder, gateway, spool, sender } = await parts(t);
  await gateway.stop();
  put(spool, 10);
  await until(() => sender.counts.retries >= 2, "two failed tries");
  assert.equal(sender.state.phase, "waiting");
  sender.close();
  spool.close();
  const again = new Spool({ folder });
  const blobs = new Blobs({ folder: path.join(folder, "blobs") });
  const log = { info() {}, warn() {} };
  const source = { name: "test", version: "1", host_version: "" };
  const second = new Sender({ spool: again, blobs, source, log, onGap() {}, firstRetryMs: 20, gatherMs: 5 });
  t.after(() => {
    second.close();
    again.close();
  });
  second.configure({ endpoint: gateway.url, observeKey: KEY });
  put(again, 5);
  await gateway.listen(gateway.port);
  await until(() => gateway.events.length === 15, "all fifteen");
  assert.equal(gateway.spools.size, 1);
  assert.deepEqual(gateway.problems, []);
});

test("a blob arrives before the event that names it", async (t) => {
  const { gateway, spool, blobs, sender } = await parts(t);
  const json = Buffer.from(JSON.stringify("y".repeat(100_000)));
  const sha256 = blobs.store(json);
  const seq = spool.takeSeq();
  const event = { result: { clawtrace_blob: { sha256, bytes: json.length, preview: "y" } } };
  spool.append(seq, Buffer.from(JSON.stringify({ seq, at_us: 1, hook: "after_tool_call", event, ctx: {} })));
  assert.equal(await sender.flush(10_000), true);
  assert.deepEqual(gateway.blobs.get(sha256), json);
  assert.deepEqual(
    gateway.requests.map(({ method }) => method),
    ["PUT", "POST"],
  );
  assert.equal(blobs.numBytes, 0);
});

test("paused, nothing is sent", async (t) => {
  const { gateway, spool, sender } = await parts(t);
  sender.pause(true);
  put(spool, 3);
  assert.equal(await sender.flush(200), false);
  assert.equal(gateway.requests.length, 0);
  sender.pause(false);
  await until(() => gateway.events.length === 3, "the events after the pause");
});

test("sent segments stay ten minutes and can be sent again", async (t) => {
  const { gateway, spool, sender } = await parts(t);
  put(spool, 4);
  await sender.flush(5_000);
  spool.replay();
  assert.equal(await sender.flush(5_000), true);
  assert.deepEqual(gateway.batches, [4, 4]);
  assert.deepEqual(gateway.problems, []);
});

test("a friendly answer of some other server is no ack", async (t) => {
  const { gateway, spool, sender } = await parts(t);
  gateway.answers.push({ status: 200, body: { welcome: true } }, { status: 302, headers: { location: "/login" } });
  put(spool, 3);
  await until(() => gateway.events.length === 3, "the events");
  assert.equal(sender.counts.retries, 2);
});

test("a gateway without blobs gets the events all the same", async (t) => {
  const { gateway, spool, blobs, sender } = await parts(t);
  gateway.hasNoBlobs = true;
  const sha256 = blobs.store(Buffer.from('"big"'));
  const seq = spool.takeSeq();
  const event = { result: { clawtrace_blob: { sha256, bytes: 5, preview: "big" } } };
  spool.append(seq, Buffer.from(JSON.stringify({ seq, at_us: 1, hook: "after_tool_call", event, ctx: {} })));
  assert.equal(await sender.flush(5_000), true);
  assert.equal(sender.counts.lost_blobs, 1);
});
