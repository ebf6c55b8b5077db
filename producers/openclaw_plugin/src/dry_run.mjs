/**
 * Shows what would leave the machine, without writing or sending anything.
 *
 * Upstream: `cli.mjs`; hook calls from a file, or an example with a secret of each kind.
 * Downstream: the same shaping and screening as in a hook.
 * Guarantee: the printed lines are byte for byte what the spool would hold, but for numbers and times.
 */

import { randomBytes } from "node:crypto";
import fs from "node:fs";

import { Ballast } from "./ballast.mjs";
import { Privacy } from "./privacy.mjs";
import { Recorder } from "./recorder.mjs";
import { Redactor } from "./redaction.mjs";

/** Made up; each is of a shape that must not get out. */
const SAMPLE = [
  {
    hook: "llm_input",
    event: {
      runId: "example",
      provider: "example",
      model: "example",
      systemPrompt: "You are a helpful agent.",
      prompt: "Write to jane.doe@example.com that card 4111 1111 1111 1111 was charged.",
      historyMessages: [],
      tools: [{ name: "exec", description: "Run a command", parameters: {} }],
    },
    ctx: { runId: "example", sessionKey: "agent:main:example", workspaceDir: "/home/user/secret-project" },
  },
  {
    hook: "after_tool_call",
    event: {
      toolName: "exec",
      runId: "example",
      toolCallId: "call_1",
      params: { command: "curl -H 'Authorization: Bearer abcdefghijklmnop1234' https://user:hunter22@host/x" },
      result: {
        content: [{ type: "text", text: `OPENAI_API_KEY=sk-${"a1".repeat(12)}\npassword: correct-horse` }],
        details: { status: "completed", exitCode: 0, aggregated: "…" },
      },
    },
    ctx: { runId: "example", toolCallId: "call_1" },
  },
];

/** @returns {Promise<boolean>} */
export async function dryRun(options, { settings, say }) {
  const { capture, redact, problems } = settings();
  for (const problem of problems) say(`Settings: ${problem}`);
  const calls = options.file ? readCalls(options.file) : SAMPLE;
  const redactor = new Redactor({ digestKey: randomBytes(32), ...redact });
  const blobs = [];
  const storeBlob = (json) => {
    blobs.push(json.length);
    return "0".repeat(64);
  };
  const recorder = new Recorder({ spool: null, privacy: new Privacy({ capture, redactor, storeBlob }) });
  const ballast = new Ballast();
  let numIn = 0;
  let numOut = 0;
  calls.forEach(({ hook, event, ctx }, seq) => {
    const entry = { seq, at_us: 0, hook, event: ballast.event(hook, event), ctx: ballast.ctx(ctx) };
    const json = recorder.render(entry);
    numIn += JSON.stringify({ event, ctx }).length;
    numOut += json.length;
    say(json.toString());
  });
  say("");
  say(`${calls.length} events: ${numIn} bytes from OpenClaw, ${numOut} bytes would leave this machine.`);
  say(`${redactor.num_found} secrets were taken out; ${blobs.length} big values would go apart.`);
  say(`Settings: ${Object.entries(capture).map(([category, mode]) => `${category} ${mode}`).join(", ")}.`);
  return true;
}

function readCalls(file) {
  return fs
    .readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line, index) => {
      try {
        const { hook, event, ctx } = JSON.parse(line);
        return { hook: String(hook), event: event ?? {}, ctx: ctx ?? {} };
      } catch (error) {
        throw new Error(`${file} line ${index + 1} is no hook call: ${error.message}`);
      }
    });
}
