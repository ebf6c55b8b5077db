/**
 * How the running plugin and the command line talk: one file each way. Other small files of the home, too.
 *
 * Upstream: `process_state.mjs` writes the status and reads the wishes; `cli.mjs` the other way round; `labels`.
 * Downstream: node:fs.
 * Guarantee: a reader sees a whole file or none; a damaged one counts as none.
 */

import fs from "node:fs";
import path from "node:path";

const STATUS_FILE = "status.json";
const CONTROL_FILE = "control.json";

/** @param {string} home @returns {{isPaused: boolean, replayAskedAtMs: number}} */
export function readControl(home) {
  const control = readJson(path.join(home, CONTROL_FILE));
  return { isPaused: control?.isPaused === true, replayAskedAtMs: Number(control?.replayAskedAtMs) || 0 };
}

export function writeControl(home, change) {
  writeJson(home, CONTROL_FILE, { ...readControl(home), ...change });
}

export function readStatus(home) {
  return readJson(path.join(home, STATUS_FILE));
}

export function writeStatus(home, status) {
  writeJson(home, STATUS_FILE, status);
}

export function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"));
  } catch {
    return null;
  }
}

export function writeJson(home, name, value) {
  fs.mkdirSync(home, { recursive: true, mode: 0o700 });
  const file = path.join(home, name);
  const part = `${file}.${process.pid}`;
  fs.writeFileSync(part, JSON.stringify(value), { mode: 0o600 });
  fs.renameSync(part, file);
}
