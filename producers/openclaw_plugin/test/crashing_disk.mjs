/**
 * A disk in memory that loses what was not synced when the power goes, tears writes and flips bits.
 *
 * Upstream: the model test of the spool.
 * Downstream: nothing.
 * Guarantee: keeps what `sync` and `syncFolder` confirmed, and nothing else for sure; the same seed does the same.
 */

export class CrashingDisk {
  /** @param {() => number} random */
  constructor(random) {
    this._random = random;
    /** @type {Map<string, {bytes: Buffer, numSynced: number, isNamed: boolean, before: Buffer | null}>} */
    this.files = new Map();
    this._open = new Map();
    this._nextFd = 3;
    this._syncs = [];
    this._epoch = 0;
    this.isFull = false;
  }

  /** Let the disk finish what it was asked to sync. */
  settle() {
    for (const finish of this._syncs.splice(0)) finish();
  }

  crash() {
    this._epoch += 1;
    this._syncs = [];
    this._open.clear();
    for (const [name, file] of this.files) {
      if (!file.isNamed && this._random() < 0.5) {
        this.files.delete(name);
        continue;
      }
      if (file.before !== null && this._random() < 0.5) file.bytes = file.before;
      else this._tear(file);
      Object.assign(file, { numSynced: file.bytes.length, isNamed: true, before: null });
    }
  }

  _tear(file) {
    const numLoose = file.bytes.length - file.numSynced;
    if (numLoose <= 0) return;
    const kept = file.numSynced + Math.floor(this._random() * (numLoose + 1));
    file.bytes = Buffer.from(file.bytes.subarray(0, kept));
    // The length was written, the content was not.
    if (kept > file.numSynced && this._random() < 0.3) {
      file.bytes.fill(0, file.numSynced + Math.floor(this._random() * (kept - file.numSynced)));
    }
  }

  flipBit() {
    const names = [...this.files.keys()].filter((name) => this.files.get(name).bytes.length > 0);
    if (names.length === 0) return;
    const file = this.files.get(names[Math.floor(this._random() * names.length)]);
    file.bytes[Math.floor(this._random() * file.bytes.length)] ^= 1 << Math.floor(this._random() * 8);
  }

  makeFolder() {}
  list = (folder) =>
    [...this.files.keys()]
      .filter((name) => name.startsWith(`${folder}/`))
      .map((name) => name.slice(folder.length + 1))
      .sort();
  exists = (name) => this.files.has(name);
  size = (name) => this._file(name).bytes.length;
  read = (name) => Buffer.from(this._file(name).bytes);
  readRange = (name, start, end) => Buffer.from(this._file(name).bytes.subarray(start, end));
  join = (...parts) => parts.join("/");
  modifiedAtMs = () => 0;
  remove = (name) => void this.files.delete(name);

  _file(name) {
    const file = this.files.get(name);
    if (!file) throw Object.assign(new Error(`no file ${name}`), { code: "ENOENT" });
    return file;
  }

  openAppend(name) {
    if (this.isFull && !this.files.has(name)) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
    if (!this.files.has(name)) {
      this.files.set(name, { bytes: Buffer.alloc(0), numSynced: 0, isNamed: false, before: null });
    }
    this._open.set(this._nextFd, this.files.get(name));
    return this._nextFd++;
  }

  write(fd, bytes) {
    const file = this._open.get(fd);
    if (this.isFull && this._random() < 0.5) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
    // A write may take less than it was given.
    const count = this._random() < 0.1 ? Math.ceil(bytes.length / 2) : bytes.length;
    file.bytes = Buffer.concat([file.bytes, bytes.subarray(0, count)]);
    return count;
  }

  close = (fd) => void this._open.delete(fd);

  sync(fd, done) {
    const file = this._open.get(fd);
    const numBytes = file.bytes.length;
    this._after(() => {
      file.numSynced = Math.max(file.numSynced, Math.min(numBytes, file.bytes.length));
      done(null);
    });
  }

  syncNow(fd) {
    const file = this._open.get(fd);
    file.numSynced = file.bytes.length;
  }

  syncFolder(_folder, done) {
    this._after(() => {
      this.syncFolderNow();
      done();
    });
  }

  syncFolderNow() {
    for (const file of this.files.values()) {
      file.isNamed = true;
      // What was renamed over another file stays so, when its content is on disk too.
      if (file.numSynced === file.bytes.length) file.before = null;
    }
  }

  _after(run) {
    const epoch = this._epoch;
    this._syncs.push(() => {
      if (epoch === this._epoch) run();
    });
  }

  truncate(name, size) {
    const file = this._file(name);
    file.bytes = Buffer.from(file.bytes.subarray(0, size));
    file.numSynced = Math.min(file.numSynced, size);
  }

  replace(name, bytes, isDurable = true) {
    const before = this.files.get(name)?.bytes ?? null;
    const numSynced = isDurable ? bytes.length : 0;
    this.files.set(name, { bytes: Buffer.from(bytes), numSynced, isNamed: before !== null || isDurable, before });
  }
}
