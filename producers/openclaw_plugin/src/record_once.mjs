/**
 * Records one event of a command, beside whatever process is recording, and sends it.
 *
 * Upstream: `cli.mjs`.
 * Downstream: a spool of its own; `sender.mjs`.
 * Guarantee: the event is screened like any other and on disk before anything is sent; what cannot be sent now goes
 * with the next start of the gateway.
 */

import path from "node:path";

import { Ballast } from "./ballast.mjs";
import { Blobs } from "./blobs.mjs";
import { Privacy } from "./privacy.mjs";
import { lockSpool } from "./process_state.mjs";
import { Recorder } from "./recorder.mjs";
import { Redactor } from "./redaction.mjs";
import { Sender } from "./sender.mjs";
import { VERSION } from "./settings.mjs";
import { Spool } from "./spool.mjs";

const SEND_WITHIN_MS = 5_000;

/**
 * @param {{home: string, settings: import("./settings.mjs").Settings, hostVersion: string}} place
 * @param {string} hook
 * @param {object} event
 * @param {object} ctx
 * @returns {Promise<boolean>} whether it has arrived
 */
export async function recordOnce({ home, settings, hostVersion }, hook, event, ctx) {
  const { folder, lock } = lockSpool(home);
  try {
    const onGap = () => {};
    const spool = new Spool({ folder, maxBytes: settings.maxBytes, onGap });
    const blobs = new Blobs({ folder: path.join(folder, "blobs") });
    const source = { name: "clawtrace-openclaw", version: VERSION, host_version: hostVersion };
    const sender = new Sender({ spool, blobs, source, log: { info() {}, warn() {} }, onGap });
    try {
      const redactor = new Redactor({ digestKey: spool.digestKey, ...settings.redact });
      const privacy = new Privacy({ capture: settings.capture, redactor, storeBlob: (json) => blobs.store(json) });
      const ballast = new Ballast();
      const recorder = new Recorder({ spool, privacy });
      recorder.record(hook, ballast.event(hook, event), ballast.ctx(ctx), Date.now() * 1000);
      recorder.drain();
      sender.configure(settings);
      return await sender.flush(SEND_WITHIN_MS);
    } finally {
      sender.close();
      spool.close();
    }
  } finally {
    lock.release();
  }
}
