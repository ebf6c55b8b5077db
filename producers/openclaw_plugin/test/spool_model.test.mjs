/** 10,000 random lives of a spool on a disk that crashes, tears and flips: nothing is lost without being told. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Spool } from "../src/spool.mjs";
import { CrashingDisk } from "./crashing_disk.mjs";

const NUM_SEQUENCES = Number(process.env.CLAWTRACE_MODEL_SEQUENCES ?? 10_000);
const FIRST_SEQUENCE = Number(process.env.CLAWTRACE_MODEL_FIRST ?? 1);
const NUM_STEPS = 40;

/** A small generator, so that a failing sequence can be run again by its number. */
function randomOf(seed) {
  let state = seed * 2654435761 + 1;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Tells gaps at once, not a microtask later: a crash of the model must not forget what was said. */
class TalkingSpool extends Spool {
  _report(gap) {
    this.counts.lost += gap.num_events;
    this.onGap(gap);
  }
}

/** What a spool promises, beside the spool. */
class Model {
  constructor(seed) {
    this.random = randomOf(seed);
    this.disk = new CrashingDisk(this.random);
    this.nowMs = 1_000_000;
    this.written = new Map();
    this.safe = new Set();
    this.unsafe = [];
    this.received = new Map();
    this.gaps = [];
    this.hasFlips = this.random() < 0.3;
    this.maxBytes = this.random() < 0.3 ? 6_000 : 1e9;
    this.open();
  }

  open() {
    this.timers = [];
    this.spool = new TalkingSpool({
      folder: "spool",
      disk: this.disk,
      segmentBytes: 1_500,
      maxBytes: this.maxBytes,
      nowMs: () => this.nowMs,
      later: (run) => void this.timers.push(run),
      onGap: (gap) => void this.gaps.push(gap),
    });
  }

  step() {
    const dice = this.random();
    if (process.env.CLAWTRACE_MODEL_TALK) this.talk(dice);
    if (dice < 0.45) this.append();
    else if (dice < 0.6) this.settle();
    else if (dice < 0.68) this.timers.splice(0).forEach((run) => run());
    else if (dice < 0.84) this.send(this.random() < 0.7);
    else if (dice < 0.9) this.crash();
    else if (dice < 0.92) this.restart();
    else if (dice < 0.95) this.pass(11 * 60_000);
    else if (dice < 0.97) this.disk.isFull = !this.disk.isFull;
    else if (this.hasFlips) this.flip();
  }

  talk(dice) {
    const files = [...this.disk.files].map(([name, { bytes, numSynced }]) => `${name}:${numSynced}/${bytes.length}`);
    console.log(dice.toFixed(2), `acked ${this.spool.ackedSeq} last ${this.spool.lastSeq}`, files.join(" "));
  }

  append() {
    const seq = this.spool.takeSeq();
    const text = "x".repeat(Math.floor(this.random() ** 3 * 600));
    const payload = Buffer.from(JSON.stringify({ seq, life: this.random(), text }));
    const key = `${this.spool.spoolId}|${seq}`;
    assert.ok(!this.received.has(key), `number ${seq} was sent before and is given out again`);
    const numErrors = this.spool.counts.write_errors;
    this.spool.append(seq, payload);
    this.written.set(key, payload.toString());
    if (this.spool.counts.write_errors === numErrors) this.unsafe.push(key);
    // A failed write is told with the next that succeeds, or not at all when the process ends before.
    else this.written.delete(key);
  }

  settle() {
    // Twice: after the file the folder.
    this.disk.settle();
    this.disk.settle();
    this.noteSafe();
  }

  noteSafe() {
    for (const segment of this.spool._segments) {
      if (segment.num_safe_bytes === segment.num_bytes) this.addSafe(segment.first_seq, segment.last_seq);
    }
  }

  addSafe(first, last) {
    const prefix = `${this.spool.spoolId}|`;
    this.unsafe = this.unsafe.filter((key) => {
      const seq = Number(key.slice(prefix.length));
      if (!key.startsWith(prefix) || seq < first || seq > last) return true;
      this.safe.add(key);
      return false;
    });
  }

  send(isAnswered) {
    const batch = this.spool.readBatch(1 + Math.floor(this.random() * 10), 2_000);
    let last = this.spool.ackedSeq;
    for (const { seq, payload } of batch) {
      assert.ok(seq > last, `${seq} after ${last}`);
      last = seq;
      this.receive(seq, payload.toString());
    }
    if (isAnswered && batch.length > 0) this.spool.acknowledge(last);
    return batch.length;
  }

  receive(seq, text) {
    const key = `${this.spool.spoolId}|${seq}`;
    const before = this.received.get(key);
    // The receiver drops what it has by its number: another content would be lost without a trace.
    if (before !== undefined && !this.wasSlimmed(key)) assert.equal(text, before, `${seq} has two contents`);
    if (!this.wasSlimmed(key)) {
      const written = [...this.writtenAs(seq)];
      assert.ok(written.includes(text), `${seq} was never written so`);
    }
    this.received.set(key, text);
    // A damaged identity file gives what lies here a new id.
    for (const id of this.ids()) this.received.set(`${id}|${seq}|any`, text);
  }

  ids() {
    return new Set([...this.written.keys()].map((key) => key.split("|")[0]));
  }

  *writtenAs(seq) {
    for (const id of this.ids()) if (this.written.has(`${id}|${seq}`)) yield this.written.get(`${id}|${seq}`);
  }

  wasSlimmed(key) {
    const seq = Number(key.split("|")[1]);
    return this.gaps.some((gap) => gap.reason === "payloads_dropped" && gap.first_seq <= seq && seq <= gap.last_seq);
  }

  crash() {
    this.disk.crash();
    this.unsafe = [];
    if (this.hasFlips && this.random() < 0.3) this.disk.flipBit();
    this.open();
  }

  flip() {
    this.disk.flipBit();
    this.spool._cursor.bytes = null;
  }

  restart() {
    this.disk.isFull = false;
    this.spool.close();
    this.spool._segments.forEach((segment) => this.addSafe(segment.first_seq, segment.last_seq));
    this.open();
  }

  pass(ms) {
    this.nowMs += ms;
    this.spool.sweep();
  }

  end() {
    this.disk.isFull = false;
    this.timers.splice(0).forEach((run) => run());
    this.restart();
    for (let round = 0; round < 10_000 && this.send(true) > 0; round += 1);
    for (const key of this.safe) this.checkSafe(key);
  }

  checkSafe(key) {
    const seq = Number(key.split("|")[1]);
    const isTold = this.gaps.some((gap) => gap.num_events > 0 && gap.first_seq <= seq && seq <= gap.last_seq);
    assert.ok(this.received.has(key) || this.received.has(`${key}|any`) || isTold, `${seq} was safe and is lost`);
  }
}

test(`${NUM_SEQUENCES} random sequences of writes, crashes, torn writes and bit flips`, (t) => {
  const startedMs = performance.now();
  const sums = { safe: 0, received: 0, gaps: 0 };
  for (let seed = FIRST_SEQUENCE; seed < FIRST_SEQUENCE + NUM_SEQUENCES; seed += 1) {
    try {
      const model = new Model(seed);
      for (let step = 0; step < NUM_STEPS; step += 1) model.step();
      model.end();
      sums.safe += model.safe.size;
      sums.received += model.received.size;
      sums.gaps += model.gaps.length;
    } catch (error) {
      throw new Error(`sequence ${seed}: ${error.message}`, { cause: error });
    }
  }
  t.diagnostic(`${sums.safe} records safe on disk, ${sums.gaps} gaps told, ${Math.round(performance.now() - startedMs)} ms`);
  assert.ok(sums.safe > NUM_SEQUENCES && sums.gaps > 0);
});
