/**
 * The files of a spool: who it is, what it holds, and what a crash left of it.
 *
 * Upstream: `spool_writer.mjs`, `spool.mjs` build on it.
 * Downstream: `disk.mjs`.
 * Guarantee: after opening, every segment ends with a whole record, and no number that may have been sent is given out
 * again, whatever was torn or flipped.
 */

import { randomBytes, randomUUID } from "node:crypto";

import { crc32c } from "./crc32c.mjs";
import { realDisk } from "./disk.mjs";
import { HEADER_BYTES, readRecords } from "./spool_record.mjs";

export const SEGMENT_BYTES = 1024 * 1024;
export const DEFAULT_MAX_BYTES = 512 * 1024 * 1024;
export const ACK_FILE = "ack.json";

const SEGMENT_NAME = /^(\d{16})\.seg$/;
const FLOOR_FILE = "floor.json";
const IDENTITY_FILE = "spool.json";

/**
 * @typedef {object} Gap what was lost, and why
 * @property {number} num_events
 * @property {number} num_bytes
 * @property {number} first_seq
 * @property {number} last_seq
 * @property {string} reason
 */

/**
 * @typedef {object} Segment
 * @property {string} file
 * @property {number} first_seq
 * @property {number} last_seq
 * @property {number} num_bytes
 * @property {number} num_safe_bytes as much as is known to be on disk
 * @property {number | null} sent_at_ms when its last record was acknowledged
 * @property {boolean} is_slim
 * @property {boolean} is_named its name is known to be on disk
 */

export class SpoolFiles {
  /**
   * @param {object} options
   * @param {string} options.folder
   * @param {number} [options.maxBytes]
   * @param {number} [options.segmentBytes]
   * @param {typeof realDisk} [options.disk]
   * @param {() => number} [options.nowMs]
   * @param {(run: () => void, ms: number) => void} [options.later] runs something after a while without keeping the
   *   process alive
   * @param {(gap: Gap) => void} [options.onGap]
   */
  constructor({ folder, maxBytes, segmentBytes, disk, nowMs, later, onGap }) {
    this.folder = folder;
    this.maxBytes = maxBytes ?? DEFAULT_MAX_BYTES;
    this.segmentBytes = segmentBytes ?? SEGMENT_BYTES;
    this.disk = disk ?? realDisk;
    this.nowMs = nowMs ?? Date.now;
    this.later = later ?? ((run, ms) => void setTimeout(run, ms).unref());
    this.onGap = onGap ?? (() => {});
    this.onSafe = () => {};
    /** Big values beside the segments; they count against the cap and go first. Set by the owner. */
    this.blobs = null;
    this.counts = { appended: 0, write_errors: 0, sync_errors: 0, lost: 0 };
    /** @type {Segment[]} */
    this._segments = [];
    this._fd = null;
    this._numUnsynced = 0;
    this._isSyncing = false;
    this._syncDue = false;
    this._closing = [];
    this._inSync = [];
    /** @type {Gap | null} */
    this._unwritten = null;
    this._isClosed = false;
    this._open();
  }

  _open() {
    this.disk.makeFolder(this.folder);
    this._readIdentity();
    this.ackedSeq = this._readNumber(ACK_FILE);
    let lastSeq = 0;
    const names = this.disk.list(this.folder).filter((name) => SEGMENT_NAME.test(name));
    names.forEach((name, index) => {
      const file = this.disk.join(this.folder, name);
      const firstSeq = Number(SEGMENT_NAME.exec(name)[1]);
      const num_bytes = this.disk.size(file);
      const next = names[index + 1];
      lastSeq = next ? Number(SEGMENT_NAME.exec(next)[1]) - 1 : firstSeq - 1;
      this._segments.push({
        file,
        first_seq: firstSeq,
        last_seq: lastSeq,
        num_bytes,
        num_safe_bytes: num_bytes,
        sent_at_ms: null,
        is_slim: false,
        is_named: true,
      });
    });
    const newest = this._segments.at(-1);
    if (newest) lastSeq = this._mend(newest);
    // A process that was killed left its last bytes to the system; nothing may be sent that power could still take.
    for (const { file } of this._segments.slice(-2)) this._syncFile(file);
    this._nextSeq = Math.max(lastSeq, this.ackedSeq, this._readNumber(FLOOR_FILE)) + 1;
    this._cursor = { index: 0, offset: 0, seq: this.ackedSeq, bytes: null, base: 0 };
    this._markSent();
  }

  _syncFile(file) {
    const fd = this.disk.openAppend(file);
    this.disk.syncNow(fd);
    this.disk.close(fd);
  }

  _readIdentity() {
    const file = this.disk.join(this.folder, IDENTITY_FILE);
    try {
      const identity = JSON.parse(this.disk.read(file).toString());
      const hasFloor = this.disk.exists(this.disk.join(this.folder, FLOOR_FILE));
      // Without a floor that can be read, numbers might be given out twice; under a new id they cannot.
      const isSure = !hasFloor || this._readNumber(FLOOR_FILE) > 0;
      if (isSure && /^[0-9a-f-]{36}$/.test(identity.spool_id) && /^[0-9a-f]{64}$/.test(identity.digest_key)) {
        this.spoolId = identity.spool_id;
        this.digestKey = Buffer.from(identity.digest_key, "hex");
        return;
      }
    } catch {
      // New, or damaged: then what lies here goes out under a new id, which may double but cannot lose.
    }
    this.spoolId = randomUUID();
    this.digestKey = randomBytes(32);
    const identity = { spool_id: this.spoolId, digest_key: this.digestKey.toString("hex") };
    this.disk.replace(file, Buffer.from(JSON.stringify(identity)));
    this.disk.syncFolderNow(this.folder);
    this.disk.remove(this.disk.join(this.folder, FLOOR_FILE));
  }

  /** A number in a file of its own, with its sum: a flipped digit would skip events that were never sent. */
  _readNumber(name) {
    try {
      const { seq, crc } = JSON.parse(this.disk.read(this.disk.join(this.folder, name)).toString());
      if (Number.isSafeInteger(seq) && crc === crc32c(Buffer.from(String(seq)))) return seq;
    } catch {
      // None yet, or damaged: what is left is sent again, and the receiver knows it by its number.
    }
    return 0;
  }

  _writeNumber(name, seq, isDurable) {
    const text = JSON.stringify({ seq, crc: crc32c(Buffer.from(String(seq))) });
    this.disk.replace(this.disk.join(this.folder, name), Buffer.from(text), isDurable);
  }

  /** Cut a torn tail off the newest segment; returns the last sequence number that may have been used. */
  _mend(segment) {
    const bytes = this.disk.read(segment.file);
    let end = 0;
    let lastSeq = segment.first_seq - 1;
    for (const record of readRecords(bytes)) {
      end = record.end;
      lastSeq = Math.max(lastSeq, record.seq);
    }
    const numTorn = bytes.length - end;
    if (numTorn > 0) {
      const firstLost = lastSeq + 1;
      // The torn bytes may hold records that were sent before they were damaged: their numbers stay taken.
      lastSeq += Math.ceil(numTorn / HEADER_BYTES);
      this._writeNumber(FLOOR_FILE, Math.max(lastSeq, this._readNumber(FLOOR_FILE)), true);
      this.disk.syncFolderNow(this.folder);
      this.disk.truncate(segment.file, end);
      this._report({ num_events: 1, num_bytes: numTorn, first_seq: firstLost, last_seq: lastSeq, reason: "torn_tail" });
    }
    segment.num_bytes = end;
    segment.num_safe_bytes = end;
    segment.last_seq = lastSeq;
    if (end === 0) {
      // The next segment may get the same name.
      this.disk.remove(segment.file);
      this._segments.pop();
    }
    return lastSeq;
  }

  _report(gap) {
    this.counts.lost += gap.num_events;
    // Not from inside: the gap becomes a record of this spool.
    queueMicrotask(() => this.onGap(gap));
  }

  /** The number of the next event; numbers are used once, also over restarts. */
  takeSeq() {
    return this._nextSeq++;
  }

  get lastSeq() {
    return this._nextSeq - 1;
  }

  get numBytes() {
    return this._segments.reduce((sum, segment) => sum + segment.num_bytes, this.blobs?.numBytes ?? 0);
  }

  /** Records in the spool that are not acknowledged, at most. */
  get numWaiting() {
    return Math.max(0, this.lastSeq - this.ackedSeq);
  }
}
