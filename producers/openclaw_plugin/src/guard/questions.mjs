/**
 * The questions the guard puts to a person about a tool call, and the answers.
 *
 * Upstream: the engine.
 * Downstream: OpenClaw's approvals.
 * Guarantee: each question is settled once; no answer is a no; memory is bounded.
 */

const MAX_OPEN = 1_000;
const APPROVAL_TIMEOUT_MS = 10 * 60_000;

/** @typedef {{cause: any, family: import("./families.mjs").Family, ids: any}} Question */

export class Questions {
  /** @param {{allowed: (question: Question) => void, denied: (question: Question) => void}} answers */
  constructor({ allowed, denied }) {
    this.allowed = allowed;
    this.denied = denied;
    /** @type {Map<string, Question>} */
    this.open = new Map();
  }

  /**
   * Put a question.
   * @param {Question} question
   * @param {string} toolName
   * @returns what a hook returns to have OpenClaw ask
   */
  put(question, toolName) {
    this.open.set(keyOf(question.ids), question);
    if (this.open.size > MAX_OPEN) this.open.delete(this.open.keys().next().value);
    return {
      requireApproval: {
        title: "ClawTrace cost guard",
        description: `May it go on with ${toolName}? ${question.cause.reason}.`,
        severity: "warning",
        timeoutMs: APPROVAL_TIMEOUT_MS,
        allowedDecisions: ["allow-once", "deny"],
        onResolution: (decision) => this.#answered(question, decision),
      },
    };
  }

  /** The open question about a tool call, which is then no longer open. */
  take(ids) {
    const question = this.open.get(keyOf(ids));
    this.open.delete(keyOf(ids));
    return question;
  }

  /** A person answered, or nobody did. */
  #answered(question, decision) {
    this.open.delete(keyOf(question.ids));
    if (String(decision).startsWith("allow")) this.allowed(question);
    else this.denied(question);
  }
}

// Ids of tool calls are the model's and come again in other runs.
function keyOf({ runId, toolCallId }) {
  return `${runId}\n${toolCallId}`;
}
