/** What leaves the machine: secrets never, the rest as the switches say, and everything the stitcher reads. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";

import { Ballast } from "../src/ballast.mjs";
import { Privacy, Said } from "../src/privacy.mjs";
import { Recorder } from "../src/recorder.mjs";
import { Redactor } from "../src/redaction.mjs";
import { readSettings } from "../src/settings.mjs";
import { captured, scenarios } from "./openclaw_host.mjs";

const FULL = { prompts: "full", tool_params: "full", tool_results: "full", system_prompt: "full" };
const OFF = { prompts: "off", tool_params: "off", tool_results: "off", system_prompt: "off" };
const HASH = { prompts: "hash", tool_params: "hash", tool_results: "hash", system_prompt: "hash" };

function screenOf({ capture = FULL, redact = {} } = {}) {
  const redactor = new Redactor({ digestKey: randomBytes(32), ...redact });
  const blobs = new Map();
  const storeBlob = (json) => {
    blobs.set("f".repeat(64), json);
    return "f".repeat(64);
  };
  const privacy = new Privacy({ capture, redactor, storeBlob });
  const recorder = new Recorder({ spool: null, privacy });
  const ballast = new Ballast();
  const render = (hook, event, ctx = {}) =>
    JSON.parse(recorder.render({ seq: 1, at_us: 1, hook, event: ballast.event(hook, event), ctx: ballast.ctx(ctx) }));
  return { redactor, render, blobs, privacy };
}

const ALNUM = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8";
const SECRETS = {
  openai: `sk-${ALNUM}`,
  anthropic: `sk-ant-api03-${ALNUM}`,
  stripe: `sk_live_${ALNUM}`,
  aws: "AKIAIOSFODNN7EXAMPLE",
  google: `AIza${ALNUM}`,
  github: `ghp_${ALNUM}`,
  githubFine: `github_pat_${ALNUM}`,
  gitlab: `glpat-${ALNUM}`,
  slack: `xoxb-${ALNUM}`,
  npm: `npm_${ALNUM}`,
  huggingface: `hf_${ALNUM}`,
  telegram: `123456789:AA${ALNUM}`,
  jwt: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
  email: "jane.doe+work@mail.example.com",
  card: "4111 1111 1111 1111",
  cardPlain: "5500005555555559",
  amex: "378282246310005",
  privateKey: "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc\n-----END RSA PRIVATE KEY-----",
};

test("secrets of the usual shapes are taken out of running text", () => {
  const { redactor } = screenOf();
  for (const [name, secret] of Object.entries(SECRETS)) {
    const cleaned = redactor.clean(`before ${secret} after`);
    assert.ok(!cleaned.includes(secret), name);
    assert.match(cleaned, /^before \[[a-z-]+ [0-9a-f]{8}\] after$/, name);
  }
});

test("secrets that only their surroundings show are taken out", () => {
  const { redactor } = screenOf();
  const cases = {
    "Authorization: Bearer abcdefghij.klmnop": "abcdefghij",
    "postgres://user:hunter2@host/db": "hunter2",
    'PASSWORD="correct horse"': "correct",
    '{\\"password\\": \\"hunter22\\"}': "hunter22",
    "api_key = 9f8e7d6c5b4a": "9f8e7d6c5b4a",
    "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY": "wJalrXUtnFEMI",
  };
  for (const [text, secret] of Object.entries(cases)) assert.ok(!redactor.clean(text).includes(secret), text);
});

test("what is no secret stays", () => {
  const { redactor } = screenOf();
  const texts = [
    "1795412990545000 and 1795412990545 are instants",
    "9e66e827-1beb-4918-9671-6aa9d6469f49",
    "totalTokens: 2040, cacheRead: 0",
    "function f(token: string, password: string): null",
    "git@v2 says a@b",
    "4111 1111 1111 1112 fails the check",
    "call_multi_tool_0_0_2",
  ];
  for (const text of texts) assert.equal(redactor.clean(text), text);
});

test("equal secrets get equal marks, under a key of this machine", () => {
  const [one, other] = [screenOf().redactor, screenOf().redactor];
  const text = `key ${SECRETS.openai}`;
  assert.equal(one.clean(text), one.clean(text));
  assert.notEqual(one.clean(text), other.clean(text));
});

test("fields with secret names are taken out at any depth, numbers of tokens are not", () => {
  const { render } = screenOf({ redact: { keys: ["ssn"] } });
  const params = { headers: { Authorization: "Basic xyz", "X-Api-Key": "k" }, db: { password: "p" }, ssn: "078-05-1120" };
  const { event } = render("before_tool_call", { toolName: "fetch", params, usage: { totalTokens: 7 }, maxTokens: 5 });
  const text = JSON.stringify(event);
  for (const secret of ["Basic xyz", '"k"', '"p"', "078-05-1120"]) assert.ok(!text.includes(secret), secret);
  assert.deepEqual([event.usage.totalTokens, event.maxTokens], [7, 5]);
});

test("own patterns are taken out; a broken one turns full capture into fingerprints", () => {
  const good = readSettings({ redact: { patterns: ["PROJ-\\d+"] } }, {});
  assert.match(screenOf({ redact: good.redact }).redactor.clean("see PROJ-123"), /^see \[redacted /);
  const broken = readSettings({ redact: { patterns: ["("] } }, {});
  assert.equal(broken.capture.prompts, "hash");
  assert.equal(broken.problems.length, 1);
});

test("the time of a search grows with the text, not faster", () => {
  const { redactor } = screenOf();
  for (const unit of ["a", "1", "@", "-----BEGIN PRIVATE KEY-----", "password=", "eyJ", "://a:", "a@b.", "1 "]) {
    const text = unit.repeat(Math.ceil(200_000 / unit.length));
    const startedMs = performance.now();
    redactor.clean(text);
    assert.ok(performance.now() - startedMs < 2_000, unit);
  }
});

test("off keeps no word of anybody, hash shows repeats only, and both keep what happened", () => {
  const call = {
    toolName: "exec",
    toolCallId: "c1",
    params: { command: "echo squeamish" },
    result: { content: [{ type: "text", text: "ossifrage" }], details: { status: "completed", exitCode: 3, aggregated: "ossifrage" } },
    error: "ossifrage failed",
    durationMs: 5,
  };
  for (const capture of [OFF, HASH]) {
    const { render } = screenOf({ capture });
    const { event } = render("after_tool_call", call);
    assert.ok(!/squeamish|ossifrage/.test(JSON.stringify(event)));
    assert.deepEqual([event.toolName, event.durationMs], ["exec", 5]);
    assert.deepEqual([event.result.details.status, event.result.details.exitCode], ["completed", 3]);
    assert.equal(typeof event.error, "string");
  }
  const { render } = screenOf({ capture: HASH });
  assert.equal(render("before_tool_call", call).event.params, render("before_tool_call", call).event.params);
});

test("off, no word of any captured run leaves", () => {
  const { render } = screenOf({ capture: OFF });
  for (const scenario of ["multi-tool", "webchat", "subagent", "anthropic", "thinking"]) {
    const lines = captured(scenario);
    const words = lines
      .filter(({ hook }) => hook === "llm_input" || hook === "before_agent_reply")
      .map(({ event }) => event.prompt ?? event.cleanedBody)
      .concat(lines.flatMap(({ event }) => event.assistantTexts ?? []))
      .concat(lines.flatMap(({ hook, event }) => (hook === "after_tool_call" ? (event.result?.content ?? []).map((c) => c.text) : [])))
      .filter((word) => typeof word === "string" && word.length > 12);
    assert.ok(words.length > 3, scenario);
    for (const { hook, event, ctx } of lines) {
      if (hook === "resolve_exec_env" || hook === "tool_result_persist") continue;
      const text = JSON.stringify(render(hook, event, ctx));
      for (const word of words) assert.ok(!text.includes(JSON.stringify(word).slice(1, -1)), `${scenario} ${hook}: ${word}`);
    }
  }
});

test("big values go apart, with a preview and the facts", () => {
  const { render, blobs } = screenOf();
  const text = "z".repeat(200_000);
  const result = { content: [{ type: "text", text }], details: { status: "completed", exitCode: 0, aggregated: text } };
  const { event } = render("after_tool_call", { toolName: "exec", toolCallId: "c", params: {}, result });
  assert.equal(event.result.content.clawtrace_blob.sha256, "f".repeat(64));
  assert.ok(event.result.content.clawtrace_blob.preview.length <= 4_096);
  assert.equal(event.result.details.exitCode, 0);
  assert.ok(event.result.details.clawtrace_blob.bytes > 200_000);
  assert.ok(blobs.get("f".repeat(64)).length > 200_000);
  assert.ok(JSON.stringify(event).length < 16_000);
});

test("histories, schemas and repeated system prompts become counts", () => {
  const { render } = screenOf();
  const messages = Array.from({ length: 50 }, (_, index) => ({ role: "user", timestamp: index, content: "long ago ".repeat(100) }));
  const tools = Array.from({ length: 20 }, (_, index) => ({ name: `tool${index}`, parameters: { big: "schema".repeat(500) } }));
  const systemPrompt = "You are. ".repeat(2_000);
  const input = { runId: "r", provider: "p", model: "m", prompt: "now", historyMessages: messages, tools, systemPrompt };
  const first = JSON.stringify(render("llm_input", input));
  const second = render("llm_input", input).event;
  assert.ok(first.includes("You are."));
  assert.ok(JSON.stringify(second).length < 1_000, JSON.stringify(second).length);
  assert.equal(second.historyMessages.clawtrace_ballast.num, 50);
  assert.equal(second.tools.clawtrace_ballast.num, 20);
  assert.equal(second.prompt, "now");
  const ended = render("agent_end", { messages, success: true, durationMs: 1, runId: "r" }).event;
  assert.deepEqual(ended, { success: true, durationMs: 1, runId: "r", messages: { clawtrace_ballast: { num: 50 } } });
});

/** Every field that stream_jobs/core/hook_payloads.py reads, as it reads it. */
const READ = {
  event: ["cleanedBody", "prompt", "provider", "model", "assistantTexts", "usage", "success", "error", "durationMs", "outcome", "errorCategory", "failureKind", "type", "trigger", "toolName", "params", "runId", "sessionKey", "sessionId", "toolCallId", "callId", "childSessionKey"],
  ctx: ["trigger", "modelProviderId", "modelId", "requesterSessionKey", "childSessionKey", "trace", "runId", "sessionKey", "sessionId", "agentId", "toolCallId"],
  message: ["role", "usage", "stopReason", "errorMessage", "responseId"],
  details: ["status", "exitCode", "runId", "childSessionKey"],
};
const WITHOUT_PROMPT = ["agent_turn_prepare", "before_prompt_build"];

test("in full capture the stitcher finds every field it reads, in every captured run", () => {
  let numChecked = 0;
  for (const scenario of scenarios()) {
    const { render } = screenOf();
    for (const { hook, event, ctx } of captured(scenario)) {
      const out = render(hook, event, ctx);
      const check = (names, before, after, where) => {
        for (const name of names) {
          if (before?.[name] === undefined || before[name] === null) continue;
          if (name === "prompt" && WITHOUT_PROMPT.includes(hook)) continue;
          numChecked += 1;
          assert.deepEqual(after?.[name], before[name], `${scenario} ${hook} ${where}.${name}`);
        }
      };
      check(READ.event, event, out.event, "event");
      check(READ.ctx, ctx, out.ctx, "ctx");
      check(READ.message, event.message, out.event.message, "message");
      check(READ.details, event.result?.details, out.event.result?.details, "details");
      if (hook === "before_message_write" && event.message.role === "assistant") {
        assert.deepEqual(out.event.message.content, event.message.content);
      }
      if (hook === "after_tool_call") assert.deepEqual(out.event.result, event.result);
    }
  }
  assert.ok(numChecked > 10_000, numChecked);
});

test("whatever OpenClaw hands over can be written", () => {
  const { render } = screenOf();
  const cyclic = { name: "c" };
  cyclic.self = cyclic;
  const odd = {
    cyclic,
    big: 1n,
    nan: Number.NaN,
    when: new Date(0),
    bytes: Buffer.from("x"),
    map: new Map([[1, 2]]),
    error: new Error("e"),
    call: () => 1,
    symbol: Symbol("s"),
    signal: new AbortController().signal,
    half: "\ud83d",
    __proto__: { inherited: 1 },
  };
  const { event } = render("before_tool_call", { toolName: "x", params: odd });
  assert.equal(event.params.name, undefined);
  assert.equal(event.params.big, "1");
  for (const nothing of [undefined, null, 7, "text"]) render("llm_input", nothing, nothing);
});

test("a marked value shows its category only to the switch of that category", () => {
  const { privacy } = screenOf({ capture: { ...FULL, prompts: "off" } });
  assert.deepEqual(privacy.screen({ a: new Said("prompts", "x"), b: new Said("tool_params", "y") }), {
    a: "[not captured]",
    b: "y",
  });
});
