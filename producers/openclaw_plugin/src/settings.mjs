/**
 * The plugin's settings, read from OpenClaw's config and the environment.
 *
 * Upstream: `plugins.entries.clawtrace.config`, CLAWTRACE_ENDPOINT, CLAWTRACE_KEY, CLAWTRACE_API.
 * Downstream: every other module of the plugin.
 * Guarantee: never throws; what cannot be read falls to the safe side and is named in `problems`.
 */

import os from "node:os";
import path from "node:path";

import { DEFAULT_MAX_BYTES } from "./spool.mjs";

export const VERSION = "0.5.0";
export const CATEGORIES = ["prompts", "tool_params", "tool_results", "system_prompt"];
const MODES = ["full", "hash", "off"];
const MAX_LABELS = 8;
const MAX_LABEL_KEY_CHARS = 64;
const MAX_LABEL_CHARS = 128;
/** Filled by the plugin itself. */
const OWN_LABELS = /^(?:skill|skill:.*|config|model)$/;

/**
 * @typedef {object} Settings
 * @property {string} endpoint without a slash at the end; "" when none is set
 * @property {string} observeKey
 * @property {string} api without a slash at the end; "" when none is set
 * @property {Record<string, "full" | "hash" | "off">} capture
 * @property {{keys: string[], patterns: RegExp[]}} redact
 * @property {number} maxBytes
 * @property {{enabled: boolean, posture: string | null}} guard
 * @property {Record<string, string>} labels what every run is labelled with besides
 * @property {string[]} problems plain sentences
 */

/**
 * @param {unknown} config
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Settings}
 */
export function readSettings(config, env = process.env) {
  const given = objectOf(config);
  const problems = [];
  const capture = {};
  for (const category of CATEGORIES) {
    const mode = objectOf(given.capture)[category] ?? "full";
    // An unknown mode is somebody's wish for less.
    capture[category] = MODES.includes(mode) ? mode : "off";
    if (!MODES.includes(mode)) problems.push(`capture.${category} is ${JSON.stringify(mode)}; use full, hash or off`);
  }
  const redact = objectOf(given.redact);
  const patterns = [];
  for (const source of listOf(redact.patterns)) {
    try {
      patterns.push(new RegExp(source, "g"));
    } catch (error) {
      problems.push(`redact.patterns: ${error.message}; nothing is captured in full until it is mended`);
      for (const category of CATEGORIES) if (capture[category] === "full") capture[category] = "hash";
    }
  }
  const guard = objectOf(given.guard);
  const endpoint = textOf(given.endpoint) || textOf(env.CLAWTRACE_ENDPOINT);
  return {
    endpoint: endpoint.replace(/\/+$/, ""),
    observeKey: textOf(given.observeKey) || textOf(env.CLAWTRACE_KEY),
    api: (textOf(given.api) || textOf(env.CLAWTRACE_API)).replace(/\/+$/, ""),
    capture,
    redact: { keys: listOf(redact.keys), patterns },
    maxBytes: Number.isSafeInteger(objectOf(given.spool).maxBytes) ? given.spool.maxBytes : DEFAULT_MAX_BYTES,
    guard: { enabled: guard.enabled !== false, posture: textOf(guard.posture) || null },
    labels: readLabels(given.labels, problems),
    problems,
  };
}

function readLabels(given, problems) {
  const labels = {};
  for (const [name, value] of Object.entries(objectOf(given))) {
    const label = textOf(value);
    if (OWN_LABELS.test(name)) problems.push(`labels.${name}: the plugin fills this label itself; use another name`);
    else if (!name || !label) problems.push(`labels.${name}: a label has a name and a text`);
    else if (name.length > MAX_LABEL_KEY_CHARS) problems.push(`labels.${name}: longer than ${MAX_LABEL_KEY_CHARS} characters`);
    else if (label.length > MAX_LABEL_CHARS) problems.push(`labels.${name} is longer than ${MAX_LABEL_CHARS} characters`);
    else if (Object.keys(labels).length === MAX_LABELS) problems.push(`labels.${name}: more than ${MAX_LABELS} labels; it is left out`);
    else labels[name] = label;
  }
  return labels;
}

/** The folder of everything this plugin keeps: `<OpenClaw's state>/clawtrace`. */
export function homeFolder(stateDir, env = process.env) {
  const state = stateDir || env.OPENCLAW_STATE_DIR || path.join(env.OPENCLAW_HOME || os.homedir(), ".openclaw");
  return path.join(state, "clawtrace");
}

function objectOf(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? value : {};
}

function listOf(value) {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string" && item !== "") : [];
}

function textOf(value) {
  return typeof value === "string" ? value.trim() : "";
}
