/**
 * Copies of OpenClaw's objects that share nothing with them but texts.
 *
 * Upstream: `ballast.mjs`.
 * Downstream: nothing.
 * Guarantee: pure; whatever the value, JSON can write the copy: no functions, no cycles, no bytes.
 */

import { createHash } from "node:crypto";

const MAX_DEPTH = 30;
export const MAX_LIST = 20_000;
/** Shorter media are left in place. */
const MAX_MEDIA_CHARS = 1_024;

/** A copy of an object's fields, without those named. */
export function copyFields(value, without = []) {
  const fields = {};
  if (!isObject(value)) return fields;
  for (const name of Object.keys(value)) {
    if (without.includes(name)) continue;
    const field = copy(value[name], 0);
    if (field !== undefined) fields[name] = field;
  }
  return fields;
}

export function copyNamed(value, names) {
  const fields = {};
  if (!isObject(value)) return fields;
  for (const name of names) {
    const field = value[name];
    if (field !== undefined && field !== null) fields[name] = copy(field, 0);
  }
  return fields;
}

/** A copy that JSON can write: no functions, no cycles, no bytes. */
export function copy(value, depth) {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object") return undefined;
  if (depth >= MAX_DEPTH) return "[nested too deep]";
  if (Array.isArray(value)) return value.slice(0, MAX_LIST).map((item) => copy(item, depth + 1) ?? null);
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `[${value.byteLength} bytes]`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Error) return { name: value.name, message: value.message };
  if (value instanceof AbortSignal) return undefined;
  if (value instanceof Map || value instanceof Set) return `[${value.size} entries]`;
  return copyObject(value, depth);
}

function copyObject(value, depth) {
  const isMedia = typeof value.data === "string" && value.data.length > MAX_MEDIA_CHARS && typeof value.type === "string";
  const fields = {};
  for (const name of Object.keys(value)) {
    if (isMedia && name === "data") {
      fields.data = `[media ${sha256Of(value.data)}, ${value.data.length} characters]`;
      continue;
    }
    const field = copy(value[name], depth + 1);
    if (field !== undefined) fields[name] = field;
  }
  return fields;
}

export function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

export function sha256Of(text) {
  return createHash("sha256").update(text).digest("hex");
}
