/**
 * Turns what a hook said into a record of the spool.
 *
 * Upstream: `capture.mjs` hands over events, stamped, in the order of their numbers.
 * Downstream: `privacy.mjs`, `spool.mjs`.
 * Guarantee: records reach the spool in the order of their numbers; a small event is in the file before `record`
 * returns; a big one is screened after the hook has returned, and whatever follows waits behind it. Never throws.
 */

/** More characters than this are screened after the hook. */
export const INLINE_CHARS = 24 * 1024;
/** The gateway refuses events above 512 KiB. */
const MAX_EVENT_BYTES = 480 * 1024;

export class Recorder {
  /**
   * @param {object} options
   * @param {import("./spool.mjs").Spool} options.spool
   * @param {import("./privacy.mjs").Privacy} options.privacy
   * @param {(run: () => void) => void} [options.soon]
   * @param {(problem: string) => void} [options.onProblem]
   */
  constructor({ spool, privacy, soon = setImmediate, onProblem = () => {} }) {
    this.spool = spool;
    this.privacy = privacy;
    this._soon = soon;
    this._onProblem = onProblem;
    /** @type {{seq: number, at_us: number, hook: string, event: object, ctx: object}[]} */
    this._queue = [];
    this._isDraining = false;
  }

  /**
   * @param {string} hook
   * @param {object} event
   * @param {object} ctx
   * @param {number} at_us
   */
  record(hook, event, ctx, at_us) {
    const entry = { seq: this.spool.takeSeq(), at_us, hook, event, ctx };
    if (this._queue.length === 0 && charsIn(event, INLINE_CHARS) < INLINE_CHARS) {
      this._write(entry);
      return;
    }
    this._queue.push(entry);
    if (this._isDraining) return;
    this._isDraining = true;
    this._soon(() => this._drainOne());
  }

  /** Write what waits; for the end of a process. */
  drain() {
    while (this._queue.length > 0) this._write(this._queue.shift());
  }

  _drainOne() {
    // One at a time: between two big events the agent goes on.
    const entry = this._queue.shift();
    if (entry !== undefined) this._write(entry);
    this._isDraining = this._queue.length > 0;
    if (this._isDraining) this._soon(() => this._drainOne());
  }

  _write(entry) {
    let json;
    try {
      json = this.render(entry);
    } catch (error) {
      this._onProblem(`an event of ${entry.hook} could not be written: ${error.message}`);
      const { seq, at_us, hook, ctx } = entry;
      const ids = { runId: ctx?.runId, sessionKey: ctx?.sessionKey, toolCallId: ctx?.toolCallId };
      json = Buffer.from(JSON.stringify({ seq, at_us, hook, event: { clawtrace_error: "not writable" }, ctx: ids }));
    }
    this.spool.append(entry.seq, json);
  }

  /** What would leave the machine, as JSON. */
  render(entry) {
    const { seq, at_us, hook } = entry;
    const event = this.privacy.screen(entry.event);
    const ctx = this.privacy.screen(entry.ctx);
    let json = Buffer.from(JSON.stringify({ seq, at_us, hook, event, ctx }));
    // Many fields, each below the limit of a blob: the largest go until the rest fits.
    while (json.length > MAX_EVENT_BYTES) {
      const [name] = Object.keys(event).sort((one, other) => sizeOf(event[other]) - sizeOf(event[one]));
      if (name === undefined || sizeOf(event[name]) < 1024) throw new Error(`${json.length} bytes of small fields`);
      event[name] = this.privacy.storeApart(event[name]);
      json = Buffer.from(JSON.stringify({ seq, at_us, hook, event, ctx }));
    }
    return json;
  }
}

function sizeOf(value) {
  return (JSON.stringify(value) ?? "").length;
}

/** Characters in all texts of a value, counted no further than a limit. */
function charsIn(value, limit) {
  if (typeof value === "string") return value.length;
  if (value === null || typeof value !== "object") return 8;
  let sum = 0;
  for (const name of Object.keys(value)) {
    sum += name.length + charsIn(value[name], limit - sum);
    if (sum >= limit) return sum;
  }
  return sum;
}
