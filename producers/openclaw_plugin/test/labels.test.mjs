/** Labels of runs, and the configurations of agents: what changes them, what does not, and what never leaves. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { skillsIn } from "../src/labels/skills.mjs";
import { GatewayServer, KEY } from "./gateway_server.mjs";
import { Host, install, temporaryFolder } from "./openclaw_host.mjs";

const SYMBOL = Symbol.for("clawtrace.v1");
const sha256 = (text) => createHash("sha256").update(text).digest("hex");

async function start(t, pluginConfig = {}) {
  const folder = temporaryFolder(t);
  const gateway = await GatewayServer.start(t);
  const workspace = path.join(folder, "workspace");
  fs.mkdirSync(workspace);
  const config = {
    agents: {
      defaults: { model: { primary: "fake/sim-1", fallbacks: ["fake/sim-2"] }, heartbeat: { every: "30m" } },
      entries: { main: { workspace, thinkingDefault: "low" } },
    },
    tools: { deny: ["browser"], web: { search: { apiKey: "sk-abcdefghijklmnopqrstuvwx" } } },
    models: { providers: { fake: { apiKey: "another secret" } } },
    plugins: { entries: { clawtrace: { enabled: true, config: { observeKey: KEY } }, discord: { enabled: false } } },
  };
  const stateDir = path.join(folder, "state");
  const host = new Host({ entry: install(folder), stateDir, config, pluginConfig: { endpoint: gateway.url, observeKey: KEY, ...pluginConfig } });
  t.after(() => {
    globalThis[SYMBOL]?.close();
    delete globalThis[SYMBOL];
  });
  await host.load("full");
  let numRuns = 0;
  const run = async (skills, ctx = {}) => {
    numRuns += 1;
    const runId = `run-${numRuns}`;
    const event = { runId, provider: "fake", model: "sim-1", systemPrompt: promptOf(skills), prompt: "Hi", historyMessages: [], tools: [] };
    host.call("llm_input", event, { runId, agentId: "main", sessionKey: "agent:main:one", workspaceDir: workspace, ...ctx });
    assert.equal(await globalThis[SYMBOL].flush(10_000), true);
    return gateway.events.filter(({ hook, ctx: { runId: of } }) => hook === "run_labels" && of === runId).map(({ event: { labels } }) => labels)[0];
  };
  const skill = (name, text) => {
    const file = path.join(workspace, "skills", name, "SKILL.md");
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
    return { name, file };
  };
  const configs = () => gateway.events.filter(({ hook }) => hook === "agent_config").map(({ event }) => event);
  return { gateway, host, run, skill, configs, workspace, stateDir };
}

function promptOf(skills) {
  if (skills === undefined) return "You are a sub-agent.";
  const entries = skills.map(({ name, file }) => `  <skill>\n    <name>${name}</name>\n    <description>a &amp; b</description>\n    <location>${file}</location>\n  </skill>`);
  return `You are an agent.\n\n<available_skills>\n${entries.join("\n")}\n</available_skills>\nGo on.`;
}

test("the list of skills is read as OpenClaw writes it", () => {
  assert.equal(skillsIn("no list"), null);
  assert.equal(skillsIn(undefined), null);
  assert.deepEqual(skillsIn("<available_skills>\n</available_skills>"), []);
  const found = skillsIn(promptOf([{ name: "a &lt;b&gt; &amp;amp;", file: "~/x &amp; y/SKILL.md" }]));
  assert.deepEqual(found.map(({ name, location }) => [name, location]), [["a <b> &amp;", "~/x & y/SKILL.md"]]);
});

test("a run is labelled with the versions of its skills, its configuration, its model and the user's labels", async (t) => {
  const { run, skill, configs } = await start(t, { labels: { team: "support", model: "mine", "": "x" } });
  const skills = [skill("deploy", "Deploy once."), skill("answer", "Answer briefly.")];
  const labels = await run(skills);
  const all = ["answer", "deploy"].map((name) => `${name} ${sha256(name === "deploy" ? "Deploy once." : "Answer briefly.")}\n`).join("");
  // The same texts and the same digits stand in tests/unit/stream_jobs/core/test_labels.py.
  assert.equal(labels.skill, "c0f8cf095936");
  assert.deepEqual(labels, {
    skill: sha256(all).slice(0, 12),
    config: configs()[0].hash,
    model: "fake/sim-1",
    team: "support",
    "skill:answer": sha256("Answer briefly.").slice(0, 12),
    "skill:deploy": sha256("Deploy once.").slice(0, 12),
  });
});

test("another text of a skill is another version, of the skill, of all skills and of the configuration", async (t) => {
  const { run, skill, configs } = await start(t);
  const skills = [skill("deploy", "Deploy once."), skill("answer", "Answer briefly.")];
  const before = await run(skills);
  assert.deepEqual(await run(skills), before);
  skill("deploy", "Deploy twice, now.");
  const after = await run(skills);
  assert.equal(after["skill:answer"], before["skill:answer"]);
  for (const name of ["skill", "config", "skill:deploy"]) assert.notEqual(after[name], before[name], name);
  assert.deepEqual(configs().map(({ hash, reason, previous }) => [hash, reason, previous]), [
    [before.config, "start", undefined],
    [after.config, "changed", before.config],
  ]);
  assert.equal(configs()[1].skills.find(({ name }) => name === "deploy").text, "Deploy twice, now.");
});

test("a configuration has no secrets and no paths of its own, and its order does not matter", async (t) => {
  const { gateway, host, run, skill, configs, workspace } = await start(t);
  const skills = [skill("deploy", "The key is sk-abcdefghijklmnopqrstuvwx.")];
  const first = await run(skills);
  const [told] = configs();
  assert.deepEqual(told.model, { primary: "fake/sim-1", fallbacks: ["fake/sim-2"] });
  assert.deepEqual(told.plugins, ["clawtrace"]);
  assert.deepEqual(told.settings, { heartbeat: { every: "30m" }, thinkingDefault: "low" });
  assert.deepEqual(told.tools, { deny: ["browser"], web: { search: { apiKey: told.tools.web.search.apiKey } } });
  const sent = JSON.stringify(gateway.events);
  for (const secret of ["sk-abcdefghijklmnopqrstuvwx", "another secret", KEY]) assert.ok(!sent.includes(secret), secret);
  host.config.tools = { web: { search: { apiKey: "sk-zyxwvutsrqponmlkjihgfedcba" } }, deny: ["browser"] };
  host.config.agents.entries.main = { thinkingDefault: "low", workspace: `${workspace}/elsewhere` };
  assert.equal((await run(skills)).config, first.config);
  host.config.agents.entries.main.thinkingDefault = "high";
  assert.notEqual((await run(skills)).config, first.config);
});

test("a file that goes into every prompt is a part of the configuration", async (t) => {
  const { run, skill, configs, workspace } = await start(t);
  const skills = [skill("deploy", "Deploy.")];
  const before = await run(skills);
  fs.writeFileSync(path.join(workspace, "AGENTS.md"), "Be brief.");
  const after = await run(skills);
  assert.notEqual(after.config, before.config);
  assert.equal(after.skill, before.skill);
  assert.deepEqual(configs()[1].files.map(({ name, text }) => [name, text]), [["AGENTS.md", "Be brief."]]);
});

test("a sub-agent, whose prompt lists no skills, has the configuration of its agent", async (t) => {
  const { run, skill, configs } = await start(t);
  const sub = { sessionKey: "agent:main:subagent:1f6f4f9e" };
  assert.deepEqual(await run(undefined, sub), { model: "fake/sim-1" });
  const main = await run([skill("deploy", "Deploy.")]);
  assert.deepEqual(await run(undefined, sub), { config: main.config, model: "fake/sim-1" });
  assert.equal(configs().length, 1);
});

test("a run that tries again is labelled once", async (t) => {
  const { gateway, host, run, skill } = await start(t);
  const skills = [skill("deploy", "Deploy.")];
  await run(skills);
  host.call("llm_input", { runId: "run-1", systemPrompt: promptOf(skills), provider: "fake", model: "sim-2" }, { runId: "run-1", agentId: "main" });
  await globalThis[SYMBOL].flush(10_000);
  assert.equal(gateway.events.filter(({ hook }) => hook === "run_labels").length, 1);
});

test("of many skills, those whose files are read most have labels of their own", async (t) => {
  const { host, run, skill } = await start(t);
  const skills = Array.from({ length: 12 }, (_, index) => skill(`s${String(index).padStart(2, "0")}`, `Text ${index}`));
  const first = await run(skills);
  assert.equal(Object.keys(first).filter((name) => name.startsWith("skill:")).length, 8);
  assert.ok(!("skill:s11" in first));
  host.call("before_tool_call", { toolName: "read", params: { path: skills[11].file }, runId: "run-1", toolCallId: "c" }, { runId: "run-1" });
  const second = await run(skills);
  assert.ok("skill:s11" in second);
  assert.equal(second.skill, first.skill);
});

test("with system prompts off, versions stay and texts do not", async (t) => {
  const { gateway, run, skill, configs } = await start(t, { capture: { system_prompt: "off" } });
  const labels = await run([skill("deploy", "Our secret way to deploy.")]);
  assert.equal(labels["skill:deploy"], sha256("Our secret way to deploy.").slice(0, 12));
  assert.equal(configs()[0].skills[0].text, "[not captured]");
  assert.ok(!JSON.stringify(gateway.events).includes("secret way"));
});

test("many long skills make an event that the gateway takes, the agent's own texts first", async (t) => {
  const { gateway, run, skill, configs } = await start(t);
  const own = Array.from({ length: 30 }, (_, index) => skill(`own${index}`, `${index} ${"long ".repeat(4_000)}`));
  const bundled = { name: "bundled", file: path.join(path.dirname(own[0].file), "../node_modules/x/SKILL.md") };
  fs.mkdirSync(path.dirname(bundled.file), { recursive: true });
  fs.writeFileSync(bundled.file, "short");
  await run([...own, bundled]);
  assert.deepEqual(gateway.problems, []);
  const texts = configs()[0].skills.filter(({ text }) => text !== undefined);
  assert.equal(configs()[0].skills.length, 31);
  assert.ok(texts.length >= 7 && texts.length <= 9, `${texts.length} texts`);
  assert.ok(texts.some(({ name }) => name.startsWith("own")));
});

test("a skill that cannot be read has the version of its entry, and no failure reaches the agent", async (t) => {
  const { host, run } = await start(t);
  const away = [{ name: "remote", file: "/no/such/SKILL.md" }];
  const labels = await run(away);
  assert.match(labels["skill:remote"], /^[0-9a-f]{12}$/);
  assert.deepEqual({ ...(await run(away)) }, labels);
  host.config = new Proxy({}, { get: () => { throw new Error("injected"); } });
  assert.equal(await run(away), undefined);
  assert.equal(host.lines.filter((line) => line.includes("a run has no labels: injected")).length, 1);
});
