/**
 * What an agent is made of, without secrets, and the hash of it: model, tools, skills, prompt files, settings.
 *
 * Upstream: OpenClaw's config, the skills and files that `labeller.mjs` has read.
 * Downstream: event `agent_config`; label `config`.
 * Guarantee: pure. What does not change how the agent works (paths, keys, addresses, where events go) is not in it, so the
 * same configuration has the same hash on another day and another machine.
 */

import { isObject, sha256Of } from "../plain_copy.mjs";
import { Redactor } from "../redaction.mjs";
import { versionOf, versionOfAll } from "./skills.mjs";

/** Files of the workspace that OpenClaw puts into every prompt; memories change with each run and are none of them. */
export const PROMPT_FILES = ["AGENTS.md", "SOUL.md", "TOOLS.md", "IDENTITY.md", "USER.md", "HEARTBEAT.md"];
const MAX_SECTION_CHARS = 8 * 1024;
const MAX_TEXTS_CHARS = 96 * 1024;
/** Told apart, or no business of ours. */
const LEFT_OUT = new Set(["model", "workspace", "agentDir", "repoRoot", "id", "name", "default", "env", "headers", "tools"]);

/** Marks without a digest: that of a secret would differ from spool to spool, and the hash with it. */
class PlainMarks extends Redactor {
  mark(_text, kind) {
    return `[${kind}]`;
  }
}

/**
 * @param {object} known
 * @param {any} known.openclaw OpenClaw's config
 * @param {string} known.agentId
 * @param {{name: string, version: string, sha256: string, location: string, chars: number, text: string}[]} known.skills
 * @param {{name: string, version: string, sha256: string, chars: number, text: string}[]} known.files
 * @param {import("../settings.mjs").Settings} known.settings
 * @param {string} known.hostVersion
 * @returns {{hash: string, model: string, event: Record<string, unknown>}}
 */
export function describeAgent({ openclaw, agentId, skills, files, settings, hostVersion }) {
  const redactor = new PlainMarks({ digestKey: Buffer.alloc(32), ...settings.redact });
  const own = agentEntry(openclaw, agentId);
  const defaults = objectOf(openclaw?.agents?.defaults);
  const model = modelOf(own.model ?? defaults.model);
  const section = (value) => short(clean(value, redactor));
  const parts = {
    openclaw_version: hostVersion,
    model,
    settings: section({ ...defaults, ...own }),
    tools: section({ ...objectOf(openclaw?.tools), ...objectOf(own.tools) }),
    plugins: enabledPlugins(openclaw),
    guard: section(settings.guard),
  };
  const versions = (list) => list.map(({ name, sha256 }) => [name, sha256]).sort();
  const hash = versionOf(sha256Of(JSON.stringify([parts, versions(skills), versions(files)])));
  const event = {
    hash,
    openclaw_agent_id: agentId,
    ...parts,
    skill: versionOfAll(skills),
    ...withTexts(skills, files),
  };
  return { hash, model: model.primary, event };
}

function agentEntry(openclaw, agentId) {
  const agents = objectOf(openclaw?.agents);
  const listed = Array.isArray(agents.list) ? agents.list.find((entry) => entry?.id === agentId) : undefined;
  return objectOf(objectOf(agents.entries)[agentId] ?? listed);
}

function modelOf(model) {
  if (typeof model === "string") return { primary: model, fallbacks: [] };
  const { primary, fallbacks } = objectOf(model);
  return {
    primary: typeof primary === "string" ? primary : "",
    fallbacks: Array.isArray(fallbacks) ? fallbacks.filter((name) => typeof name === "string") : [],
  };
}

function enabledPlugins(openclaw) {
  const entries = Object.entries(objectOf(openclaw?.plugins?.entries));
  return entries.filter(([, entry]) => entry?.enabled !== false).map(([name]) => name).sort();
}

/** A copy in an order of its own, without what is secret or private. */
function clean(value, redactor) {
  if (typeof value === "string") return redactor.clean(value);
  if (Array.isArray(value)) return value.map((item) => clean(item, redactor));
  if (!isObject(value)) return value ?? null;
  const cleaned = {};
  for (const name of Object.keys(value).sort()) {
    if (LEFT_OUT.has(name) || value[name] === undefined || typeof value[name] === "function") continue;
    const isSecret = redactor.isSecretName(name) && typeof value[name] !== "boolean" && typeof value[name] !== "number";
    cleaned[name] = isSecret ? "[secret]" : clean(value[name], redactor);
  }
  return cleaned;
}

function short(value) {
  const json = JSON.stringify(value);
  return json.length <= MAX_SECTION_CHARS ? value : { too_long: { sha256: sha256Of(json), chars: json.length } };
}

/** The agent's own skills first: when not all texts have room, those of OpenClaw itself are left out. */
function withTexts(skills, files) {
  let left = MAX_TEXTS_CHARS;
  const tell = ({ name, version, chars, text, location }) => {
    const told = { name, version, chars, ...(location && { location }) };
    if (!text || text.length > left) return told;
    left -= text.length;
    return { ...told, text };
  };
  const toldFiles = files.map(tell);
  const order = [...skills].sort((one, other) => Number(isBundled(one)) - Number(isBundled(other)) || byName(one, other));
  const told = new Map(order.map((skill) => [skill, tell(skill)]));
  return { skills: [...skills].sort(byName).map((skill) => told.get(skill)), files: toldFiles };
}

export function isBundled({ location }) {
  return location.includes("node_modules");
}

function byName(one, other) {
  return one.name < other.name ? -1 : Number(one.name > other.name);
}

function objectOf(value) {
  return isObject(value) ? value : {};
}
