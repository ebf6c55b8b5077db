/**
 * One writer per spool folder, over processes, restarts and containers.
 *
 * Upstream: `process_state.mjs` before it opens a spool.
 * Downstream: node:fs, /proc where there is one.
 * Guarantee: two live processes never both hold a folder; the lock of a dead one is taken over, also when its process
 * id is in use again.
 */

import fs from "node:fs";
import path from "node:path";

const LOCK_FILE = "lock";
const MAX_TRIES = 5;

/**
 * @param {string} folder
 * @returns {{release: () => void} | null} null when another live process holds it
 */
export function takeLock(folder) {
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = path.join(folder, LOCK_FILE);
  const mine = JSON.stringify({ pid: process.pid, started: startOf(process.pid), token: `${Math.random()}${Date.now()}` });
  for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
    if (createWhole(file, mine)) return { release: () => release(file, mine) };
    const holder = readText(file);
    if (holder === null) continue;
    if (isAlive(holder)) return null;
    takeAway(file, holder);
  }
  return null;
}

/** Whether a live process holds the folder. */
export function isLocked(folder) {
  const holder = readText(path.join(folder, LOCK_FILE));
  return holder !== null && isAlive(holder);
}

/** A link appears with its content in one step; "wx" would show an empty file to whoever looks too early. */
function createWhole(file, text) {
  const part = `${file}.${process.pid}`;
  fs.writeFileSync(part, text, { mode: 0o600 });
  try {
    fs.linkSync(part, file);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  } finally {
    fs.rmSync(part, { force: true });
  }
}

/** Only one of several that see the same dead holder gets it; who took a fresh lock by mistake puts it back. */
function takeAway(file, holder) {
  const aside = `${file}.old.${process.pid}`;
  try {
    fs.renameSync(file, aside);
  } catch {
    return;
  }
  if (readText(aside) !== holder) {
    try {
      fs.linkSync(aside, file);
    } catch {
      // A third one was faster; its lock stands.
    }
  }
  fs.rmSync(aside, { force: true });
}

function release(file, mine) {
  if (readText(file) === mine) fs.rmSync(file, { force: true });
}

function isAlive(text) {
  let holder;
  try {
    holder = JSON.parse(text);
  } catch {
    return false;
  }
  if (!Number.isInteger(holder.pid) || holder.pid <= 0) return false;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    // EPERM: it lives, under another user.
    if (error.code !== "EPERM") return false;
  }
  // In a container the process id is the same after every restart.
  return holder.started === startOf(holder.pid);
}

/** When a process started, in the kernel's own count since boot, with the id of the boot; "" where it cannot be told. */
function startOf(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    const boot = fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return `${boot}:${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}`;
  } catch {
    return "";
  }
}

function readText(file) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    return null;
  }
}
