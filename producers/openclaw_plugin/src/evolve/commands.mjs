/**
 * `openclaw clawtrace evolve …`: what was wasteful, a fix for it in the agent's own skill, and a record of why.
 *
 * Upstream: `cli.mjs`; the skill `clawtrace-self-evolve` tells agents of it.
 * Downstream: `POST <api>/v1/evolve/skill` with the observe key; `own_skill.mjs`; event `skill_changed`.
 * Guarantee: asking writes nothing; what is applied is what the API says now, written into one file of the agent's
 * workspace, and every change is in the list of changes and in ClawTrace. The key is never printed.
 */

import path from "node:path";

import { versionOf } from "../labels/skills.mjs";
import { sha256Of } from "../plain_copy.mjs";
import { readJson, writeJson } from "../status_files.mjs";
import { findAgent } from "./own_agent.mjs";
import { EMPTY_SKILL, OwnSkill, SKILL_NAME, SkillRefused, artifactOf } from "./own_skill.mjs";

const ANSWER_TIMEOUT_MS = 60_000;
const CHANGES_FILE = "skill_changes.json";
const MAX_CHANGES = 200;
const MAX_WHY_CHARS = 500;

/** @returns {Promise<boolean>} whether there is an answer */
export async function ask(options, context) {
  const place = placeOf(options, context);
  const found = place && (await distil(place, options, context));
  if (!found) return false;
  for (const line of describe(found, place.skill.file)) context.say(line);
  return true;
}

/** @returns {Promise<boolean>} whether the skill is as the API wants it */
export async function apply(options, context) {
  const { settings, say } = context;
  if (!settings().evolve.apply) {
    say("Fixes are not applied here: evolve.apply is false in the settings of the ClawTrace plugin.");
    return false;
  }
  const place = placeOf(options, context);
  const found = place && (await distil(place, options, context));
  if (!found) return false;
  if (found.text === (place.before ?? EMPTY_SKILL)) {
    say(`Nothing to apply: ${found.num_runs} runs of ${found.task_id} teach nothing that the skill does not say.`);
    return true;
  }
  return guarded(say, async () => {
    place.skill.replace(place.before, found.text);
    const why = [options.why?.trim(), summaryOf(found)].filter(Boolean).join(" - ");
    const change = changeOf(place, found.text, { action: place.before === null ? "created" : "updated", why, found });
    await log(change, place, context);
    say(`Applied to ${place.skill.file}: version ${change.before ?? "none"} -> ${change.after}.`);
    for (const line of linesAdded(place.before ?? EMPTY_SKILL, found.text)) say(`+ ${line}`);
    say(`Why: ${why}`);
    say("New sessions see it. Take it back with: openclaw clawtrace evolve undo");
  });
}

/** @returns {Promise<boolean>} whether the last change is taken back */
export async function undo(options, context) {
  const { say } = context;
  const place = placeOf(options, context);
  if (!place) return false;
  const last = changesIn(context.home()).findLast((it) => it.agent === place.agentId);
  if (!last || last.action === "restored") {
    say("There is no change to take back.");
    return false;
  }
  return guarded(say, async () => {
    const text = place.skill.restore(last.after, last.before);
    const why = options.why?.trim() || `the change of ${last.at} was taken back`;
    const change = changeOf(place, text, { action: text === null ? "removed" : "restored", why });
    await log({ ...change, action: "restored" }, place, context);
    say(text === null ? `Removed ${place.skill.file}.` : `Put back ${place.skill.file}: version ${last.before}.`);
  });
}

/** @returns {Promise<boolean>} */
export async function showLog(options, { home, say }) {
  const changes = changesIn(home());
  if (options.json) {
    say(JSON.stringify(changes, null, 2));
    return true;
  }
  if (changes.length === 0) say("No skill was changed by clawtrace evolve.");
  for (const { at, agent, action, before, after, why } of changes) {
    say(`${at}  ${agent}  ${action}  ${before ?? "none"} -> ${after ?? "none"}  ${why}`);
  }
  return true;
}

function placeOf(options, context) {
  const { api, config, home, settings, say } = context;
  const { api: address, observeKey } = settings();
  if (!address || !observeKey) {
    say("ClawTrace cannot be asked: run openclaw clawtrace setup with --api, the address of its API.");
    return null;
  }
  const found = findAgent({ api, config, wanted: options.agent, cwd: process.cwd() });
  if (found.problem) {
    say(found.problem);
    return null;
  }
  try {
    const skill = new OwnSkill({ workspace: found.workspace, home: home(), agentId: found.agentId });
    return { agentId: found.agentId, skill, before: skill.read() };
  } catch (error) {
    say(`The skill of ${found.agentId} cannot be read: ${error.message}`);
    return null;
  }
}

/** The skill as it should be, by what the agent's runs have shown; null when there is no answer. */
async function distil({ before }, options, { settings, say }) {
  const { api, observeKey } = settings();
  const days = Number.parseInt(options.days ?? "30", 10);
  const question = { current_text: before ?? EMPTY_SKILL, days, ...(options.task && { task_id: options.task }) };
  let response;
  try {
    response = await fetch(`${api}/v1/evolve/skill`, {
      method: "POST",
      body: JSON.stringify(question),
      headers: { authorization: `Bearer ${observeKey}`, "content-type": "application/json" },
      // A key must not travel to wherever an answer points.
      redirect: "manual",
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
  } catch (error) {
    say(`ClawTrace has not answered: nobody answers at ${api} (${error?.cause?.code ?? error?.name}).`);
    return null;
  }
  const told = await response.json().catch(() => null);
  if (response.status === 200 && typeof told?.text === "string") return told;
  const why = told?.detail ?? told?.title;
  say(`ClawTrace has not answered (${response.status}${why ? `: ${why}` : ""}).`);
  return null;
}

function describe(found, file) {
  const lines = [`${found.num_runs} runs of ${found.task_id} were looked at; ${averageOf(found)}.`];
  if (found.patches.length === 0) return [...lines, "Nothing wasteful was found that can be proved."];
  lines.push(`What they teach, for your skill ${SKILL_NAME}:`);
  for (const { line, saving } of found.patches) lines.push(`- ${line} (${savingOf(saving)})`);
  lines.push(`All together: ${savingOf(found.saving)}.`);
  lines.push(`Apply it with: openclaw clawtrace evolve apply --why "<your reason>"  (writes ${file} and nothing else)`);
  return lines;
}

function averageOf({ mean_cost_usd: usd, mean_tool_calls: tools }) {
  return `on average ${usd === null ? "unknown cost" : `$${usd}`} and ${tools ?? 0} tool calls`;
}

function savingOf({ usd, num_tool_calls: tools, num_affected_runs: affected, num_runs: runs }) {
  return `would have saved ${usd === null ? "unknown cost" : `$${usd}`} and ${tools} tool calls in ${affected} of ${runs} runs`;
}

function summaryOf(found) {
  return `${found.patches.length} lessons of ${found.num_runs} runs of ${found.task_id}: ${savingOf(found.saving)}`;
}

function linesAdded(before, text) {
  const known = new Set(before.split("\n"));
  return text.split("\n").filter((line) => line.startsWith("- ") && !known.has(line));
}

function changeOf({ agentId, skill, before }, text, { action, why, found }) {
  const version = (it) => (it === null ? null : versionOf(sha256Of(it)));
  return {
    at: new Date().toISOString(),
    agent: agentId,
    action,
    before: version(before),
    after: version(text),
    why: why.slice(0, MAX_WHY_CHARS),
    ...(found && { task_id: found.task_id, saving: found.saving }),
    artifacts: {
      ...(before !== null && { before: artifactOf(before, skill.file) }),
      ...(text !== null && { after: artifactOf(text, skill.file) }),
    },
  };
}

/** In the list of this machine first, then as an event: like OpenClaw's own hook when a skill changes. */
async function log({ artifacts, ...change }, { agentId }, { home, record }) {
  writeJson(home(), CHANGES_FILE, { changes: [...changesIn(home()), change].slice(-MAX_CHANGES) });
  const { at, action, why, task_id, saving } = change;
  const event = { action, source: "clawtrace", occurredAt: at, ...artifacts, why, task_id, saving };
  await record("skill_changed", event, { agentId });
}

function changesIn(home) {
  const changes = readJson(path.join(home, CHANGES_FILE))?.changes;
  return Array.isArray(changes) ? changes : [];
}

async function guarded(say, work) {
  try {
    await work();
    return true;
  } catch (error) {
    say(error instanceof SkillRefused ? `Nothing was changed: ${error.message}` : `It went wrong: ${error.message}`);
    return false;
  }
}
