/**
 * The guard's memory on disk, so that a restart with the server away forgets no limit and no hold.
 *
 * Upstream: the guard, whenever something changed.
 * Downstream: the guard, at its start.
 * Guarantee: the file is whole or the one before it (written beside, synced, renamed); writing never happens inside a
 * hook; a broken file counts as none.
 */

import { mkdirSync, readFileSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";

const WRITE_AFTER_MS = 200;

/** JSON with whole numbers of any size. */
export const encode = (value) =>
  JSON.stringify(value, (_, it) => (typeof it === "bigint" ? { $n: String(it) } : it instanceof Set ? [...it] : it));
export const decode = (text) =>
  JSON.parse(text, (_, it) => (it && typeof it === "object" && typeof it.$n === "string" ? BigInt(it.$n) : it));

export class Store {
  /**
   * @param {string | undefined} file undefined: nothing is kept
   * @param {() => unknown} snapshot
   * @param {(error: unknown) => void} onError
   */
  constructor(file, snapshot, onError) {
    this.file = file;
    this.snapshot = snapshot;
    this.onError = onError;
    this.timer = undefined;
    this.writing = Promise.resolve();
  }

  /** What was kept, or undefined. Reads at once: called only when the guard is made. */
  load() {
    if (!this.file) return undefined;
    try {
      return decode(readFileSync(this.file, "utf8"));
    } catch (error) {
      if (error?.code !== "ENOENT") this.onError(error);
      return undefined;
    }
  }

  /** Write soon; many changes become one write. */
  changed() {
    if (!this.file || this.timer) return;
    this.timer = setTimeout(() => this.flush(), WRITE_AFTER_MS);
    this.timer.unref?.();
  }

  /** Write now; settles when it is on disk. */
  flush() {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (!this.file) return Promise.resolve();
    this.writing = this.writing.then(() => this.#write()).catch(this.onError);
    return this.writing;
  }

  async #write() {
    const beside = `${this.file}.${process.pid}.new`;
    mkdirSync(dirname(this.file), { recursive: true, mode: 0o700 });
    const handle = await open(beside, "w", 0o600);
    try {
      await handle.writeFile(encode(this.snapshot()));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(beside, this.file);
  }
}
