/**
 * Earlier results of tool calls, so that a repeated call can be answered with what came out before.
 *
 * Upstream: after_tool_call.
 * Downstream: the guard's block.
 * Guarantee: bounded in number and in bytes; a call that failed is no earlier result.
 */

import { createHash } from "node:crypto";

const MAX_PER_FAMILY = 200;
const MAX_FAMILIES = 200;
const MAX_RESULT_CHARS = 1_000;
// Longer parameters would take longer to compare than a hook may take.
const MAX_PARAMS_CHARS = 256_000;

export class Repeats {
  constructor() {
    /** @type {Map<string, Map<string, string>>} */
    this.byFamily = new Map();
  }

  remember(family, toolName, params, result) {
    const key = callKey(toolName, params);
    if (!key) return;
    const results = this.byFamily.get(family.id) ?? new Map();
    results.delete(key);
    results.set(key, textOf(result).slice(0, MAX_RESULT_CHARS));
    if (results.size > MAX_PER_FAMILY) results.delete(results.keys().next().value);
    this.byFamily.delete(family.id);
    this.byFamily.set(family.id, results);
    if (this.byFamily.size > MAX_FAMILIES) this.byFamily.delete(this.byFamily.keys().next().value);
  }

  /** The earlier result of the same call; undefined when it was not made yet. */
  find(family, toolName, params) {
    const results = this.byFamily.get(family.id);
    return results?.get(callKey(toolName, params));
  }
}

function callKey(toolName, params) {
  const text = JSON.stringify(params ?? null, sorted);
  if (text.length > MAX_PARAMS_CHARS) return undefined;
  return createHash("sha256").update(`${toolName}\n${text}`).digest("base64");
}

function sorted(_, value) {
  if (!value || typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

function textOf(result) {
  const content = Array.isArray(result?.content) ? result.content : [];
  return content.map((part) => (typeof part?.text === "string" ? part.text : "")).join("\n").trim();
}
