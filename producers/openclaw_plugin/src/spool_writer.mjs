/**
 * Appends records to a spool and gets them onto the disk in groups.
 *
 * Upstream: `spool.mjs` builds on it.
 * Downstream: `spool_files.mjs`.
 * Guarantee: a record survives the death of the process at once and the loss of power within SYNC_AFTER_MS; only what
 * was confirmed counts as safe.
 */

import { SpoolFiles } from "./spool_files.mjs";
import { encodeRecord } from "./spool_record.mjs";

export const SYNC_AFTER_MS = 50;
export const SYNC_AFTER_RECORDS = 64;

export class SpoolWriter extends SpoolFiles {
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
}
