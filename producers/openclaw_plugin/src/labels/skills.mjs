/**
 * Which skills an agent sees, and the version of each.
 *
 * Upstream: the list that OpenClaw writes into the system prompt; the files it names.
 * Downstream: `labeller.mjs`, `agent_config.mjs`.
 * Guarantee: a file is read only when its size or time has changed, never more than MAX_FILE_BYTES of it; a skill whose
 * file cannot be read (it lies on another machine, or in a sandbox) has the version of its entry in the list.
 */

import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";

import { sha256Of } from "../plain_copy.mjs";

/** Of a text more is kept of no skill. */
export const MAX_TEXT_CHARS = 12 * 1024;
const MAX_FILE_BYTES = 1024 * 1024;
const VERSION_CHARS = 12;

const LIST = /<available_skills>([\s\S]*?)<\/available_skills>/;
const ENTRY = /<skill>([\s\S]*?)<\/skill>/g;
const ENTITIES = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&#39;": "'", "&amp;": "&" };

/** The first digits of a hash; what runs are labelled with. */
export function versionOf(sha256) {
  return sha256.slice(0, VERSION_CHARS);
}

/** The version of all skills together; `stream_jobs/contracts/labels.py` says the same. */
export function versionOfAll(skills) {
  const lines = skills.map(({ name, sha256 }) => `${name} ${sha256}\n`).sort();
  return versionOf(sha256Of(lines.join("")));
}

/**
 * @param {unknown} systemPrompt
 * @returns {{name: string, location: string, entry: string}[] | null} null when it has no list of skills
 */
export function skillsIn(systemPrompt) {
  const list = typeof systemPrompt === "string" ? LIST.exec(systemPrompt) : null;
  if (list === null) return null;
  const skills = [];
  for (const [, entry] of list[1].matchAll(ENTRY)) {
    const name = fieldOf(entry, "name");
    if (name) skills.push({ name, location: fieldOf(entry, "location"), entry });
  }
  return skills;
}

function fieldOf(entry, field) {
  const found = new RegExp(`<${field}>([\\s\\S]*?)</${field}>`).exec(entry);
  return found ? found[1].trim().replace(/&(?:lt|gt|quot|apos|#39|amp);/g, (entity) => ENTITIES[entity]) : "";
}

/** OpenClaw writes the home folder of its user as ~. */
export function resolveLocation(location, home = os.homedir()) {
  return location.startsWith("~/") ? path.join(home, location.slice(2)) : location;
}

/** Texts of files with their hashes, read again when they have changed. */
export class Texts {
  constructor() {
    /** @type {Map<string, {mtimeMs: number, size: number, told: {sha256: string, chars: number, text: string}}>} */
    this._known = new Map();
  }

  /** @returns {Promise<{sha256: string, chars: number, text: string} | null>} null when it cannot be read */
  async read(file) {
    if (!path.isAbsolute(file)) return null;
    try {
      const { mtimeMs, size } = await fs.stat(file);
      const known = this._known.get(file);
      if (known && known.mtimeMs === mtimeMs && known.size === size) return known.told;
      if (size > MAX_FILE_BYTES) return null;
      const text = await fs.readFile(file, "utf8");
      const told = { sha256: sha256Of(text), chars: text.length, text: text.slice(0, MAX_TEXT_CHARS) };
      this._known.set(file, { mtimeMs, size, told });
      return told;
    } catch {
      this._known.delete(file);
      return null;
    }
  }

  /** @param {{name: string, location: string, entry: string}} skill */
  async skill({ name, location, entry }) {
    const file = resolveLocation(location);
    const told = (await this.read(file)) ?? { sha256: sha256Of(entry), chars: 0, text: "" };
    return { name, location, file, ...told, version: versionOf(told.sha256) };
  }
}
