/**
 * Labels each run with what it ran with, and tells an agent's configuration whenever it has changed.
 *
 * Upstream: hooks llm_input and before_tool_call, by `capture.mjs`; OpenClaw's config.
 * Downstream: events `run_labels` (one a run) and `agent_config`, by way of the spool.
 * Guarantee: within a hook nothing is read and nothing reckoned; files are looked at afterwards, and read only when they
 * have changed. A failure costs labels, never a run.
 */

import path from "node:path";

import { isObject } from "../plain_copy.mjs";
import { readJson, writeJson } from "../status_files.mjs";
import { PROMPT_FILES, describeAgent, isBundled } from "./agent_config.mjs";
import { Texts, resolveLocation, skillsIn, versionOf, versionOfAll } from "./skills.mjs";

const FILE = "agent_configs.json";
const MAX_LABELS = 16;
const MAX_SKILL_LABELS = 8;
const MAX_KEY_CHARS = 64;
const MAX_VALUE_CHARS = 128;
const MAX_WAITING = 500;
const MAX_RUNS = 4_000;
const MAX_USED_SKILLS = 500;
/** A configuration that does not change is told again after this, so that it outlives the retention of events. */
const TELL_AGAIN_MS = 24 * 3_600_000;

/**
 * @typedef {object} Surroundings
 * @property {() => any} openclaw OpenClaw's config as it is now
 * @property {() => import("../settings.mjs").Settings} settings
 * @property {() => string} hostVersion
 * @property {(hook: string, event: object, ctx: object) => void} record
 * @property {(problem: string) => void} onProblem
 * @property {() => boolean} isGateway whether this process goes on when the run has ended
 * @property {string} home
 * @property {() => number} [nowMs]
 */

export class Labeller {
  /** @param {Surroundings} surroundings */
  constructor(surroundings) {
    this._around = { nowMs: Date.now, ...surroundings };
    this._texts = new Texts();
    this._runs = new Set();
    this._numWaiting = 0;
    this._work = Promise.resolve();
    /** The skills each agent has seen last: prompts of sub-agents list none. */
    this._skills = new Map();
    this._told = new Set();
    this._kept = null;
  }

  /** An attempt of a run begins. */
  onRun(event, ctx) {
    const runId = event?.runId ?? ctx?.runId;
    if (!runId || this._runs.has(runId) || this._numWaiting >= MAX_WAITING) return;
    this._runs.add(runId);
    if (this._runs.size > MAX_RUNS) this._runs.delete(this._runs.values().next().value);
    const { systemPrompt, provider, model } = event;
    const run = { runId, systemPrompt, model: provider && model ? `${provider}/${model}` : "", ctx: { ...ctx, runId } };
    this._numWaiting += 1;
    this._work = this._work
      .then(() => new Promise((resolve) => setImmediate(resolve)))
      .then(() => this._label(run))
      .catch((error) => this._around.onProblem(`a run has no labels: ${error?.message ?? error}`))
      .finally(() => void (this._numWaiting -= 1));
  }

  /** A skill counts as used when its file is read. */
  onToolCall(event) {
    const params = event?.params;
    const file = isObject(params) ? (params.path ?? params.file_path) : undefined;
    if (typeof file !== "string" || !file.endsWith("SKILL.md")) return;
    const uses = this._keptNow().skill_uses;
    const name = resolveLocation(file);
    uses[name] = (uses[name] ?? 0) + 1;
    this._hasNews = true;
  }

  /** Until every run that has begun is labelled. */
  settled() {
    return this._work;
  }

  async _label({ systemPrompt, model, ctx }) {
    const { openclaw, settings, hostVersion, record } = this._around;
    const agentId = String(ctx.agentId ?? "main");
    const listed = skillsIn(systemPrompt);
    const skills = listed && (await Promise.all(listed.map((skill) => this._texts.skill(skill))));
    if (skills) this._skills.set(agentId, skills);
    // A sub-agent's prompt may list no skills; of what it is made is not known before its agent's own first run.
    if (!this._skills.has(agentId) && String(ctx.sessionKey ?? "").includes(":subagent:")) {
      record("run_labels", { labels: this._labels({ model }, []) }, ctx);
      return;
    }
    const told = describeAgent({
      openclaw: openclaw(),
      agentId,
      skills: this._skills.get(agentId) ?? [],
      files: await this._promptFiles(ctx.workspaceDir),
      settings: settings(),
      hostVersion: hostVersion(),
    });
    this._tellConfig(agentId, told, ctx);
    const fixed = { config: told.hash, model: told.model || model };
    record("run_labels", { labels: this._labels(fixed, skills ?? []) }, ctx);
  }

  async _promptFiles(folder) {
    if (typeof folder !== "string") return [];
    const read = await Promise.all(PROMPT_FILES.map((name) => this._texts.read(path.join(folder, name))));
    const files = PROMPT_FILES.map((name, index) => ({ name, ...read[index] })).filter(({ sha256 }) => sha256);
    return files.map((file) => ({ ...file, version: versionOf(file.sha256) }));
  }

  _labels(fixed, skills) {
    const labels = {};
    const put = (name, value) => {
      const fits = value && name.length <= MAX_KEY_CHARS && value.length <= MAX_VALUE_CHARS;
      if (fits && Object.keys(labels).length < MAX_LABELS) labels[name] = value;
    };
    if (skills.length > 0) put("skill", versionOfAll(skills));
    for (const [name, value] of Object.entries({ ...fixed, ...this._around.settings().labels })) put(name, value);
    for (const { name, version } of this._mostUsed(skills)) put(`skill:${name}`, version);
    return labels;
  }

  /** Those whose files were read most; of the others, the agent's own come before OpenClaw's. */
  _mostUsed(skills) {
    const uses = this._keptNow().skill_uses;
    const rank = (skill) => [-(uses[skill.file] ?? 0), Number(isBundled(skill)), skill.name];
    return skills
      .map((skill) => ({ skill, rank: rank(skill) }))
      .sort(({ rank: one }, { rank: other }) => compare(one, other))
      .slice(0, MAX_SKILL_LABELS)
      .map(({ skill }) => skill);
  }

  _tellConfig(agentId, { hash, event }, ctx) {
    const kept = this._keptNow();
    const before = kept.configs[agentId];
    const nowMs = this._around.nowMs();
    const isFresh = before?.hash === hash && nowMs - before.told_at_ms < TELL_AGAIN_MS;
    // Of a process that lives on, the start is told; a command that ends soon tells only what is new.
    const isStart = !this._told.has(agentId);
    if (isFresh && !(isStart && this._around.isGateway())) {
      this._keepNews();
      return;
    }
    this._told.add(agentId);
    const reason = before && before.hash !== hash ? "changed" : "start";
    this._around.record("agent_config", { ...event, reason, ...(before && { previous: before.hash }) }, ctx);
    kept.configs[agentId] = { hash, told_at_ms: nowMs };
    this._hasNews = true;
    this._keepNews();
  }

  _keptNow() {
    if (this._kept === null) {
      const found = readJson(path.join(this._around.home, FILE));
      this._kept = { configs: { ...found?.configs }, skill_uses: { ...found?.skill_uses } };
    }
    return this._kept;
  }

  _keepNews() {
    if (!this._hasNews) return;
    this._hasNews = false;
    const uses = Object.entries(this._kept.skill_uses).sort(([, one], [, other]) => other - one);
    this._kept.skill_uses = Object.fromEntries(uses.slice(0, MAX_USED_SKILLS));
    writeJson(this._around.home, FILE, this._kept);
  }
}

function compare(one, other) {
  for (let index = 0; index < one.length; index += 1) {
    if (one[index] !== other[index]) return one[index] < other[index] ? -1 : 1;
  }
  return 0;
}
