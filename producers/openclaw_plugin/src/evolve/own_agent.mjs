/**
 * Which agent of this OpenClaw asks, and where its workspace is.
 *
 * Upstream: `commands.mjs`; commands of an agent run in its workspace.
 * Downstream: OpenClaw's config and its own word on workspaces.
 * Guarantee: an agent that is named must be in the config; nothing is guessed that OpenClaw can tell.
 */

import fs from "node:fs";
import os from "node:os";
import path from "node:path";

import { isObject } from "../plain_copy.mjs";

/**
 * @param {object} options
 * @param {any} options.api
 * @param {any} options.config OpenClaw's config
 * @param {string} [options.wanted] the agent that was named
 * @param {string} options.cwd
 * @returns {{agentId: string, workspace: string, problem: string}} problem is "" when there is none
 */
export function findAgent({ api, config, wanted, cwd }) {
  const agents = entriesOf(config);
  const names = agents.map(({ id }) => id);
  const none = { agentId: "", workspace: "" };
  if (wanted && !names.includes(wanted)) {
    return { ...none, problem: `There is no agent ${wanted}; this OpenClaw has ${names.join(", ")}.` };
  }
  const places = agents.map((agent) => ({ ...agent, workspace: workspaceOf(api, config, agent) }));
  const usable = places.filter(({ workspace }) => workspace && fs.existsSync(workspace));
  const chosen = wanted
    ? usable.find(({ id }) => id === wanted)
    : usable.sort(byRank(fs.realpathSync(cwd)))[0];
  if (!chosen) return { ...none, problem: `No workspace was found; name the agent with --agent (${names.join(", ")}).` };
  return { agentId: chosen.id, workspace: chosen.workspace, problem: "" };
}

function entriesOf(config) {
  const agents = config?.agents ?? {};
  const listed = isObject(agents.entries)
    ? Object.entries(agents.entries).map(([id, entry]) => ({ ...entry, id }))
    : Array.isArray(agents.list)
      ? agents.list.filter((entry) => typeof entry?.id === "string")
      : [];
  const found = listed.map(({ id, workspace, default: isDefault }) => ({ id, own: workspace, isDefault: isDefault === true }));
  return found.length > 0 ? found : [{ id: "main", own: undefined, isDefault: true }];
}

function workspaceOf(api, config, { id, own }) {
  try {
    return api.runtime.agent.resolveAgentWorkspaceDir(config, id);
  } catch {
    // Commands may be registered without the runtime.
    if (typeof own === "string") return own.startsWith("~/") ? path.join(os.homedir(), own.slice(2)) : own;
    return "";
  }
}

/** The agent in whose workspace the command runs, then the default one. */
function byRank(cwd) {
  const rank = ({ workspace, isDefault }) => (isInside(cwd, workspace) ? 0 : 2) + (isDefault ? 0 : 1);
  return (one, other) => rank(one) - rank(other);
}

function isInside(folder, parent) {
  const relative = path.relative(fs.realpathSync(parent), folder);
  return relative === "" || (!relative.startsWith("..") && !path.isAbsolute(relative));
}
