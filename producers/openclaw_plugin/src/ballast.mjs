/**
 * Makes an event of a hook's own objects: what is ballast becomes counts, what people or tools said is marked as such.
 *
 * Upstream: `capture.mjs`, within the hook.
 * Downstream: `recorder.mjs`, which screens and writes it, perhaps after the hook has returned.
 * Guarantee: the result shares no object with OpenClaw (texts only), has no function in it, and keeps every field that
 * the stitcher reads under its own name. Time does not grow with the length of a session's history, but for counting it.
 */

import { createHash } from "node:crypto";

import { SHAPES, messageKey, messageOf, waryCopy } from "./hook_shapes.mjs";
import { copy, sha256Of } from "./plain_copy.mjs";
import { Said } from "./privacy.mjs";

/** What is kept of ctx; the rest is repeated in the event, or OpenClaw's own business (paths, config, functions). */
const CTX_FIELDS = [
  "runId",
  "sessionKey",
  "sessionId",
  "agentId",
  "toolCallId",
  "trace",
  "trigger",
  "modelProviderId",
  "modelId",
  "requesterSessionKey",
  "childSessionKey",
  "channelId",
  "channel",
  "jobId",
  "inputProvenance",
];
const MEMORY_SIZE = 4_096;

export class Ballast {
  constructor() {
    this._prompts = new Recent(256);
    this._toolLists = new Recent(256);
    this._messages = new Recent(MEMORY_SIZE * 4);
    this._toolResults = new Recent(MEMORY_SIZE);
    /** @type {WeakMap<object, string>} */
    this._schemas = new WeakMap();
  }

  /**
   * @param {string} hook
   * @param {any} event
   * @returns {Record<string, unknown>}
   */
  event(hook, event) {
    const given = event !== null && typeof event === "object" ? event : {};
    const shape = SHAPES[hook];
    return shape ? shape(given, this) : waryCopy(given);
  }

  /** @param {any} ctx */
  ctx(ctx) {
    const kept = {};
    if (ctx === null || typeof ctx !== "object") return kept;
    for (const field of CTX_FIELDS) {
      const value = ctx[field];
      if (value !== undefined && value !== null) kept[field] = copy(value, 0);
    }
    return kept;
  }

  /** The text once, then only its hash. */
  systemPrompt(text) {
    if (typeof text !== "string") return copy(text, 0);
    const sha256 = sha256Of(text);
    const told = { sha256, chars: text.length };
    if (!this._prompts.add(sha256)) return { clawtrace_ballast: told };
    return { clawtrace_ballast: { ...told, text: new Said("system_prompt", text) } };
  }

  /** Names once, then only the hash of the schemas. */
  toolList(tools) {
    if (!Array.isArray(tools)) return copy(tools, 0);
    const hash = createHash("sha256");
    let chars = 0;
    for (const tool of tools) {
      const schema = this._schemaHash(tool);
      hash.update(schema.sha256);
      chars += schema.chars;
    }
    const sha256 = hash.digest("hex");
    const told = { sha256, num: tools.length, chars };
    if (this._toolLists.add(sha256)) told.names = tools.map((tool) => String(tool?.name ?? tool?.label ?? ""));
    return { clawtrace_ballast: told };
  }

  _schemaHash(tool) {
    if (tool === null || typeof tool !== "object") return { sha256: String(tool), chars: 0 };
    let known = this._schemas.get(tool);
    if (known === undefined) {
      let json = "";
      try {
        json = JSON.stringify(tool) ?? "";
      } catch {
        json = String(tool.name);
      }
      known = { sha256: sha256Of(json), chars: json.length };
      this._schemas.set(tool, known);
    }
    return known;
  }

  /** How many messages there are, and those that no event has brought yet. */
  history(messages) {
    if (!Array.isArray(messages)) return copy(messages, 0);
    const fresh = [];
    for (const message of messages) {
      if (this._messages.add(messageKey(message))) fresh.push(messageOf(message, this));
    }
    return { clawtrace_ballast: { num: messages.length, num_new: fresh.length, new: fresh } };
  }

  count(messages) {
    return Array.isArray(messages) ? { clawtrace_ballast: { num: messages.length } } : copy(messages, 0);
  }

  noteMessage(message) {
    this._messages.add(messageKey(message));
  }

  noteToolResult(toolCallId) {
    if (toolCallId) this._toolResults.add(toolCallId);
  }

  hasToolResult(toolCallId) {
    return this._toolResults.has(toolCallId);
  }
}

/** A set that forgets the oldest. */
class Recent {
  constructor(size) {
    this._size = size;
    this._items = new Set();
  }

  has(item) {
    return this._items.has(item);
  }

  /** @returns {boolean} whether it is new */
  add(item) {
    if (this._items.has(item)) return false;
    this._items.add(item);
    if (this._items.size > this._size) this._items.delete(this._items.values().next().value);
    return true;
  }
}
