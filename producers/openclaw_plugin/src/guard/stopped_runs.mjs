/**
 * Runs that the guard stopped, and what their users are told instead of OpenClaw's vague text.
 *
 * Upstream: the engine.
 * Downstream: the hook reply_payload_sending.
 * Guarantee: a reply that has text of its own keeps it; the sentence is said once; memory is bounded.
 */

const MAX_RUNS = 1_000;
const VAGUE = /couldn't produce or deliver a reply|agent run aborted|^\s*$/i;

export class StoppedRuns {
  constructor() {
    /** @type {Map<string, string>} run id to sentence */
    this.sentences = new Map();
  }

  add(runId, sentence) {
    this.sentences.set(runId, sentence);
    if (this.sentences.size > MAX_RUNS) this.sentences.delete(this.sentences.keys().next().value);
  }

  /** The payload to send in place of this one; undefined leaves it as it is. */
  replace(runId, payload, kind) {
    const sentence = this.sentences.get(runId);
    const text = payload?.text ?? "";
    if (!sentence || !payload || text.includes(sentence)) return undefined;
    if (VAGUE.test(text)) return { payload: { ...payload, text: sentence } };
    return kind === "final" ? { payload: { ...payload, text: `${text}\n\n${sentence}` } } : undefined;
  }
}
