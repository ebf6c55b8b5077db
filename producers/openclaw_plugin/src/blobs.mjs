/**
 * Values too big for an event, each in a file named by its SHA-256.
 *
 * Upstream: `privacy.mjs` stores what it has screened.
 * Downstream: `sender.mjs` sends a blob before the first event that names it.
 * Guarantee: a blob is on disk whole or not at all; it stays until the events that name it were sent, and some minutes.
 */

import { createHash } from "node:crypto";

import { realDisk } from "./disk.mjs";
import { KEEP_SENT_MS } from "./spool.mjs";

const NAMED = /"clawtrace_blob":\{"sha256":"([0-9a-f]{64})"/g;

/** The SHA-256 of the blobs that a spooled event names. Inside of texts the quotes would be escaped. */
export function blobsNamedIn(payload) {
  if (!payload.includes('"clawtrace_blob"')) return [];
  return [...payload.toString("latin1").matchAll(NAMED)].map((match) => match[1]);
}

export class Blobs {
  /**
   * @param {object} options
   * @param {string} options.folder
   * @param {typeof realDisk} [options.disk]
   * @param {() => number} [options.nowMs]
   */
  constructor({ folder, disk = realDisk, nowMs = Date.now }) {
    this._disk = disk;
    this._nowMs = nowMs;
    this._waiting = folder;
    this._sent = disk.join(folder, "sent");
    disk.makeFolder(this._sent);
    this.numBytes = 0;
    for (const name of disk.list(folder)) {
      if (name !== "sent") this.numBytes += disk.size(disk.join(folder, name));
    }
  }

  /** @param {Buffer} json @returns {string} its SHA-256 */
  store(json) {
    const sha256 = createHash("sha256").update(json).digest("hex");
    const file = this._disk.join(this._waiting, sha256);
    if (!this._disk.exists(file)) {
      this._disk.replace(file, json, false);
      this.numBytes += json.length;
    }
    return sha256;
  }

  /** @returns {Buffer | null} null when it was dropped */
  read(sha256) {
    for (const folder of [this._waiting, this._sent]) {
      const file = this._disk.join(folder, sha256);
      if (this._disk.exists(file)) return this._disk.read(file);
    }
    return null;
  }

  markSent(sha256) {
    const file = this._disk.join(this._waiting, sha256);
    if (!this._disk.exists(file)) return;
    this.numBytes -= this._disk.size(file);
    this._disk.rename(file, this._disk.join(this._sent, sha256));
  }

  sweep() {
    for (const name of this._disk.list(this._sent)) {
      const file = this._disk.join(this._sent, name);
      if (this._nowMs() - this._disk.modifiedAtMs(file) > KEEP_SENT_MS) this._disk.remove(file);
    }
  }

  /**
   * Remove the oldest blobs that were not sent until `numBytes` are free.
   * @returns {number} bytes that are free now
   */
  dropOldest(numBytes) {
    const files = this._disk
      .list(this._waiting)
      .filter((name) => name !== "sent")
      .map((name) => this._disk.join(this._waiting, name))
      .sort((one, other) => this._disk.modifiedAtMs(one) - this._disk.modifiedAtMs(other));
    let freed = 0;
    for (const file of files) {
      if (freed >= numBytes) break;
      freed += this._disk.size(file);
      this._disk.remove(file);
    }
    this.numBytes -= freed;
    return freed;
  }
}
