/**
 * What the guard says to people: one plain sentence or two for each decision.
 *
 * Upstream: the guard.
 * Downstream: the chat, the model's tool error, the event of the decision.
 * Guarantee: says what happened, the two amounts, and how it goes on; never an id that a user cannot use.
 */

import { sayUsd } from "./money.mjs";

const SUBJECTS = {
  run: "this run with its helpers",
  session: "this conversation",
  day: "this agent today",
  "1h": "this agent in the last hour",
  "5h": "this agent in the last five hours",
  month: "this agent this month",
};

/** What was passed, for the reason of a decision. */
export function sayBreach({ spent, limit, window }) {
  const subject = SUBJECTS[window] ?? "this agent";
  return `${subject} has spent ${sayUsd(spent)}, and ${sayUsd(limit)} is what it may spend`;
}

/** What the user sees when something was stopped. */
export function sayStopped(reason, expiresAtUs, nowUs) {
  return `Stopped by the ClawTrace cost guard: ${trimmed(reason)}. It stays closed until ${sayTime(expiresAtUs, nowUs)}, or until somebody releases it in ClawTrace.`;
}

/** The reason of a blocked tool call. */
export function sayBlocked(reason, toolName, earlier) {
  const before = earlier
    ? `The same call of ${toolName} was made already in this run; its result was: ${earlier}`
    : `The same call of ${toolName} was made already in this run.`;
  return `Not run again, because ${trimmed(reason)}. ${before}`;
}

/** The note for the next turn. */
export function sayNote(reason) {
  return `Note of the ClawTrace cost guard: ${trimmed(reason)}. Finish soon, and do not repeat calls that were made already.`;
}

/** The sentence while the server is away and the posture is closed. */
export const AWAY = "the ClawTrace server cannot be reached, and this agent is set to stand still without it";

/** What the user sees meanwhile. */
export function sayStandstill() {
  return `Stopped by the ClawTrace cost guard: ${AWAY}. It goes on when the server is back.`;
}

/** A model without a price. */
export function sayUnpriced(provider, model) {
  return `the model ${provider}/${model} has no price, so what this run spends on it is not known`;
}

function trimmed(reason) {
  return String(reason).trim().replace(/\.+$/, "");
}

function sayTime(atUs, nowUs) {
  const text = new Date(atUs / 1000).toISOString();
  return atUs - nowUs < 86_400_000_000 ? `${text.slice(11, 16)} UTC` : `${text.slice(0, 16).replace("T", " ")} UTC`;
}
