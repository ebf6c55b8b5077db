/**
 * The spool: an append-only log on this machine's disk between the hooks and the gateway.
 *
 * Upstream: `recorder.mjs` appends one record per event.
 * Downstream: `sender.mjs` reads batches and acknowledges them.
 * Guarantee: only what is safe on disk is ever sent, so no sequence number can come to mean two events; what was sent
 * stays for KEEP_SENT_MS; every loss is told by a gap.
 */

import { ACK_FILE, DEFAULT_MAX_BYTES } from "./spool_files.mjs";
import { encodeRecord, readRecord, readRecords } from "./spool_record.mjs";
import { slimPayload } from "./spool_slim.mjs";
import { SpoolWriter } from "./spool_writer.mjs";

export { DEFAULT_MAX_BYTES };
export const KEEP_SENT_MS = 10 * 60_000;

/** @typedef {import("./spool_files.mjs").Gap} Gap */

export class Spool extends SpoolWriter {
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
