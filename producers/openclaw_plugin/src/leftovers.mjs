/**
 * Sends what spools hold that no live process owns.
 *
 * Upstream: `cli.mjs` (flush), `process_state.mjs` after a start of the gateway.
 * Downstream: `spool.mjs`, `sender.mjs`.
 * Guarantee: a spool is touched only under its lock; one that is in use is left to its owner.
 */

import fs from "node:fs";
import path from "node:path";

import { Blobs } from "./blobs.mjs";
import { Sender } from "./sender.mjs";
import { VERSION } from "./settings.mjs";
import { Spool } from "./spool.mjs";
import { takeLock } from "./spool_lock.mjs";

const MAX_SPOOLS = 9;

/** All names a spool folder may have; a second process at the same time gets the second. */
export const SPOOL_NAMES = Array.from({ length: MAX_SPOOLS }, (_, index) => (index === 0 ? "spool" : `spool-${index + 1}`));

/**
 * @param {object} options
 * @param {string} options.home
 * @param {import("./settings.mjs").Settings} options.settings
 * @param {number} options.withinMs
 * @param {boolean} [options.isAgain] send also what was sent before and is still here
 * @param {string} [options.hostVersion]
 * @param {string} [options.except] a folder
 * @returns {Promise<{numSent: number, numLeft: number, text: string, gaps: object[]}>}
 */
export async function sendStoredEvents({ home, settings, withinMs, isAgain = false, hostVersion = "", except }) {
  const sum = { numSent: 0, numLeft: 0, text: "", gaps: [] };
  for (const name of SPOOL_NAMES) {
    const folder = path.join(home, name);
    if (folder === except || !fs.existsSync(path.join(folder, "spool.json"))) continue;
    const lock = takeLock(folder);
    if (lock === null) continue;
    try {
      await sendOne(folder, { settings, withinMs, isAgain, hostVersion, sum });
    } finally {
      lock.release();
    }
  }
  return sum;
}

async function sendOne(folder, { settings, withinMs, isAgain, hostVersion, sum }) {
  const onGap = (gap) => sum.gaps.push(gap);
  const spool = new Spool({ folder, maxBytes: settings.maxBytes, onGap });
  const blobs = new Blobs({ folder: path.join(folder, "blobs") });
  const source = { name: "clawtrace-openclaw", version: VERSION, host_version: hostVersion };
  const sender = new Sender({ spool, blobs, source, log: { info() {}, warn() {} }, onGap });
  try {
    if (isAgain) spool.replay();
    sender.configure(settings);
    await sender.flush(withinMs);
    sum.numSent += sender.counts.events;
    sum.numLeft += spool.numWaiting;
    if (spool.numWaiting > 0) sum.text = sender.state.text;
  } finally {
    sender.close();
    spool.close();
  }
}
