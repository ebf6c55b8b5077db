/**
 * Carries the spool to the gateway: batches, retries, and what each answer of the gateway means.
 *
 * Upstream: `spool.mjs`, `blobs.mjs`.
 * Downstream: `gateway_client.mjs`.
 * Guarantee: records are acknowledged in order and only after the gateway has them; nothing here is awaited by a hook,
 * and no timer keeps the process alive.
 */

import { blobsNamedIn } from "./blobs.mjs";
import { GatewayClient } from "./gateway_client.mjs";
import { bodyOf } from "./gateway_protocol.mjs";

export const MAX_BATCH_EVENTS = 500;
export const MAX_BATCH_BYTES = 256 * 1024;
const GATHER_MS = 200;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;
const REFUSED_RETRY_MS = 60_000;

export class Sender {
  /**
   * @param {object} options
   * @param {import("./spool.mjs").Spool} options.spool
   * @param {import("./blobs.mjs").Blobs} options.blobs
   * @param {{name: string, version: string, host_version: string}} options.source
   * @param {{info: Function, warn: Function}} options.log
   * @param {(gap: import("./spool.mjs").Gap) => void} options.onGap
   * @param {typeof fetch} [options.fetch]
   * @param {() => number} [options.random]
   * @param {number} [options.firstRetryMs]
   * @param {number} [options.gatherMs]
   */
  constructor({ spool, blobs, source, log, onGap, fetch, random, firstRetryMs, gatherMs }) {
    this._spool = spool;
    this._blobs = blobs;
    this._source = source;
    this._log = log;
    this._onGap = onGap;
    this._random = random ?? Math.random;
    this._firstRetryMs = firstRetryMs ?? FIRST_RETRY_MS;
    this._gatherMs = gatherMs ?? GATHER_MS;
    this._endpoint = "";
    this._key = "";
    this._timer = null;
    this._dueAtMs = 0;
    this._running = null;
    this._isOutdated = false;
    this._maxEvents = MAX_BATCH_EVENTS;
    this._numFailures = 0;
    this._closing = new AbortController();
    this._gateway = new GatewayClient({ fetch: fetch ?? globalThis.fetch, stopped: this._closing.signal });
    this.isPaused = false;
    this.counts = { batches: 0, events: 0, bytes: 0, rejected: 0, dropped: 0, retries: 0, blobs: 0, lost_blobs: 0 };
    /** For `clawtrace status`. */
    this.state = { phase: "idle", text: "nothing to send yet", last_ack_at_ms: null };
    this._told = "";
    spool.onSafe = () => this.wake();
  }

  /** New address or key: whatever was refused before may be taken now. */
  configure({ endpoint, observeKey }) {
    if (endpoint === this._endpoint && observeKey === this._key) return;
    this._endpoint = endpoint;
    this._key = observeKey;
    this._gateway.configure(endpoint, observeKey);
    this._numFailures = 0;
    // What is under way was asked at the old address with the old key; its answer says nothing of the new ones.
    this._isOutdated = this._running !== null;
    this.wake();
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    if (isPaused) this._say("paused", "paused by hand; openclaw clawtrace resume goes on");
    else this.wake(0);
  }

  /** Send soon. While a retry is due later, new events wait for it. */
  wake(afterMs = this._gatherMs) {
    if (this._closing.signal.aborted || this._running) return;
    const atMs = Date.now() + afterMs;
    if (this._timer !== null && (this._numFailures > 0 || this._dueAtMs <= atMs)) return;
    this._schedule(afterMs);
  }

  _schedule(afterMs) {
    if (this._closing.signal.aborted) return;
    clearTimeout(this._timer);
    this._dueAtMs = Date.now() + afterMs;
    this._timer = setTimeout(() => {
      this._timer = null;
      void this._run();
    }, afterMs);
    this._timer.unref();
  }

  /**
   * Send all that is in the spool now; for the end of a process and for people.
   * @param {number} withinMs
   * @returns {Promise<boolean>} whether everything has arrived
   */
  async flush(withinMs) {
    const untilMs = Date.now() + withinMs;
    const seq = this._spool.lastSeq;
    this._spool.syncNow();
    while (this._spool.ackedSeq < seq && !this._closing.signal.aborted) {
      if (!this._canSend()) return false;
      clearTimeout(this._timer);
      this._timer = null;
      const leftMs = untilMs - Date.now();
      if (leftMs <= 0) return false;
      const before = this._spool.ackedSeq;
      await within(this._run(), leftMs);
      if (this._spool.ackedSeq === before && !this._running) {
        if (this._numFailures === 0) return false;
        await wait(Math.min(untilMs - Date.now(), this._firstRetryMs));
      }
    }
    return this._spool.ackedSeq >= seq;
  }

  close() {
    clearTimeout(this._timer);
    this._closing.abort();
  }

  _canSend() {
    if (this.isPaused) return false;
    if (this._endpoint === "" || this._key === "") {
      this._say("not_set_up", "no endpoint or observe key; run: openclaw clawtrace setup");
      return false;
    }
    return true;
  }

  _run() {
    this._running ??= this._sendAll().finally(() => {
      this._running = null;
      if (this._isOutdated) {
        this._isOutdated = false;
        this._numFailures = 0;
        this._schedule(this._gatherMs);
      }
      // What became safe on disk while the last batch was under way.
      if (this._timer === null && this._numFailures === 0 && this._spool.numWaiting > 0) this.wake();
    });
    return this._running;
  }

  async _sendAll() {
    try {
      while (!this._closing.signal.aborted && this._canSend()) {
        const batch = this._spool.readBatch(this._maxEvents, MAX_BATCH_BYTES);
        if (batch.length === 0) {
          if (this.state.phase !== "idle") this._say("idle", "everything that is on disk has arrived");
          return;
        }
        if (!(await this._sendBatch(batch))) return;
      }
    } catch (error) {
      this._retry(`the spool could not be read: ${error.message}`);
    }
  }

  /** @returns {Promise<boolean>} whether to go on at once */
  async _sendBatch(batch) {
    const blobs = [...new Set(batch.flatMap(({ payload }) => blobsNamedIn(payload)))];
    for (const sha256 of blobs) {
      const answer = await this._sendBlob(sha256);
      if (answer.verdict === "again" || answer.verdict === "refused") return this._wait(answer);
    }
    const body = bodyOf(this._spool.spoolId, this._source, batch);
    const answer = await this._gateway.sendBatch(body);
    if (answer.verdict === "taken") {
      this._noteRejected(answer.rejected ?? []);
      this._onTaken(batch, body.length, blobs);
      return true;
    }
    if (answer.verdict === "again" || answer.verdict === "refused") return this._wait(answer);
    if (batch.length > 1) {
      // Halves until the event that is in the way stands alone.
      this._maxEvents = Math.ceil(batch.length / 2);
      return true;
    }
    this._drop(batch[0], answer);
    return true;
  }

  _onTaken(batch, numBytes, blobs) {
    this._spool.acknowledge(batch.at(-1).seq);
    for (const sha256 of blobs) this._blobs.markSent(sha256);
    this._blobs.sweep();
    this._numFailures = 0;
    // Grow back slowly: what was too much for the gateway may be so again.
    this._maxEvents = Math.min(MAX_BATCH_EVENTS, this._maxEvents * 2);
    this.counts.batches += 1;
    this.counts.events += batch.length;
    this.counts.bytes += numBytes;
    this.state.last_ack_at_ms = Date.now();
    this._say("sending", "the gateway takes events");
  }

  _drop({ seq, payload }, { text }) {
    this.counts.dropped += 1;
    this._log.warn(`clawtrace: event ${seq} was dropped: ${text}`);
    this._spool.acknowledge(seq);
    this._onGap({ num_events: 1, num_bytes: payload.length, first_seq: seq, last_seq: seq, reason: "refused" });
    this._numFailures = 0;
    this._maxEvents = Math.min(MAX_BATCH_EVENTS, this._maxEvents * 2);
  }

  _wait({ verdict, text, afterMs }) {
    if (verdict === "refused") {
      this._numFailures += 1;
      this._say("refused", text);
      this._schedule(REFUSED_RETRY_MS);
    } else {
      this._retry(text, afterMs);
    }
    return false;
  }

  _retry(text, afterMs) {
    this._numFailures += 1;
    this.counts.retries += 1;
    const longest = Math.min(LAST_RETRY_MS, this._firstRetryMs * 2 ** Math.min(this._numFailures - 1, 10));
    // Never less than the gateway asked for, and never all agents at the same moment.
    const waitMs = (afterMs ?? longest / 2) + (this._random() * longest) / 2;
    this._say("waiting", `${text}; events stay in the spool`);
    this._schedule(waitMs);
  }

  _say(phase, text) {
    this.state.phase = phase;
    this.state.text = text;
    const isNews = this._told !== phase && !(phase === "idle" || (phase === "sending" && this._told === ""));
    if (!isNews) return;
    this._told = phase === "sending" ? "" : phase;
    const line = `clawtrace: ${text}`;
    if (phase === "sending") this._log.info(line);
    else this._log.warn(line);
  }

  _noteRejected(rejected) {
    if (rejected.length === 0) return;
    this.counts.rejected += rejected.length;
    this._log.warn(`clawtrace: the gateway set ${rejected.length} events aside (${String(rejected[0]?.error)})`);
  }

  async _sendBlob(sha256) {
    const bytes = this._blobs.read(sha256);
    if (bytes === null) {
      this.counts.lost_blobs += 1;
      return { verdict: "taken", text: "" };
    }
    const answer = await this._gateway.sendBlob(sha256, bytes);
    if (answer.verdict === "taken") this.counts.blobs += 1;
    // A gateway without blobs: the preview in the event is what remains.
    else if (answer.verdict === "smaller" || answer.verdict === "unreadable") this.counts.lost_blobs += 1;
    return answer;
  }
}

function wait(ms) {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}

async function within(promise, ms) {
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  try {
    await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
