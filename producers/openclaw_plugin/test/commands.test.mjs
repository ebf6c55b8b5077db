/** What a person types: setup, status, flush, pause. */

import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { test } from "node:test";

import { addCommands } from "../src/cli.mjs";
import { homeFolder, readSettings } from "../src/settings.mjs";
import { Spool } from "../src/spool.mjs";
import { readControl } from "../src/status_files.mjs";
import { GatewayServer, KEY } from "./gateway_server.mjs";
import { Host, captured, install, temporaryFolder, until } from "./openclaw_host.mjs";

/** The part of commander that the commands use; the program itself is OpenClaw's. */
class Command {
  constructor() {
    this.commands = {};
  }

  command(name) {
    this.commands[name] = new Command();
    return this.commands[name];
  }

  description() {
    return this;
  }

  option() {
    return this;
  }

  action(run) {
    this.run = run;
    return this;
  }
}

async function terminal(t) {
  const folder = temporaryFolder(t);
  const gateway = await GatewayServer.start(t);
  const config = {};
  const said = [];
  const api = { runtime: { config: { mutateConfigFile: async ({ mutate }) => mutate(config) } } };
  const program = new Command();
  const stateDir = path.join(folder, "state");
  addCommands(program, {
    api,
    config,
    settings: () => readSettings(config.plugins?.entries?.clawtrace?.config, {}),
    home: () => homeFolder(stateDir),
    say: (text) => void said.push(text),
  });
  t.after(() => {
    process.exitCode = 0;
  });
  const type = async (name, options = {}) => {
    said.length = 0;
    process.exitCode = 0;
    await program.commands[name.startsWith("ask") ? "ask <question>" : name].run(options);
    await until(() => said.length > 0, `an answer to ${name}`);
    await until(() => !/^OpenClaw's config is set/.test(said.at(-1)), "the last sentence");
    return { text: said.join("\n"), exitCode: process.exitCode };
  };
  return { folder, gateway, config, stateDir, home: homeFolder(stateDir), type };
}

test("setup sets what OpenClaw needs, sends a test event and says that it arrived", async (t) => {
  const { gateway, config, type } = await terminal(t);
  const { text } = await type("setup", { endpoint: `${gateway.url}/`, key: KEY });
  assert.match(text, /The test event arrived/);
  const entry = config.plugins.entries.clawtrace;
  assert.deepEqual(entry.config, { endpoint: gateway.url, observeKey: KEY });
  assert.equal(entry.hooks.allowConversationAccess, true);
  assert.deepEqual(gateway.events.map(({ hook }) => hook), ["diagnostic"]);
  assert.deepEqual(gateway.problems, []);
});

test("setup says in plain words why the test event did not arrive", async (t) => {
  const { gateway, type } = await terminal(t);
  assert.match((await type("setup", { endpoint: gateway.url, key: "wrong" })).text, /observe key was refused/);
  assert.match((await type("setup", { endpoint: `${gateway.url}/elsewhere`, key: KEY })).text, /Is it the address of/);
  gateway.answers.push({ status: 503 });
  assert.match((await type("setup", { endpoint: gateway.url, key: KEY })).text, /cannot take events now/);
  await gateway.stop();
  const { text } = await type("setup", { endpoint: gateway.url, key: KEY });
  assert.match(text, /nobody answers at/);
  await until(() => process.exitCode === 1, "the exit code");
  await gateway.listen(gateway.port);
});

test("setup with the API and a read key gives agents its MCP server; without them nothing is added", async (t) => {
  const { gateway, config, type } = await terminal(t);
  const given = { endpoint: gateway.url, key: KEY };
  assert.match((await type("setup", { ...given, readKey: "r" })).text, /only with the API/);
  await type("setup", given);
  assert.equal(config.mcp, undefined);
  assert.equal(config.plugins.entries.clawtrace.config.api, undefined);
  const { text } = await type("setup", { ...given, api: "http://127.0.0.1:4601/", readKey: "read-key" });
  assert.match(text, /MCP server http:\/\/127\.0\.0\.1:4601\/mcp/);
  assert.doesNotMatch(text, /read-key/);
  assert.equal(config.plugins.entries.clawtrace.config.api, "http://127.0.0.1:4601");
  assert.deepEqual(config.mcp.servers.clawtrace, {
    url: "http://127.0.0.1:4601/mcp",
    transport: "streamable-http",
    headers: { Authorization: "Bearer read-key" },
  });
});

test("ask sends the question with the observe key and prints the answer as it is told", async (t) => {
  const { gateway, type } = await terminal(t);
  const asked = [];
  let answer;
  const api = http.createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    asked.push({ url: request.url, key: request.headers.authorization, body: JSON.parse(body) });
    answer(response);
  });
  await new Promise((resolve) => api.listen(0, "127.0.0.1", resolve));
  t.after(() => api.close());
  assert.match((await type("ask", "What did it cost?")).text, /setup with --api/);
  await type("setup", { endpoint: gateway.url, key: KEY, api: `http://127.0.0.1:${api.address().port}` });
  answer = (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write('event: session\ndata: {"session_id": "s"}\n\nevent: text\ndata: {"text": "It cost "}\n\n');
    response.end('event: text\ndata: {"text": "$0.05."}\n\nevent: done\ndata: {}\n\n');
  };
  const { text, exitCode } = await type("ask", "What did it cost?");
  assert.equal(text, "It cost $0.05.");
  assert.equal(exitCode, 0);
  assert.deepEqual(asked, [{ url: "/v1/evolve/ask", key: `Bearer ${KEY}`, body: { question: "What did it cost?" } }]);
  answer = (response) => response.writeHead(404).end();
  assert.match((await type("ask", "And now?")).text, /answers no questions of agents \(404\)/);
  answer = (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end('event: error\ndata: {"detail": "the budget of questions is used up"}\n\n');
  };
  assert.match((await type("ask", "And now?")).text, /could not finish its answer: the budget of questions is used up/);
  answer = (response) => response.writeHead(429).end('{"detail": "later"}');
  assert.match((await type("ask", "And now?")).text, /has not answered \(429: later\)/);
  await until(() => process.exitCode === 1, "the exit code");
});

test("setup without address or key writes nothing", async (t) => {
  const { config, type } = await terminal(t);
  assert.match((await type("setup", { key: KEY })).text, /No endpoint/);
  assert.match((await type("setup", { endpoint: "localhost:4600", key: KEY })).text, /is no address/);
  assert.match((await type("setup", { endpoint: "http://127.0.0.1:1" })).text, /No observe key/);
  assert.deepEqual(config, {});
});

test("flush sends what a process left behind; again sends it once more", async (t) => {
  const { gateway, home, type } = await terminal(t);
  await type("setup", { endpoint: gateway.url, key: KEY });
  const spool = new Spool({ folder: path.join(home, "spool") });
  for (let count = 0; count < 3; count += 1) {
    const seq = spool.takeSeq();
    spool.append(seq, Buffer.from(JSON.stringify({ seq, at_us: 1, hook: "session_start", event: {}, ctx: {} })));
  }
  spool.close();
  assert.match((await type("flush")).text, /Sent 3 events; nothing is left/);
  assert.match((await type("flush", { again: true })).text, /Sent 3 events/);
  assert.deepEqual(gateway.problems, []);
});

test("a running plugin obeys pause and resume, and tells its status", async (t) => {
  const { folder, gateway, stateDir, home, type } = await terminal(t);
  await type("setup", { endpoint: gateway.url, key: KEY });
  await type("pause");
  assert.equal(readControl(home).isPaused, true);
  assert.match((await type("flush")).text, /paused/);
  const host = new Host({ entry: install(folder), stateDir, pluginConfig: { endpoint: gateway.url, observeKey: KEY } });
  await host.load("full");
  host.services[0].start();
  const state = globalThis[Symbol.for("clawtrace.v1")];
  t.after(() => {
    state.close();
    delete globalThis[Symbol.for("clawtrace.v1")];
  });
  await until(() => state.status().sender.phase === "paused", "the pause");
  for (const { hook, event, ctx } of captured("simple")) host.call(hook, event, ctx);
  const waiting = await until(async () => {
    const { text } = await type("status");
    return /[1-9]\d* events wait/.test(text) && text;
  }, "events that wait");
  assert.match(waiting, /Paused: /);
  assert.equal(gateway.events.length, 1);
  await type("resume");
  assert.match((await type("flush")).text, /Everything has arrived/);
  assert.match((await type("status")).text, /Lost: +nothing/);
  assert.ok(fs.existsSync(path.join(home, "status.json")));
});

test("dry-run shows the events without their secrets", async (t) => {
  const { folder, gateway, type } = await terminal(t);
  const { text } = await type("dry-run");
  await until(() => text.includes("llm_input"), "the lines");
  for (const secret of ["jane.doe", "4111 1111", "hunter22", "correct-horse", "a1a1a1"]) assert.ok(!text.includes(secret), secret);
  const file = path.join(folder, "calls.jsonl");
  fs.writeFileSync(file, JSON.stringify({ hook: "session_start", event: { password: "p4ss" }, ctx: {} }));
  const own = await type("dry-run", { file });
  assert.ok(!own.text.includes("p4ss"));
  assert.deepEqual(gateway.events, []);
});
