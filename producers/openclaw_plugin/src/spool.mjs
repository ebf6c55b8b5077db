/**
 * The spool: an append-only log on this machine's disk between the hooks and the gateway.
 *
 * Upstream: `recorder.mjs` appends one record per event.
 * Downstream: `sender.mjs` reads batches and acknowledges them.
 * Guarantee: a record survives the death of the process at once and the loss of power within SYNC_AFTER_MS; only what
 * is safe on disk is ever sent, so no sequence number can come to mean two events; every loss is told by a gap.
 */

import { randomBytes, randomUUID } from "node:crypto";

import { crc32c } from "./crc32c.mjs";
import { realDisk } from "./disk.mjs";
import { HEADER_BYTES, encodeRecord, readRecord, readRecords } from "./spool_record.mjs";
import { slimPayload } from "./spool_slim.mjs";

export const SEGMENT_BYTES = 1024 * 1024;
export const SYNC_AFTER_MS = 50;
export const SYNC_AFTER_RECORDS = 64;
export const KEEP_SENT_MS = 10 * 60_000;
export const DEFAULT_MAX_BYTES = 512 * 1024 * 1024;

const SEGMENT_NAME = /^(\d{16})\.seg$/;
const ACK_FILE = "ack.json";
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

export class Spool {
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

  /**
   * Append a record. Numbers must rise.
   * @param {number} seq
   * @param {Uint8Array} payload
   */
  append(seq, payload) {
    if (this._isClosed) return;
    const record = encodeRecord(seq, payload);
    try {
      const segment = this._writable(seq, record.length);
      this._write(segment, record);
      segment.last_seq = seq;
      segment.sent_at_ms = null;
      this.counts.appended += 1;
      this._numUnsynced += 1;
    } catch (error) {
      this._onWriteError(seq, record.length, error);
      return;
    }
    if (this._unwritten) {
      const gap = this._unwritten;
      this._unwritten = null;
      this._report(gap);
    }
    this._scheduleSync();
    if (this.numBytes > this.maxBytes) this.later(() => this.enforceCap(), 0);
  }

  _write(segment, record) {
    let written = 0;
    try {
      while (written < record.length) written += this.disk.write(this._fd, record.subarray(written));
    } catch (error) {
      // Half a record in the middle of a segment costs a search at every reading.
      if (written > 0) this.disk.truncate(segment.file, segment.num_bytes);
      throw error;
    }
    segment.num_bytes += record.length;
  }

  _onWriteError(seq, numBytes, error) {
    this.counts.write_errors += 1;
    this.lastError = error.message;
    const gap = this._unwritten ?? { num_events: 0, num_bytes: 0, first_seq: seq, last_seq: seq, reason: "disk" };
    gap.num_events += 1;
    gap.num_bytes += numBytes;
    gap.last_seq = seq;
    this._unwritten = gap;
  }

  /** The segment to append to; a new one when the newest is full or from another process. */
  _writable(seq, numBytes) {
    const newest = this._segments.at(-1);
    if (this._fd !== null && newest.num_bytes + numBytes <= this.segmentBytes) return newest;
    if (this._fd !== null) this._seal(newest);
    const file = this.disk.join(this.folder, `${String(seq).padStart(16, "0")}.seg`);
    this._fd = this.disk.openAppend(file);
    const segment = {
      file,
      first_seq: seq,
      last_seq: seq,
      num_bytes: 0,
      num_safe_bytes: 0,
      sent_at_ms: null,
      is_slim: false,
      is_named: false,
    };
    this._segments.push(segment);
    return segment;
  }

  _seal(segment) {
    this._closing.push({ segment, fd: this._fd });
    this._fd = null;
  }

  // --- on disk for good

  _scheduleSync() {
    if (this._numUnsynced >= SYNC_AFTER_RECORDS && !this._isSyncing) {
      this._sync();
    } else if (!this._syncDue) {
      this._syncDue = true;
      this.later(() => {
        this._syncDue = false;
        if (this._numUnsynced > 0 && !this._isSyncing && !this._isClosed) this._sync();
      }, SYNC_AFTER_MS);
    }
  }

  _sync() {
    this._isSyncing = true;
    this._numUnsynced = 0;
    const newest = this._segments.at(-1);
    const sealed = this._closing.splice(0);
    const jobs = sealed.map(({ segment, fd }) => ({ segment, fd, numBytes: segment.num_bytes, isSealed: true }));
    this._inSync = [...jobs];
    if (this._fd !== null) jobs.push({ segment: newest, fd: this._fd, numBytes: newest.num_bytes, isSealed: false });
    const next = () => {
      const job = jobs.shift();
      if (job === undefined || this._isClosed) {
        this._isSyncing = false;
        if (this._numUnsynced > 0) this._scheduleSync();
        this.onSafe();
        return;
      }
      this.disk.sync(job.fd, (error) => {
        if (this._isClosed) return;
        // A failed sync cannot be repeated; the bytes are readable, and sending them soon is the best to be done.
        if (error) this.counts.sync_errors += 1;
        if (job.segment.is_named) {
          this._onSynced(job);
          next();
          return;
        }
        this.disk.syncFolder(this.folder, () => {
          if (this._isClosed) return;
          this._onSynced(job);
          next();
        });
      });
    };
    next();
  }

  _onSynced({ segment, fd, numBytes, isSealed }) {
    segment.is_named = true;
    segment.num_safe_bytes = Math.max(segment.num_safe_bytes, numBytes);
    if (!isSealed) return;
    this._inSync = this._inSync.filter((job) => job.segment !== segment);
    this.disk.close(fd);
  }

  /** Put everything on disk now; blocks. For the end of the process. */
  syncNow() {
    const newest = this._segments.at(-1);
    // Those under way are confirmed by their own callbacks, which close them; here they only must not be missed.
    for (const { fd } of this._inSync) this.disk.syncNow(fd);
    for (const { segment, fd } of this._closing.splice(0)) {
      this.disk.syncNow(fd);
      this._onSynced({ segment, fd, numBytes: segment.num_bytes, isSealed: true });
    }
    if (this._fd !== null) {
      this.disk.syncNow(this._fd);
      this._onSynced({ segment: newest, fd: this._fd, numBytes: newest.num_bytes, isSealed: false });
    }
    this.disk.syncFolderNow(this.folder);
    this._numUnsynced = 0;
  }

  close() {
    if (this._isClosed) return;
    try {
      this.syncNow();
      if (this._fd !== null) this.disk.close(this._fd);
    } finally {
      this._fd = null;
      this._isClosed = true;
    }
  }

  // --- reading

  /**
   * The next records behind those acknowledged, as far as they are safe on disk.
   * @param {number} maxRecords
   * @param {number} maxBytes
   * @returns {{seq: number, payload: Buffer}[]}
   */
  readBatch(maxRecords, maxBytes) {
    const batch = [];
    let numBytes = 0;
    const cursor = this._cursor;
    if (cursor.seq !== this.ackedSeq) this._rewind();
    const at = { index: cursor.index, offset: cursor.offset, seq: cursor.seq };
    while (batch.length < maxRecords && at.index < this._segments.length) {
      const record = this._next(at);
      if (record === null) break;
      if (record === "segment_end") continue;
      if (record.seq <= this.ackedSeq) continue;
      if (batch.length > 0 && numBytes + record.payload.length > maxBytes) break;
      batch.push({ seq: record.seq, payload: record.payload });
      numBytes += record.payload.length;
    }
    return batch;
  }

  _rewind() {
    const found = this._segments.findIndex((segment) => segment.last_seq > this.ackedSeq);
    // When all has arrived, the place is in the newest segment: it goes on growing.
    const index = found < 0 ? Math.max(0, this._segments.length - 1) : found;
    const cursor = this._cursor;
    if (index !== cursor.index || cursor.seq > this.ackedSeq || cursor.seq < 0) {
      cursor.index = index;
      cursor.offset = 0;
      cursor.bytes = null;
    }
    const segment = this._segments[cursor.index];
    cursor.seq = this.ackedSeq;
    if (!segment) return;
    const bytes = this._bytesOf(cursor.index, cursor.offset);
    for (const record of readRecords(bytes, cursor.offset - cursor.base)) {
      if (record.seq > this.ackedSeq) break;
      cursor.offset = cursor.base + record.end;
    }
  }

  /** Bytes of a segment from `cursor.base` on; those of the segment under the cursor are kept. */
  _bytesOf(index, offset) {
    const segment = this._segments[index];
    const cursor = this._cursor;
    const isKept = cursor.bytes !== null && cursor.file === segment.file && offset >= cursor.base;
    if (isKept && cursor.base + cursor.bytes.length >= segment.num_safe_bytes) return cursor.bytes;
    const bytes = this.disk.readRange(segment.file, offset, segment.num_safe_bytes);
    Object.assign(cursor, { bytes, base: offset, file: segment.file });
    return bytes;
  }

  _next(at) {
    const segment = this._segments[at.index];
    const isSealed = this._fd === null || at.index < this._segments.length - 1;
    const bytes = this._bytesOf(at.index, at.offset);
    const base = this._cursor.base;
    let record = readRecord(bytes, at.offset - base);
    let numSkipped = 0;
    if (record === null) {
      const found = readRecords(bytes, at.offset - base).next().value;
      if (found) {
        record = found;
        numSkipped = found.num_skipped_bytes;
      }
    }
    if (record !== null) {
      if (numSkipped > 0 && record.seq > this.ackedSeq + 1) this._reportDamage(at, numSkipped, record.seq - 1);
      at.offset = base + record.end;
      at.seq = Math.max(at.seq, record.seq);
      return record;
    }
    if (!isSealed || segment.num_safe_bytes < segment.num_bytes) return null;
    const numLeft = segment.num_bytes - at.offset;
    if (numLeft > 0 && segment.last_seq > this.ackedSeq) this._reportDamage(at, numLeft, segment.last_seq);
    at.index += 1;
    at.offset = 0;
    at.seq = Math.max(at.seq, segment.last_seq);
    return "segment_end";
  }

  _reportDamage(at, numBytes, lastSeq) {
    const firstSeq = Math.max(at.seq, this.ackedSeq) + 1;
    if (lastSeq < firstSeq || (this._damageToldTo ?? 0) >= lastSeq) return;
    this._damageToldTo = lastSeq;
    const num_events = lastSeq - firstSeq + 1;
    this._report({ num_events, num_bytes: numBytes, first_seq: firstSeq, last_seq: lastSeq, reason: "damaged" });
  }

  /** All records up to `seq` have arrived. */
  acknowledge(seq) {
    if (seq <= this.ackedSeq) return;
    this.ackedSeq = seq;
    try {
      this._writeNumber(ACK_FILE, seq, false);
    } catch (error) {
      // Then the records are sent again after a restart, and the receiver knows them by their numbers.
      this.lastError = error.message;
    }
    this._markSent();
    this.sweep();
  }

  /** Send everything again that is still here. */
  replay() {
    this.ackedSeq = (this._segments[0]?.first_seq ?? this._nextSeq) - 1;
    this._rewind();
  }

  // --- making room

  _markSent() {
    for (const segment of this._segments) {
      if (segment.last_seq > this.ackedSeq) break;
      segment.sent_at_ms ??= this.nowMs();
    }
  }

  /** The oldest may go only when another one is on disk for good: the last number must stay known. */
  _mayRemove() {
    return this._segments.length > 1 && this._segments[1].is_named && this._segments[1].num_safe_bytes > 0;
  }

  /** Remove what was sent a while ago. */
  sweep() {
    while (this._mayRemove()) {
      const [oldest] = this._segments;
      if (oldest.sent_at_ms === null || this.nowMs() - oldest.sent_at_ms < KEEP_SENT_MS) return;
      this._removeOldest();
    }
  }

  _removeOldest() {
    const [oldest] = this._segments.splice(0, 1);
    this.disk.remove(oldest.file);
    this._forgetPlace();
  }

  _forgetPlace() {
    this._cursor = { index: 0, offset: 0, seq: -1, bytes: null, base: 0 };
  }

  /** Come below the cap: first what was sent, then payloads of the oldest events, then the oldest events. */
  enforceCap() {
    this._dropBlobs();
    while (this.numBytes > this.maxBytes && this._mayRemove()) {
      const [oldest] = this._segments;
      if (oldest.last_seq <= this.ackedSeq) {
        this._removeOldest();
        continue;
      }
      const heavy = this._segments.slice(0, -1).find((segment) => this._isUnsentAndFat(segment));
      if (heavy) this._slim(heavy);
      else if (oldest.num_safe_bytes === oldest.num_bytes) this._dropOldest(oldest);
      else return;
    }
  }

  _dropBlobs() {
    const numTooMany = this.numBytes - this.maxBytes;
    if (numTooMany <= 0 || !this.blobs?.numBytes) return;
    const num_bytes = this.blobs.dropOldest(numTooMany);
    const first_seq = this.ackedSeq + 1;
    this._report({ num_events: 0, num_bytes, first_seq, last_seq: this.lastSeq, reason: "payloads_dropped" });
  }

  _isUnsentAndFat(segment) {
    return !segment.is_slim && segment.last_seq > this.ackedSeq && segment.num_safe_bytes === segment.num_bytes;
  }

  _dropOldest(oldest) {
    const first_seq = Math.max(oldest.first_seq, this.ackedSeq + 1);
    const gap = { num_events: oldest.last_seq - first_seq + 1, num_bytes: oldest.num_bytes, first_seq };
    this._removeOldest();
    this._report({ ...gap, last_seq: oldest.last_seq, reason: "spool_full" });
  }

  /** Write a segment anew without its long texts: ids, tokens, times and money stay. */
  _slim(segment) {
    segment.is_slim = true;
    const records = [];
    let numSlimmed = 0;
    for (const { seq, payload } of readRecords(this.disk.read(segment.file))) {
      const slim = seq > this.ackedSeq ? slimPayload(payload) : payload;
      if (slim !== payload) numSlimmed += 1;
      records.push(encodeRecord(seq, slim));
    }
    if (numSlimmed === 0) return;
    const bytes = Buffer.concat(records);
    const num_bytes = segment.num_bytes - bytes.length;
    this.disk.replace(segment.file, bytes);
    segment.num_bytes = bytes.length;
    segment.num_safe_bytes = bytes.length;
    this._forgetPlace();
    const { first_seq, last_seq } = segment;
    // No event is lost, so none is counted; the gap says which of them have no texts any more.
    this._report({ num_events: 0, num_bytes, first_seq, last_seq, reason: "payloads_dropped" });
  }
}
