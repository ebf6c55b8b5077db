/**
 * The few file operations a spool stands on.
 *
 * Upstream: `spool.mjs`, `blobs.mjs`; the model test gives them a disk of its own that crashes.
 * Downstream: node:fs.
 * Guarantee: what `sync` and `syncFolder` confirmed survives the loss of power; nobody but the owner can read it.
 */

import fs from "node:fs";
import path from "node:path";

export const realDisk = {
  makeFolder: (folder) => void fs.mkdirSync(folder, { recursive: true, mode: 0o700 }),

  /** Names in a folder, sorted; none when it does not exist. */
  list(folder) {
    try {
      return fs.readdirSync(folder).sort();
    } catch (error) {
      if (error.code === "ENOENT") return [];
      throw error;
    }
  },

  exists: (file) => fs.existsSync(file),
  size: (file) => fs.statSync(file).size,
  read: (file) => fs.readFileSync(file),

  readRange(file, start, end) {
    const fd = fs.openSync(file, "r");
    try {
      const bytes = Buffer.allocUnsafe(Math.max(0, end - start));
      let filled = 0;
      while (filled < bytes.length) {
        const count = fs.readSync(fd, bytes, filled, bytes.length - filled, start + filled);
        if (count === 0) break;
        filled += count;
      }
      return bytes.subarray(0, filled);
    } finally {
      fs.closeSync(fd);
    }
  },

  openAppend: (file) => fs.openSync(file, "a", 0o600),
  write: (fd, bytes) => fs.writeSync(fd, bytes),
  sync: (fd, done) => fs.fdatasync(fd, done),
  syncNow: (fd) => fs.fdatasyncSync(fd),
  close: (fd) => fs.closeSync(fd),
  truncate: (file, size) => fs.truncateSync(file, size),
  rename: (from, to) => fs.renameSync(from, to),
  remove: (file) => fs.rmSync(file, { force: true }),

  /** Write a small file so that it is there whole or not at all; with `isDurable` also after a loss of power. */
  replace(file, bytes, isDurable = true) {
    const part = `${file}.part`;
    const fd = fs.openSync(part, "w", 0o600);
    try {
      fs.writeFileSync(fd, bytes);
      if (isDurable) fs.fdatasyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(part, file);
  },

  /** Make the names of new files in a folder last; not every system can, and then nothing is needed. */
  syncFolder(folder, done) {
    fs.open(folder, "r", (error, fd) => {
      // Windows cannot open a folder; its file systems journal names themselves.
      if (error) return done();
      return fs.fsync(fd, () => fs.close(fd, () => done()));
    });
  },

  syncFolderNow(folder) {
    let fd;
    try {
      fd = fs.openSync(folder, "r");
      fs.fsyncSync(fd);
    } catch {
      // As above.
    } finally {
      if (fd !== undefined) fs.closeSync(fd);
    }
  },

  modifiedAtMs: (file) => fs.statSync(file).mtimeMs,
  join: path.join,
};
