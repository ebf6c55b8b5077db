/**
 * The one file that an agent's lessons are written into: the skill `clawtrace-learned` of its workspace.
 *
 * Upstream: `commands.mjs`, with a text of the ClawTrace API.
 * Downstream: `<workspace>/skills/clawtrace-learned/SKILL.md`; backups in ClawTrace's own folder.
 * Guarantee: no other file is ever written: the path is fixed, and nothing on it may be a link. A new text keeps every
 * line that somebody else wrote, and adds nothing but marked lines and the five headings. What stood there before is in
 * a backup first; the file is there whole or not at all.
 */

import fs from "node:fs";
import path from "node:path";

import { versionOf } from "../labels/skills.mjs";
import { sha256Of } from "../plain_copy.mjs";

export const SKILL_NAME = "clawtrace-learned";
export const EMPTY_SKILL = `---
name: ${SKILL_NAME}
description: Read this before you work on a task that you have done before. What your earlier runs have taught - which calls to leave out, which way works, when to stop.
---

# What your runs have taught

Lines that end in a mark such as [ct:…] are kept by \`openclaw clawtrace evolve\`. Lines without one are yours.
`;
/** What OpenClaw and the ClawTrace API take. */
const MAX_CHARS = 20_000;
const OUR_LINE = /^- .{1,600} \[ct:[a-z][0-9a-f]{8}(?:>[0-9a-f]{8})?\]$/;
const OUR_HEADINGS = new Set(["Trigger", "Workflow", "Stop rules", "Artifact checklist", "Cost control"].map((it) => `## ${it}`));

export class SkillRefused extends Error {}

/** @param {string} text */
export function artifactOf(text, file) {
  return { name: SKILL_NAME, skillFile: file, revision: { contentSha256: sha256Of(text) } };
}

export class OwnSkill {
  /**
   * @param {object} places
   * @param {string} places.workspace folder of the agent
   * @param {string} places.home ClawTrace's own folder
   * @param {string} places.agentId
   */
  constructor({ workspace, home, agentId }) {
    this.file = path.join(fs.realpathSync(workspace), "skills", SKILL_NAME, "SKILL.md");
    this._backups = path.join(home, "skill_backups", agentId.replace(/[^A-Za-z0-9_-]/g, "_"));
  }

  /** @returns {string | null} null when there is none yet */
  read() {
    this._checkPath();
    try {
      return fs.readFileSync(this.file, "utf8");
    } catch (error) {
      if (error.code === "ENOENT") return null;
      throw error;
    }
  }

  /**
   * Put a text that the API made in the place of the one it was made from.
   * @param {string | null} before what `read` gave
   * @param {string} text
   * @throws {SkillRefused} the file has changed since, or the text is not what it may be
   */
  replace(before, text) {
    checkText(before ?? EMPTY_SKILL, text);
    this._write(before, text);
  }

  /**
   * Put back what a change has replaced.
   * @param {string} after version that the change has made
   * @param {string | null} before version that it replaced; null when there was none
   * @returns {string | null} the text that is there again
   */
  restore(after, before) {
    const now = this.read();
    if (now === null || versionOf(sha256Of(now)) !== after) {
      throw new SkillRefused(`${this.file} was changed since; look at it yourself`);
    }
    if (before === null) {
      this._backUp(now);
      fs.rmSync(this.file);
      return null;
    }
    const text = fs.readFileSync(path.join(this._backups, `${before}.md`), "utf8");
    this._write(now, text);
    return text;
  }

  _write(before, text) {
    if (this.read() !== before) throw new SkillRefused(`${this.file} has just been changed by somebody else; try again`);
    fs.mkdirSync(path.dirname(this.file), { recursive: true });
    this._checkPath();
    if (before !== null) this._backUp(before);
    const part = path.join(path.dirname(this.file), `.SKILL.md.${process.pid}`);
    fs.writeFileSync(part, text, { flag: "wx" });
    fs.renameSync(part, this.file);
  }

  _backUp(text) {
    fs.mkdirSync(this._backups, { recursive: true, mode: 0o700 });
    fs.writeFileSync(path.join(this._backups, `${versionOf(sha256Of(text))}.md`), text, { mode: 0o600 });
  }

  /** A link below the workspace would lead elsewhere. */
  _checkPath() {
    for (let at = this.file, depth = 0; depth < 3; at = path.dirname(at), depth += 1) {
      const found = fs.lstatSync(at, { throwIfNoEntry: false });
      if (found?.isSymbolicLink()) throw new SkillRefused(`${at} is a link; ClawTrace writes only into the workspace itself`);
      if (found && depth === 0 && !found.isFile()) throw new SkillRefused(`${at} is no file`);
    }
  }
}

/** @throws {SkillRefused} the text changes what is not ours */
export function checkText(before, text) {
  if (typeof text !== "string" || text.length > MAX_CHARS) throw new SkillRefused("the server's text is no skill");
  const foreign = (lines) => lines.split("\n").filter((line) => line.trim() && !OUR_LINE.test(line) && !OUR_HEADINGS.has(line));
  const [kept, found] = [foreign(before), foreign(text)];
  if (kept.length !== found.length || kept.some((line, index) => line !== found[index])) {
    throw new SkillRefused("the server's text has lines that are neither yours nor its own; nothing was written");
  }
}
