/**
 * The one set of parts that both instances of the plugin in a process share, and their life.
 *
 * Upstream: `index.mjs`, evaluated anew for each instance and at each reload.
 * Downstream: capture, recorder, spool, sender, guard, labeller.
 * Guarantee: one spool, one sender and one sequence per process, opened at the first event; ending an instance ends
 * nothing, ending the process leaves everything on disk.
 */

import path from "node:path";

import { Blobs } from "./blobs.mjs";
import { Capture } from "./capture.mjs";
import { connectGuard, createGuard } from "./guard/index.mjs";
import { Labeller } from "./labels/labeller.mjs";
import { SPOOL_NAMES, sendStoredEvents } from "./leftovers.mjs";
import { Privacy } from "./privacy.mjs";
import { Recorder } from "./recorder.mjs";
import { Redactor } from "./redaction.mjs";
import { Sender } from "./sender.mjs";
import { VERSION } from "./settings.mjs";
import { Spool } from "./spool.mjs";
import { takeLock } from "./spool_lock.mjs";
import { readControl, writeStatus } from "./status_files.mjs";

/** Change the number when another version's parts cannot be shared. */
export const STATE_SYMBOL = Symbol.for("clawtrace.v1");
const REOPEN_AFTER_MS = 30_000;
const LOOK_EVERY_MS = 1_000;

/** The state of this process; made when there is none, or when it belongs to another version of the plugin. */
export function processState() {
  const found = globalThis[STATE_SYMBOL];
  if (found?.version === VERSION) return found;
  const state = new ProcessState();
  // What the older version recorded is in its spool; its lock goes with it.
  found?.close?.();
  globalThis[STATE_SYMBOL] = state;
  return state;
}

class ProcessState {
  constructor() {
    this.version = VERSION;
    this.isGateway = false;
    this.subscriptions = {};
    this.reported = new Set();
    this.host = { abortRun: () => {}, enqueueNote: () => {}, config: () => undefined };
    this._open = null;
    this._retryAtMs = 0;
    this._log = { info: () => {}, warn: () => {} };
    this.settings = null;
    this._onExit = () => this.close();
    process.once("exit", this._onExit);
  }

  /** Take over settings; also while running. */
  configure({ settings, home, hostVersion, log }) {
    this._log = log;
    this._hostVersion = hostVersion;
    const isNews = JSON.stringify(settings) !== JSON.stringify(this.settings);
    this.settings = settings;
    this._home ??= home;
    if (isNews) for (const problem of settings.problems) this.sayOnce(`clawtrace: ${problem}`);
    this._labeller ??= this._makeLabeller();
    this._capture ??= new Capture({
      recorder: () => this._recorder(),
      guard: this._makeGuard(),
      labeller: this._labeller,
      onProblem: (problem) => this.sayOnce(`clawtrace: ${problem}`),
    });
    if (this._open && isNews) this._apply();
  }

  get capture() {
    return this._capture;
  }

  sayOnce(text) {
    if (this.reported.has(text) || this.reported.size > 500) return;
    this.reported.add(text);
    this._log.warn(text);
  }

  _makeLabeller() {
    return new Labeller({
      home: this._home,
      openclaw: () => this.host.config(),
      settings: () => this.settings,
      hostVersion: () => this._hostVersion,
      isGateway: () => this.isGateway,
      record: (hook, event, ctx) => this._capture.record(hook, event, ctx),
      onProblem: (problem) => this.sayOnce(`clawtrace: ${problem}`),
    });
  }

  _makeGuard() {
    if (!this.settings.guard.enabled) {
      this._guard = NO_GUARD;
      return NO_GUARD;
    }
    try {
      this._guard = createGuard({
        log: this._log,
        now: Date.now,
        emitDecision: (event, ctx) => this._capture.record("guard_decision", event, ctx),
        abortRun: (sessionId) => this.host.abortRun(sessionId),
        enqueueNote: (sessionKey, text) => this.host.enqueueNote(sessionKey, text),
        stateFile: path.join(this._home, "guard.json"),
        posture: this.settings.guard.posture ?? undefined,
      });
    } catch (error) {
      this.sayOnce(`clawtrace: the guard could not start, nothing is limited: ${error.message}`);
      this._guard = NO_GUARD;
    }
    return this._guard;
  }

  _recorder() {
    if (this._open === null && Date.now() >= this._retryAtMs && !this._isClosed) {
      try {
        this._open = this._openSpool();
      } catch (error) {
        this._retryAtMs = Date.now() + REOPEN_AFTER_MS;
        this.sayOnce(`clawtrace: nothing can be recorded, the folder ${this._home} cannot be used: ${error.message}`);
      }
    }
    return this._open?.recorder ?? null;
  }

  /** Open before the first event, so that no hook pays for it. */
  warmUp() {
    this._recorder();
  }

  _openSpool() {
    const { folder, lock } = lockSpool(this._home);
    const onGap = (gap) => this._capture.record("gap", gap, {});
    try {
      const spool = new Spool({ folder, maxBytes: this.settings.maxBytes, onGap });
      const blobs = new Blobs({ folder: path.join(folder, "blobs") });
      spool.blobs = blobs;
      const source = { name: "clawtrace-openclaw", version: VERSION, host_version: this._hostVersion };
      const sender = new Sender({ spool, blobs, source, log: this._log, onGap });
      const onProblem = (problem) => this.sayOnce(`clawtrace: ${problem}`);
      const recorder = new Recorder({ spool, privacy: null, onProblem });
      this._open = { folder, lock, spool, blobs, sender, recorder };
    } catch (error) {
      lock.release();
      throw error;
    }
    this._apply();
    this._watch = setInterval(() => this._look(), LOOK_EVERY_MS);
    this._watch.unref();
    if (this._open.spool.numWaiting > 0) this._open.sender.wake();
    return this._open;
  }

  _apply() {
    const { spool, blobs, sender, recorder } = this._open;
    const { settings } = this;
    const redactor = new Redactor({ digestKey: spool.digestKey, ...settings.redact });
    recorder.privacy = new Privacy({ capture: settings.capture, redactor, storeBlob: (json) => blobs.store(json) });
    spool.maxBytes = settings.maxBytes;
    sender.configure(settings);
    this._guardLink?.close();
    this._guardLink = null;
    if (settings.guard.enabled && settings.endpoint && settings.observeKey) {
      const { endpoint, observeKey } = settings;
      this._guardLink = connectGuard({ endpoint, observeKey, guard: this._guard, log: this._log });
    }
  }

  /** Once a second: what a person asked for with the command line, and the status they may ask for. */
  _look() {
    try {
      const { spool, sender } = this._open;
      const control = readControl(this._home);
      if (control.isPaused !== sender.isPaused) sender.pause(control.isPaused);
      if (control.replayAskedAtMs > (this._replayedAtMs ?? Date.now() - LOOK_EVERY_MS * 2)) {
        this._replayedAtMs = control.replayAskedAtMs;
        spool.replay();
        sender.wake(0);
      }
      writeStatus(this._home, this.status());
    } catch (error) {
      this.sayOnce(`clawtrace: ${error.message}`);
    }
  }

  status() {
    const open = this._open;
    return {
      version: VERSION,
      host_version: this._hostVersion,
      pid: process.pid,
      at_ms: Date.now(),
      endpoint: this.settings.endpoint,
      capture: this.settings.capture,
      num_events: this._capture.num_events,
      num_failures: this._capture.num_failures,
      hooks: this._capture.durations.summary(),
      spool: open && {
        folder: open.folder,
        spool_id: open.spool.spoolId,
        num_waiting: open.spool.numWaiting,
        num_bytes: open.spool.numBytes,
        max_bytes: open.spool.maxBytes,
        acked_seq: open.spool.ackedSeq,
        last_seq: open.spool.lastSeq,
        ...open.spool.counts,
      },
      sender: open && { ...open.sender.state, ...open.sender.counts },
      guard: this._guard.status?.() ?? null,
    };
  }

  /** Send what there is; for ends of runs and processes. */
  async flush(withinMs) {
    if (this._open === null) return true;
    await this._labeller.settled();
    this._open.recorder.drain();
    const hasArrived = await this._open.sender.flush(withinMs);
    await this._guard.flush?.();
    return hasArrived;
  }

  /** Everything to disk, without waiting for anybody. */
  close() {
    if (this._isClosed) return;
    this._isClosed = true;
    process.removeListener("exit", this._onExit);
    this._guardLink?.close();
    clearInterval(this._watch);
    if (this._open === null) return;
    const { recorder, sender, spool, lock } = this._open;
    try {
      sender.close();
      recorder.drain();
      spool.close();
      writeStatus(this._home, { ...this.status(), pid: null });
    } catch {
      // The process is ending; what could be written is written.
    }
    lock.release();
    this._open = null;
  }

  /** Send what other spools of this install still hold: of processes that ended before everything had arrived. */
  async sendLeftovers(withinMs) {
    const { settings } = this;
    if (!settings.endpoint || !settings.observeKey || readControl(this._home).isPaused) return;
    const options = { home: this._home, settings, withinMs, hostVersion: this._hostVersion, except: this._open?.folder };
    const { gaps } = await sendStoredEvents(options);
    for (const gap of gaps) this._capture.record("gap", gap, {});
  }
}

const NO_GUARD = new Proxy({}, { get: (_target, name) => (name === "then" ? undefined : () => undefined) });

/** The first spool folder that no other live process holds. */
function lockSpool(home) {
  for (const name of SPOOL_NAMES) {
    const folder = path.join(home, name);
    const lock = takeLock(folder);
    if (lock !== null) return { folder, lock };
  }
  throw new Error(`all ${SPOOL_NAMES.length} spools are in use by other processes`);
}
